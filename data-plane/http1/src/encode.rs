//! Heads as they are written.

use http::{Method, StatusCode};

use crate::date;
use crate::fields::{Field, InvalidField};
use crate::framing::is_bodiless;
use crate::head::Version;
use crate::target::Target;

/// What a head says about the body behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    Length(u64),
    Chunked,
    /// Nothing: it ends with the connection.
    UntilClose,
}

/// Whether the connection stays open, as the version of the client needs it said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Persistence {
    pub(crate) keep_alive: bool,
    pub(crate) version: Version,
}

/// Enough for most heads.
const USUAL_HEAD: usize = 512;

/// The head of a response, with room for `body` more bytes. Fields about the connection and the length are said
/// by the connection itself and left out of `fields`.
pub(crate) fn response_head<'a>(
    status: StatusCode,
    fields: impl IntoIterator<Item = Field<'a>>,
    announced: Announced,
    persistence: Persistence,
    body: usize,
) -> Result<Vec<u8>, InvalidField> {
    let mut head = Vec::with_capacity(USUAL_HEAD.saturating_add(body));
    push_status_line(&mut head, status);
    let mut dated = false;
    for field in fields {
        dated |= field.is("date");
        push_field(&mut head, field)?;
    }
    if !dated {
        head.extend_from_slice(b"date: ");
        head.extend_from_slice(&date::now());
        head.extend_from_slice(b"\r\n");
    }
    match announced {
        _ if is_bodiless(status) => {}
        Announced::Length(length) => push_length(&mut head, length),
        Announced::Chunked => head.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Announced::UntilClose => {}
    }
    match (persistence.keep_alive, persistence.version) {
        (true, Version::Http11) => {}
        (true, Version::Http10) => head.extend_from_slice(b"connection: keep-alive\r\n"),
        (false, _) => head.extend_from_slice(b"connection: close\r\n"),
    }
    head.extend_from_slice(b"\r\n");
    Ok(head)
}

/// The head of a request with a body of `length` bytes, to be sent to `host`. Fields about the connection, the
/// length and the host are left out of `fields`.
///
/// # Errors
/// [`InvalidField`] when a field could not be written into a head.
pub fn request_head<'a>(
    method: &Method,
    target: &Target,
    host: &str,
    fields: impl IntoIterator<Item = Field<'a>>,
    length: usize,
) -> Result<Vec<u8>, InvalidField> {
    let host = Field::new("host", host.as_bytes());
    host.check()?;
    let mut head = Vec::with_capacity(USUAL_HEAD.saturating_add(length.min(USUAL_HEAD)));
    head.extend_from_slice(method.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(target.as_bytes());
    head.extend_from_slice(b" HTTP/1.1\r\n");
    push_line(&mut head, host);
    for field in fields {
        if !(field.is("host") || field.is("expect")) {
            push_field(&mut head, field)?;
        }
    }
    if length > 0 || *method == Method::POST || *method == Method::PUT {
        push_length(&mut head, length as u64);
    }
    head.extend_from_slice(b"\r\n");
    Ok(head)
}

fn push_status_line(head: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        head.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(status.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    head.extend_from_slice(b"\r\n");
}

fn push_field(head: &mut Vec<u8>, field: Field<'_>) -> Result<(), InvalidField> {
    field.check()?;
    if !(field.is_hop_by_hop() || field.is("content-length")) {
        push_line(head, field);
    }
    Ok(())
}

fn push_line(head: &mut Vec<u8>, field: Field<'_>) {
    head.extend_from_slice(field.name());
    head.extend_from_slice(b": ");
    head.extend_from_slice(field.value());
    head.extend_from_slice(b"\r\n");
}

fn push_length(head: &mut Vec<u8>, length: u64) {
    head.extend_from_slice(b"content-length: ");
    push_decimal(head, length);
    head.extend_from_slice(b"\r\n");
}

fn push_decimal(head: &mut Vec<u8>, mut number: u64) {
    let start = head.len();
    loop {
        let digit = u8::try_from(number % 10).unwrap_or_default();
        head.push(b'0'.saturating_add(digit));
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = head.get_mut(start..) {
        digits.reverse();
    }
}
