//! What the fields of a head say about its body and its connection. Source: RFC 9112, sections 6 and 9.3.
//!
//! This is where messages are smuggled: what one reader takes for the end of a message is, to another, in the
//! middle. Whatever can be read in two ways is refused.

use http::StatusCode;

use crate::fields::members;
use crate::head::{Asked, HeadError, Version};
use crate::name::Name;
use crate::target;

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// When the connection ends. Responses only.
    UntilClose,
}

/// Why the length of a body is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// `Content-Length` that is not one number of plain digits.
    #[error("malformed content length")]
    ContentLength,
    /// `Content-Length` more than once.
    #[error("content length given more than once")]
    RepeatedLength,
    /// Both lengths.
    #[error("content length together with a transfer encoding")]
    LengthAndEncoding,
    /// A transfer encoding other than `chunked`, or more than one.
    #[error("transfer encoding other than chunked")]
    TransferEncoding,
    /// A transfer encoding in a message of HTTP/1.0.
    #[error("transfer encoding in HTTP/1.0")]
    OldVersion,
}

/// Gathered from the fields one by one.
#[derive(Debug)]
pub(crate) struct Facts {
    side: Side,
    length: Option<u64>,
    encodings: u8,
    hosts: u8,
    flags: Flags,
}

/// Whose fields they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

#[derive(Debug, Default)]
struct Flags {
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl Facts {
    pub(crate) fn of(side: Side) -> Self {
        Self {
            side,
            length: None,
            encodings: 0,
            hosts: 0,
            flags: Flags::default(),
        }
    }

    pub(crate) fn note(&mut self, name: Name, value: &[u8]) -> Result<(), HeadError> {
        match name {
            Name::Host if self.side == Side::Request => {
                if !target::is_host(value) {
                    return Err(HeadError::Host);
                }
                self.hosts = self.hosts.saturating_add(1);
            }
            Name::Expect if self.side == Side::Request => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(HeadError::Expectation);
                }
                self.flags.expects_continue = true;
            }
            Name::Connection => self.note_connection(value),
            Name::ContentLength => {
                if self.length.is_some() {
                    return Err(FramingError::RepeatedLength.into());
                }
                self.length = Some(content_length(value)?);
            }
            Name::TransferEncoding => {
                self.encodings = self.encodings.saturating_add(1);
                if self.encodings > 1 || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(FramingError::TransferEncoding.into());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn note_connection(&mut self, value: &[u8]) {
        for option in members(value) {
            self.flags.close |= option.eq_ignore_ascii_case(b"close");
            self.flags.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    pub(crate) const fn expects_continue(&self) -> bool {
        self.flags.expects_continue
    }

    pub(crate) const fn keep_alive(&self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.flags.close,
            Version::Http10 => self.flags.keep_alive && !self.flags.close,
        }
    }

    /// Source: RFC 9112, section 3.2.
    pub(crate) const fn check_request(&self, version: Version) -> Result<(), HeadError> {
        match (self.hosts, version) {
            (1, _) | (0, Version::Http10) => Ok(()),
            _ => Err(HeadError::Host),
        }
    }

    pub(crate) fn request_framing(&self, version: Version) -> Result<Framing, FramingError> {
        Ok(match self.explicit(version)? {
            None | Some(Framing::Length(0)) => Framing::None,
            Some(framing) => framing,
        })
    }

    pub(crate) fn response_framing(
        &self,
        version: Version,
        status: StatusCode,
        asked: Asked,
    ) -> Result<Framing, FramingError> {
        let explicit = self.explicit(version)?;
        let bodiless =
            is_bodiless(status) || asked == Asked::Head || (asked == Asked::Connect && status.is_success());
        Ok(match explicit {
            _ if bodiless => Framing::None,
            None => Framing::UntilClose,
            Some(Framing::Length(0)) => Framing::None,
            Some(framing) => framing,
        })
    }

    fn explicit(&self, version: Version) -> Result<Option<Framing>, FramingError> {
        match (self.encodings, self.length, version) {
            (0, length, _) => Ok(length.map(Framing::Length)),
            (_, Some(_), _) => Err(FramingError::LengthAndEncoding),
            (_, None, Version::Http10) => Err(FramingError::OldVersion),
            (_, None, Version::Http11) => Ok(Some(Framing::Chunked)),
        }
    }
}

impl Framing {
    /// Whether another message can follow on the connection.
    pub(crate) fn ends_itself(self, asked: Asked, status: StatusCode) -> bool {
        self != Self::UntilClose && !(asked == Asked::Connect && status.is_success())
    }
}

/// Statuses whose messages have no body whatever their fields say. Source: RFC 9112, section 6.3.
pub(crate) fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// Digits only, no sign, no list. 18 digits fit in any reader's integers.
fn content_length(value: &[u8]) -> Result<u64, FramingError> {
    if value.is_empty() || value.len() > 18 {
        return Err(FramingError::ContentLength);
    }
    value.iter().try_fold(0u64, |length, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(FramingError::ContentLength);
        }
        Ok(length.saturating_mul(10).saturating_add(u64::from(digit)))
    })
}
