//! Heads of messages: read once, strictly, without copying what is in them.

use std::mem::MaybeUninit;
use std::str;

use bytes::{Buf, BytesMut};
use http::{Method, StatusCode};

use crate::fields::{Fields, Span};
use crate::framing::{Facts, Framing, FramingError, Side};
use crate::name::Name;
use crate::target::{self, Target};

/// How much of a head is read. Beyond it the head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// From the first byte to the end of the empty line.
    pub bytes: usize,
    /// Header fields; at most [`MAX_FIELDS`] are read whatever is asked for.
    pub fields: usize,
}

/// More header fields than this are never read.
pub const MAX_FIELDS: usize = 256;

/// Most heads have fewer fields: a small table is tried first.
const FEW_FIELDS: usize = 24;

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            bytes: 32 * 1024,
            fields: 100,
        }
    }
}

/// Before a request.
const MAX_EMPTY_LINES: usize = 2;

/// The version a message is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunks, one request per connection unless asked for more.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// What a client asks.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// Case matters.
    pub method: Method,
    /// The request target, as it came: a path with a query, a whole URI, `*`, or what CONNECT names.
    pub target: Target,
    /// Of the message.
    pub version: Version,
    /// In order.
    pub fields: Fields,
}

/// What a server answers.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// 200 to 999.
    pub status: StatusCode,
    /// Of the message.
    pub version: Version,
    /// In order.
    pub fields: Fields,
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not what the grammar says.
    #[error("malformed head: {0}")]
    Malformed(httparse::Error),
    /// A line ends with a line feed alone.
    #[error("a line of the head does not end with carriage return and line feed")]
    BareLineFeed,
    /// More bytes than the limit.
    #[error("head too large")]
    TooLarge,
    /// More fields than the limit.
    #[error("too many header fields")]
    TooManyFields,
    /// The method is no token, or too long.
    #[error("malformed method")]
    Method,
    /// The target is in none of the forms, or has characters that do not belong there.
    #[error("malformed request target")]
    Target,
    /// None, several, or none that names a host.
    #[error("a request names its host exactly once")]
    Host,
    /// Something else than `100-continue` is expected.
    #[error("unknown expectation")]
    Expectation,
    /// A status below 100, or 101 that nobody asked for.
    #[error("status that does not belong there")]
    Status,
    /// The length of the body is in doubt.
    #[error(transparent)]
    Framing(#[from] FramingError),
}

/// A request head with what its fields say about the connection and the body.
#[derive(Debug)]
pub(crate) struct ParsedRequest {
    pub(crate) head: RequestHead,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
}

/// A response head, likewise.
#[derive(Debug)]
pub(crate) struct ParsedResponse {
    pub(crate) head: ResponseHead,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
}

/// The request that a response answers, as far as its framing depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Head,
    Connect,
    Other,
}

/// Takes a whole request head off the front of `buffer`; `None` when its end has not come yet.
pub(crate) fn parse_request(
    buffer: &mut BytesMut,
    limits: HeadLimits,
) -> Result<Option<ParsedRequest>, HeadError> {
    let parsed = match request_parts::<FEW_FIELDS>(buffer, limits) {
        Err(HeadError::TooManyFields) if limits.fields > FEW_FIELDS => {
            request_parts::<MAX_FIELDS>(buffer, limits)?
        }
        parsed => parsed?,
    };
    let Some(parts) = parsed else { return Ok(None) };
    buffer.advance(parts.start);
    let text = buffer.split_to(parts.length).freeze();
    let head = RequestHead {
        target: Target::received(text.slice(parts.target)),
        method: parts.method,
        version: parts.version,
        fields: Fields::received(text, parts.spans),
    };
    Ok(Some(ParsedRequest {
        head,
        framing: parts.facts.request_framing(parts.version)?,
        keep_alive: parts.facts.keep_alive(parts.version),
        expects_continue: parts.facts.expects_continue() && parts.version == Version::Http11,
    }))
}

/// The length of the empty lines that some clients send after a body. Source: RFC 9112, section 2.2.
fn empty_lines(text: &[u8]) -> usize {
    text.chunks_exact(2)
        .take(MAX_EMPTY_LINES)
        .take_while(|line| line == b"\r\n")
        .count()
        .saturating_mul(2)
}

struct RequestParts {
    /// Behind empty lines.
    start: usize,
    length: usize,
    method: Method,
    target: std::ops::Range<usize>,
    version: Version,
    spans: Vec<Span>,
    facts: Facts,
}

fn request_parts<const N: usize>(
    buffer: &[u8],
    limits: HeadLimits,
) -> Result<Option<RequestParts>, HeadError> {
    let mut table = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; N];
    let fields = table.get_mut(..limits.fields.min(N)).unwrap_or_default();
    let mut request = httparse::Request::new(&mut []);
    let text = within(buffer, limits);
    let start = empty_lines(text);
    let text = text.get(start..).unwrap_or_default();
    match text {
        [b'\r'] => return unfinished(buffer, limits),
        [b'\r' | b'\n', ..] => return Err(httparse::Error::NewLine.into()),
        _ => {}
    }
    let length = match request.parse_with_uninit_headers(text, fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return unfinished(buffer, limits),
        Err(error) => return Err(error.into()),
    };
    let head = text.get(..length).unwrap_or_default();
    check_line_ends(head, request.headers.len())?;
    let version = version(request.version);
    let method =
        Method::from_bytes(request.method.unwrap_or_default().as_bytes()).map_err(|_| HeadError::Method)?;
    let path = request.path.unwrap_or_default().as_bytes();
    target::check(&method, path)?;
    let (spans, facts) = spans(head, request.headers, Side::Request)?;
    facts.check_request(version)?;
    let target = offset(head, path);
    Ok(Some(RequestParts {
        start,
        length,
        method,
        target: target..target.saturating_add(path.len()),
        version,
        spans,
        facts,
    }))
}

