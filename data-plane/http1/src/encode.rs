//! Heads as they are written.

use std::fmt;

use http::{Method, StatusCode};

use crate::date;
use crate::fields::{Field, InvalidField, SEPARATOR};
use crate::framing::is_bodiless;
use crate::head::Version;
use crate::name::Name;
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
    fields.into_iter().try_for_each(|field| {
        dated |= field.known() == Name::Date;
        push_field(&mut head, field)
    })?;
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
    HeadStart::new(method, target, host, [])?.head(fields, length)
}

/// How the heads of many requests begin: the request line, the host, and fields that all of them have. Written once.
#[derive(Clone)]
pub struct HeadStart {
    text: Vec<u8>,
    /// Whether the length of the body is said when it has none.
    says_length: bool,
}

impl HeadStart {
    /// Of requests to `host`. Fields about the connection, the length and the host are left out of `fields`.
    ///
    /// # Errors
    /// [`InvalidField`] when a field could not be written into a head.
    pub fn new<'a>(
        method: &Method,
        target: &Target,
        host: &str,
        fields: impl IntoIterator<Item = Field<'a>>,
    ) -> Result<Self, InvalidField> {
        let host = Field::new("host", host.as_bytes());
        host.check()?;
        let mut text = Vec::with_capacity(USUAL_HEAD);
        text.extend_from_slice(method.as_str().as_bytes());
        text.push(b' ');
        text.extend_from_slice(target.as_bytes());
        text.extend_from_slice(b" HTTP/1.1\r\n");
        push_line(&mut text, host);
        push_fields(&mut text, fields)?;
        Ok(Self {
            text,
            says_length: *method == Method::POST || *method == Method::PUT,
        })
    }

    /// The head of one request with a body of `length` bytes. Fields about the connection, the length and the host
    /// are left out of `fields`.
    ///
    /// # Errors
    /// [`InvalidField`] when a field could not be written into a head.
    pub fn head<'a>(
        &self,
        fields: impl IntoIterator<Item = Field<'a>>,
        length: usize,
    ) -> Result<Vec<u8>, InvalidField> {
        let room = self.text.len().saturating_add(USUAL_HEAD);
        let mut head = Vec::with_capacity(room.saturating_add(length.min(USUAL_HEAD)));
        head.extend_from_slice(&self.text);
        push_fields(&mut head, fields)?;
        if length > 0 || self.says_length {
            push_length(&mut head, length as u64);
        }
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }
}

/// Its length only: heads hold keys.
impl fmt::Debug for HeadStart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HeadStart({} bytes)", self.text.len())
    }
}

fn push_fields<'a>(
    head: &mut Vec<u8>,
    fields: impl IntoIterator<Item = Field<'a>>,
) -> Result<(), InvalidField> {
    // A chain of iterators goes through its parts one after the other only when it is driven from inside.
    fields.into_iter().try_for_each(|field| match field.known() {
        Name::Host | Name::Expect => Ok(()),
        _ => push_field(head, field),
    })
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
    if !(field.is_hop_by_hop() || field.known() == Name::ContentLength) {
        push_line(head, field);
    }
    Ok(())
}

fn push_line(head: &mut Vec<u8>, field: Field<'_>) {
    let (name, value) = (field.name(), field.value());
    // One look whether there is room, not four.
    head.reserve(name.len().saturating_add(value.len()).saturating_add(4));
    match field.line() {
        Some(line) => head.extend_from_slice(line),
        None => {
            head.extend_from_slice(name);
            head.extend_from_slice(SEPARATOR);
            head.extend_from_slice(value);
        }
    }
    head.extend_from_slice(b"\r\n");
}

fn push_length(head: &mut Vec<u8>, length: u64) {
    head.extend_from_slice(b"content-length: ");
    push_decimal(head, length);
    head.extend_from_slice(b"\r\n");
}

fn push_decimal(head: &mut Vec<u8>, mut number: u64) {
    // As many digits as the largest number has.
    let mut digits = [b'0'; 20];
    let mut count: usize = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0'.saturating_add(u8::try_from(number % 10).unwrap_or_default());
        number /= 10;
        count = count.saturating_add(1);
        if number == 0 {
            break;
        }
    }
    let start = digits.len().saturating_sub(count);
    head.extend_from_slice(digits.get(start..).unwrap_or_default());
}
