//! The parts of an answer with an error, and where they are in its text, so that one can be replaced and every
//! other byte stays.

use crate::id::RawId;
use crate::scan::Scanner;

/// A value's first byte, counted from the start of the text, and its text.
pub(crate) type Place<'a> = (usize, &'a str);

/// The parts of a whole answer.
#[derive(Debug, Default)]
pub(crate) struct Parts<'a> {
    pub(crate) id: Option<RawId<'a>>,
    pub(crate) result: Option<&'a str>,
    /// The whole value, and the parts of it if it is an object.
    pub(crate) error: Option<(Place<'a>, ErrorParts<'a>)>,
    /// The message of an answer without an envelope.
    pub(crate) message: Option<&'a str>,
}

/// The parts of an error object.
#[derive(Debug, Default)]
pub(crate) struct ErrorParts<'a> {
    pub(crate) is_object: bool,
    pub(crate) code: Option<Place<'a>>,
    pub(crate) message: Option<&'a str>,
    pub(crate) data: Option<Place<'a>>,
    /// Where another member could be put, after the last one.
    pub(crate) end: usize,
}

/// The parts of `text`; `None` when it is no whole JSON object.
pub(crate) fn envelope(text: &str) -> Option<Parts<'_>> {
    let mut scanner = Scanner::new(text, usize::MAX);
    let mut parts = Parts::default();
    if scanner.token().ok()? != b'{' {
        return None;
    }
    let mut member_follows = scanner.enter().ok()?;
    while member_follows {
        match scanner.key().ok()?.as_ref() {
            "id" => parts.id = RawId::from_value(scanner.value().ok()?),
            "result" => parts.result = Some(scanner.value().ok()?),
            "message" => parts.message = Some(scanner.value().ok()?),
            "error" if scanner.token().ok()? != b'n' => {
                let start = scanner.position();
                let inside = error_parts(&mut scanner)?;
                parts.error = Some(((start, scanner.slice_from(start)), inside));
            }
            _ => {
                scanner.value().ok()?;
            }
        }
        member_follows = scanner.more().ok()?;
    }
    scanner.end().ok()?;
    Some(parts)
}

fn error_parts<'a>(scanner: &mut Scanner<'a>) -> Option<ErrorParts<'a>> {
    let mut error = ErrorParts::default();
    if scanner.token().ok()? != b'{' {
        scanner.value().ok()?;
        return Some(error);
    }
    error.is_object = true;
    let mut member_follows = scanner.enter().ok()?;
    while member_follows {
        let key = scanner.key().ok()?;
        scanner.token().ok()?;
        let start = scanner.position();
        let value = scanner.value().ok()?;
        error.end = scanner.position();
        match key.as_ref() {
            "code" => error.code = Some((start, value)),
            "message" => error.message = Some(value),
            "data" => error.data = Some((start, value)),
            _ => {}
        }
        member_follows = scanner.more().ok()?;
    }
    Some(error)
}

/// `text` with `old`, which starts at a byte of it, replaced.
pub(crate) fn splice(text: &str, start: usize, old: &str, new: &str) -> Option<Vec<u8>> {
    let before = text.get(..start)?;
    let after = text.get(start.checked_add(old.len())?..)?;
    Some([before, new, after].concat().into_bytes())
}