/// Takes a whole response head off the front of `buffer`; `None` when its end has not come yet.
pub(crate) fn parse_response(
    buffer: &mut BytesMut,
    limits: HeadLimits,
    asked: Asked,
) -> Result<Option<ParsedResponse>, HeadError> {
    let parsed = match response_parts::<FEW_FIELDS>(buffer, limits) {
        Err(HeadError::TooManyFields) if limits.fields > FEW_FIELDS => {
            response_parts::<MAX_FIELDS>(buffer, limits)?
        }
        parsed => parsed?,
    };
    let Some(parts) = parsed else { return Ok(None) };
    let text = buffer.split_to(parts.length).freeze();
    let framing = parts.facts.response_framing(parts.version, parts.status, asked)?;
    Ok(Some(ParsedResponse {
        framing,
        keep_alive: parts.facts.keep_alive(parts.version) && framing.ends_itself(asked, parts.status),
        head: ResponseHead {
            status: parts.status,
            version: parts.version,
            fields: Fields::received(text, parts.spans),
        },
    }))
}

struct ResponseParts {
    length: usize,
    status: StatusCode,
    version: Version,
    spans: Vec<Span>,
    facts: Facts,
}

fn response_parts<const N: usize>(
    buffer: &[u8],
    limits: HeadLimits,
) -> Result<Option<ResponseParts>, HeadError> {
    let mut table = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; N];
    let fields = table.get_mut(..limits.fields.min(N)).unwrap_or_default();
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let text = within(buffer, limits);
    // The parser skips empty lines, which belong before requests only.
    if matches!(text.first(), Some(b'\r' | b'\n')) {
        return Err(HeadError::Malformed(httparse::Error::Version));
    }
    let length = match parser.parse_response_with_uninit_headers(&mut response, text, fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return unfinished(buffer, limits),
        Err(error) => return Err(error.into()),
    };
    let head = text.get(..length).unwrap_or_default();
    check_line_ends(head, response.headers.len())?;
    let status = StatusCode::from_u16(response.code.unwrap_or_default()).map_err(|_| HeadError::Status)?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(HeadError::Status);
    }
    let (spans, facts) = spans(head, response.headers, Side::Response)?;
    Ok(Some(ResponseParts {
        length,
        status,
        version: version(response.version),
        spans,
        facts,
    }))
}

/// The part of `buffer` that a head may take, so that the result does not depend on how much more has come.
fn within(buffer: &[u8], limits: HeadLimits) -> &[u8] {
    buffer.get(..limits.bytes).unwrap_or(buffer)
}

fn unfinished<T>(buffer: &[u8], limits: HeadLimits) -> Result<Option<T>, HeadError> {
    if buffer.len() < limits.bytes {
        Ok(None)
    } else {
        Err(HeadError::TooLarge)
    }
}

/// The parser takes a line feed alone for the end of a line, and a carriage return nowhere but before one: so
/// there are as many carriage returns as lines exactly when all lines end in both.
fn check_line_ends(head: &[u8], fields: usize) -> Result<(), HeadError> {
    if carriage_returns(head) == fields.saturating_add(2) {
        Ok(())
    } else {
        Err(HeadError::BareLineFeed)
    }
}

/// Counted in bytes, which the compiler does for many at once, so in parts whose counts fit in one.
pub(crate) fn carriage_returns(text: &[u8]) -> usize {
    text.chunks(255)
        .map(|part| usize::from(part.iter().map(|&byte| u8::from(byte == b'\r')).sum::<u8>()))
        .sum()
}

fn spans(head: &[u8], fields: &[httparse::Header<'_>], side: Side) -> Result<(Vec<Span>, Facts), HeadError> {
    let mut spans = Vec::with_capacity(fields.len());
    let mut facts = Facts::of(side);
    for field in fields {
        let name = field.name.as_bytes();
        let known = Name::of(name);
        facts.note(known, field.value)?;
        spans.push(Span {
            name: place(head, name)?,
            value: place(head, field.value)?,
            known,
        });
    }
    Ok((spans, facts))
}

fn place(head: &[u8], part: &[u8]) -> Result<(u32, u32), HeadError> {
    let start = u32::try_from(offset(head, part)).map_err(|_| HeadError::TooLarge)?;
    let length = u32::try_from(part.len()).map_err(|_| HeadError::TooLarge)?;
    Ok((start, length))
}

/// Where `part` begins within `head`, whose part it is.
fn offset(head: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr().saturating_sub(head.as_ptr().addr())
}

const fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(1) => Version::Http11,
        _ => Version::Http10,
    }
}

impl From<httparse::Error> for HeadError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooManyFields,
            other => Self::Malformed(other),
        }
    }
}

impl RequestHead {
    /// The host that the request is for: that of the target where it names one, else that of the `Host` field.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.target.authority().or_else(|| {
            self.fields
                .known(Name::Host)
                .and_then(|value| str::from_utf8(value).ok())
        })
    }
}
