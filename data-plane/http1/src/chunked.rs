//! The chunked transfer coding. Source: RFC 9112, section 7.1.

use bytes::{Buf, Bytes, BytesMut};

use crate::fields::is_text;
use crate::head::carriage_returns;

/// The line with a chunk's size, its line end included.
const MAX_LINE: usize = 512;
/// Of all chunks of one body: extensions say nothing to us, and would let a sender spend our time.
const MAX_EXTENSIONS: usize = 16 * 1024;
/// Of a chunk's size: beyond 2^60 no body goes.
const MAX_DIGITS: usize = 15;
/// Of a trailer section.
const MAX_TRAILERS: usize = 64;

/// Why a chunked body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The line with the size: no plain hexadecimal digits, too many, or malformed behind them.
    #[error("malformed chunk size")]
    Size,
    /// The line with the size, or all extensions together, are too long.
    #[error("chunk extensions too large")]
    Extensions,
    /// More or fewer bytes than the size says.
    #[error("chunk does not end where its size says")]
    End,
    /// The trailer section is malformed or too large.
    #[error("malformed or too large trailer section")]
    Trailers,
}

/// Where in a chunked body the reader is.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    extensions: usize,
    max_trailer_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// What the bytes so far hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// A part of the body.
    Data(Bytes),
    /// Nothing before more comes.
    More,
    /// The body has ended; the buffer starts with what follows it.
    End,
}

impl Decoder {
    pub(crate) const fn new(max_trailer_bytes: usize) -> Self {
        Self {
            state: State::Size,
            extensions: 0,
            max_trailer_bytes,
        }
    }

    /// Takes the next part of the body off the front of `buffer`.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, ChunkError> {
        loop {
            let went_on = match self.state {
                State::Size => self.take_size(buffer)?,
                State::Data(left) if !buffer.is_empty() => {
                    return Ok(Decoded::Data(self.take_data(left, buffer)));
                }
                State::Data(_) => false,
                State::DataEnd => self.take_data_end(buffer)?,
                State::Trailers => self.take_trailers(buffer)?,
                State::Done => return Ok(Decoded::End),
            };
            if !went_on {
                return Ok(Decoded::More);
            }
        }
    }

    fn take_data(&mut self, left: u64, buffer: &mut BytesMut) -> Bytes {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.state = match left.saturating_sub(here as u64) {
            0 => State::DataEnd,
            left => State::Data(left),
        };
        buffer.split_to(here).freeze()
    }

    fn take_size(&mut self, buffer: &mut BytesMut) -> Result<bool, ChunkError> {
        let line = buffer.get(..MAX_LINE).unwrap_or(buffer);
        let Some(end) = line.iter().position(|&byte| byte == b'\n') else {
            return if line.len() < MAX_LINE {
                Ok(false)
            } else {
                Err(ChunkError::Extensions)
            };
        };
        let line = line
            .get(..end)
            .and_then(|line| line.strip_suffix(b"\r"))
            .ok_or(ChunkError::Size)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (digits, extension) = line.split_at_checked(digits).ok_or(ChunkError::Size)?;
        let size = hexadecimal(digits)?;
        check_extension(extension)?;
        self.extensions = self.extensions.saturating_add(extension.len());
        if self.extensions > MAX_EXTENSIONS {
            return Err(ChunkError::Extensions);
        }
        self.state = if size == 0 {
            State::Trailers
        } else {
            State::Data(size)
        };
        buffer.advance(end.saturating_add(1));
        Ok(true)
    }

    fn take_data_end(&mut self, buffer: &mut BytesMut) -> Result<bool, ChunkError> {
        match buffer.get(..2) {
            Some(b"\r\n") => {
                buffer.advance(2);
                self.state = State::Size;
                Ok(true)
            }
            Some(_) => Err(ChunkError::End),
            None if buffer.first().is_none_or(|&byte| byte == b'\r') => Ok(false),
            None => Err(ChunkError::End),
        }
    }

    /// Reads the trailer section and drops it. Its lines are looked for from the start at each call, which its
    /// limit makes harmless.
    fn take_trailers(&mut self, buffer: &mut BytesMut) -> Result<bool, ChunkError> {
        let section = buffer.get(..self.max_trailer_bytes).unwrap_or(buffer);
        let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILERS];
        match httparse::parse_headers(section, &mut fields) {
            Ok(httparse::Status::Complete((length, fields))) => {
                let lines = section.get(..length).unwrap_or_default();
                if carriage_returns(lines) != fields.len().saturating_add(1) {
                    return Err(ChunkError::Trailers);
                }
                buffer.advance(length);
                self.state = State::Done;
                Ok(true)
            }
            Ok(httparse::Status::Partial) if section.len() < self.max_trailer_bytes => Ok(false),
            Ok(httparse::Status::Partial) | Err(_) => Err(ChunkError::Trailers),
        }
    }
}

fn hexadecimal(digits: &[u8]) -> Result<u64, ChunkError> {
    if digits.is_empty() || digits.len() > MAX_DIGITS {
        return Err(ChunkError::Size);
    }
    let text = std::str::from_utf8(digits).map_err(|_| ChunkError::Size)?;
    u64::from_str_radix(text, 16).map_err(|_| ChunkError::Size)
}

/// White space, then nothing or a semicolon and anything but control characters.
fn check_extension(extension: &[u8]) -> Result<(), ChunkError> {
    let first = extension.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    let begins_well = matches!(first, None | Some(b';'));
    if begins_well && extension.iter().all(|&byte| is_text(byte)) {
        Ok(())
    } else {
        Err(ChunkError::Size)
    }
}

/// Writes the line before `length` bytes of data, which are some: a chunk of none would be the last.
pub(crate) fn push_size(front: &mut Vec<u8>, length: usize) {
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        let digit = u32::try_from((length >> (4 * place)) & 0xf).unwrap_or_default();
        front.extend(char::from_digit(digit, 16).and_then(|digit| u8::try_from(digit).ok()));
    }
    front.extend_from_slice(b"\r\n");
}

/// The last chunk and an empty trailer section.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
