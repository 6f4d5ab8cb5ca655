//! Which call an answer is to.

use crate::id::RawId;
use crate::scan::{Scanner, Stop};

/// Whether the answer, or as much of its beginning as is here, is one to the call with that `id`.
///
/// A result must carry the id, in any spelling (`1.0`, `1`); an error may also do without, or carry `null`, for some
/// are made before the request is read. What the beginning does not show is taken for right.
#[must_use]
pub fn answers_id(head: &[u8], id: RawId<'_>) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => match head.get(..error.valid_up_to()).map(std::str::from_utf8) {
            Some(Ok(valid)) => valid,
            _ => return true,
        },
    };
    let mut is_result = false;
    match find_id(&mut Scanner::new(text, usize::MAX), &mut is_result) {
        Ok(Some(found)) => {
            found == id || found.canonical() == id.canonical() || (!is_result && found.as_str() == "null")
        }
        Ok(None) => !is_result,
        Err(_) => true,
    }
}

/// The id, as soon as it comes; `Ok(None)`: the whole answer has none that could be one.
fn find_id<'a>(scanner: &mut Scanner<'a>, is_result: &mut bool) -> Result<Option<RawId<'a>>, Stop> {
    let mut id = None;
    let mut error = false;
    let mut member_follows = scanner.enter()?;
    while member_follows {
        match scanner.key()?.as_ref() {
            "id" => id = RawId::from_value(scanner.value()?),
            "error" => error |= scanner.value()? != "null",
            "result" if id.is_some_and(|id| id.as_str() != "null") => return Ok(id),
            "result" => {
                *is_result = true;
                scanner.value()?;
            }
            _ => {
                scanner.value()?;
            }
        }
        member_follows = scanner.more()?;
    }
    *is_result &= !error;
    Ok(id)
}
