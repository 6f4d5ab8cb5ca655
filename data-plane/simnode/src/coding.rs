//! Bodies compressed with gzip.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder};
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue};

use crate::behavior::GzipAnswers;
use crate::fault::RawResponse;

/// Most bytes a request may decompress to.
const MAX_DECODED: u64 = 32 * 1024 * 1024;

/// Whether the body under these headers is compressed with gzip.
pub(crate) fn is_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"gzip"))
}

/// The bytes without gzip.
///
/// # Errors
/// When they are no gzip, are cut short, or decompress to too many.
pub(crate) fn decode(body: &[u8]) -> io::Result<Bytes> {
    let mut decoded = Vec::new();
    let read = GzDecoder::new(body)
        .take(MAX_DECODED + 1)
        .read_to_end(&mut decoded)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > MAX_DECODED {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(decoded.into())
}

/// The response compressed, if it is to be and is not yet.
pub(crate) fn encode(response: RawResponse, rule: GzipAnswers, asked: &HeaderMap) -> RawResponse {
    let wanted = match rule {
        GzipAnswers::Never => false,
        GzipAnswers::WhenAccepted => accepts_gzip(asked),
        GzipAnswers::Always => true,
    };
    if !wanted || response.headers.contains_key(CONTENT_ENCODING) {
        return response;
    }
    let mut body = Vec::new();
    // Reading from memory does not fail.
    if GzEncoder::new(response.body.as_ref(), Compression::fast())
        .read_to_end(&mut body)
        .is_err()
    {
        return response;
    }
    RawResponse {
        body: body.into(),
        ..response
    }
    .with_header(CONTENT_ENCODING, HeaderValue::from_static("gzip"))
}

fn accepts_gzip(asked: &HeaderMap) -> bool {
    let codings = asked.get_all(ACCEPT_ENCODING).into_iter();
    codings
        .filter_map(|codings| codings.to_str().ok())
        .flat_map(|codings| codings.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("gzip"))
}
