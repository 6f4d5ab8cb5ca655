//! Content codings: how bodies are compressed. Source: RFC 9110, section 8.4.

use tyrscale_http1::{Fields, Name};

mod decode;
mod encode;

pub(crate) use decode::{Decoder, Undecodable, decode};
pub(crate) use encode::Encoder;

/// The codings that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
}

/// Codings of one body in the order they were applied; none for a body as it is.
pub(crate) type Codings = Vec<Coding>;

/// Most codings one upon the other.
const MAX_CODINGS: usize = 2;

/// The codings that are read, for those who asked with another one. Source: RFC 9110, section 12.5.3.
pub(crate) const READ: &str = "gzip, deflate";

/// A coding that is not read, or too many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsupported;

/// How the body that came with `fields` is coded.
///
/// # Errors
/// [`Unsupported`].
pub(crate) fn codings(fields: &Fields) -> Result<Codings, Unsupported> {
    let mut codings = Codings::new();
    for name in items(fields.all_known(Name::ContentEncoding)) {
        match name.to_ascii_lowercase().as_slice() {
            b"" | b"identity" => {}
            b"gzip" | b"x-gzip" => codings.push(Coding::Gzip),
            b"deflate" => codings.push(Coding::Deflate),
            _ => return Err(Unsupported),
        }
    }
    if codings.len() > MAX_CODINGS {
        Err(Unsupported)
    } else {
        Ok(codings)
    }
}

/// Whether a body is gzip by its first bytes: what no JSON begins with. Source: RFC 1952, section 2.3.1.
pub(crate) const fn looks_gzipped(body: &[u8]) -> bool {
    matches!(body, [0x1f, 0x8b, ..])
}

/// Whether the client that sent `fields` takes gzip. Source: RFC 9110, section 12.5.3.
pub(crate) fn accepts_gzip(fields: &Fields) -> bool {
    let (mut named, mut any) = (None, None);
    for item in items(fields.all_known(Name::AcceptEncoding)) {
        let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let is_wanted = parts.all(|part| !is_zero_weight(part));
        if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
            named = Some(is_wanted);
        } else if name == b"*" {
            any = Some(is_wanted);
        }
    }
    named.or(any).unwrap_or(false)
}

/// Whether `part` of an item says `q=0`.
fn is_zero_weight(part: &[u8]) -> bool {
    let weight = match part {
        [b'q' | b'Q', rest @ ..] => rest.trim_ascii_start().strip_prefix(b"="),
        _ => None,
    };
    let weight = weight.and_then(|weight| std::str::from_utf8(weight).ok()?.trim().parse::<f32>().ok());
    weight.is_some_and(|weight| weight <= 0.0)
}

/// Whether an answer with `fields` says that it must stay as it is. Source: RFC 9111, section 5.2.2.6.
pub(crate) fn forbids_transforming(fields: &Fields) -> bool {
    items(fields.get_all("cache-control")).any(|rule| rule.eq_ignore_ascii_case(b"no-transform"))
}

/// The items of all lists.
fn items<'a>(lists: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    lists.flat_map(|list| list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &str, values: &[&str]) -> Fields {
        Fields::from_pairs(values.iter().map(|value| (name, value.as_bytes()))).unwrap()
    }

    #[test]
    fn codings_are_read_in_order_and_bounded() {
        use Coding::{Deflate, Gzip};
        for (values, expected) in [
            (vec![], Ok(vec![])),
            (vec!["identity"], Ok(vec![])),
            (vec!["GZIP"], Ok(vec![Gzip])),
            (vec!["x-gzip"], Ok(vec![Gzip])),
            (vec!["deflate, gzip"], Ok(vec![Deflate, Gzip])),
            (vec!["gzip", "gzip"], Ok(vec![Gzip, Gzip])),
            (vec!["gzip, gzip, gzip"], Err(Unsupported)),
            (vec!["br"], Err(Unsupported)),
            (vec!["zstd"], Err(Unsupported)),
        ] {
            assert_eq!(
                codings(&fields("Content-Encoding", &values)),
                expected,
                "{values:?}"
            );
        }
    }

    #[test]
    fn a_client_takes_gzip_when_it_says_so() {
        for (values, expected) in [
            (vec![], false),
            (vec!["gzip"], true),
            (vec!["br, GZIP;q=0.5"], true),
            (vec!["deflate", "gzip"], true),
            (vec!["gzip;q=0"], false),
            (vec!["gzip; q = 0.000"], false),
            (vec!["*"], true),
            (vec!["*, gzip;q=0"], false),
            (vec!["*;q=0"], false),
            (vec!["*;q=0, gzip"], true),
            (vec!["identity"], false),
        ] {
            assert_eq!(
                accepts_gzip(&fields("Accept-Encoding", &values)),
                expected,
                "{values:?}"
            );
        }
    }

    #[test]
    fn an_answer_can_forbid_to_be_transformed() {
        assert!(!forbids_transforming(&fields(
            "cache-control",
            &["max-age=1, no-store"]
        )));
        assert!(forbids_transforming(&fields(
            "Cache-Control",
            &["max-age=1", "No-Transform, x"]
        )));
    }
}
