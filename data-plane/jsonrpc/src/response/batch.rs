//! The answer to a batch: its members, and which call each of them answers.

use std::borrow::Cow;

use hashbrown::{HashMap, HashSet};

use super::{Answer, Envelope, Item};
use crate::id::RawId;
use crate::scan::{Scanner, Stop};

/// A batch's answer is not an array of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer to a batch is not a JSON array")]
pub struct NotABatch;

/// The members of a batch's answer, in the upstream's order, each read when it is asked for. A member of the wrong shape
/// spoils only itself. The last one is [`NotABatch`] when the body is not a whole JSON array.
#[must_use]
pub fn batch_items(body: &[u8]) -> Items<'_> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    Items {
        scanner: Scanner::new(text, usize::MAX),
        next: Next::Begin,
    }
}

/// Iterator of [`batch_items`].
#[derive(Debug)]
pub struct Items<'a> {
    scanner: Scanner<'a>,
    next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Begin,
    Item,
    End,
}

impl<'a> Items<'a> {
    fn read(&mut self) -> Result<Option<Item<'a>>, Stop> {
        let scanner = &mut self.scanner;
        if self.next == Next::Begin {
            if scanner.token()? != b'[' {
                return Err(Stop::Invalid);
            }
            if !scanner.enter()? {
                self.next = Next::End;
                scanner.end()?;
                return Ok(None);
            }
        }
        let is_object = scanner.token()? == b'{';
        let start = scanner.position();
        let mut envelope = Envelope::default();
        if is_object {
            envelope.read(scanner)?;
        } else {
            scanner.value()?;
        }
        let raw = scanner.slice_from(start);
        if scanner.more()? {
            self.next = Next::Item;
        } else {
            self.next = Next::End;
            scanner.end()?;
        }
        Ok(Some(Item {
            id: envelope.id,
            raw,
            answer: envelope.judge(),
        }))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, NotABatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == Next::End {
            return None;
        }
        match self.read() {
            Ok(item) => item.map(Ok),
            Err(_) => {
                self.next = Next::End;
                Some(Err(NotABatch))
            }
        }
    }
}

/// Puts the members of a batch's answer in the order of the calls' `ids` (without notifications).
///
/// `None` stands where the upstream gave no answer. When one id was asked or answered a different number of
/// times, none of its answers can be told to belong to a call, so all are dropped; asked and answered
/// equally often, they keep their order. Spellings of one id (`1.0`, `1`) match. However many members there are, no more
/// of them are kept than were asked for, and one for each id.
#[must_use]
pub fn pair<'a>(ids: &[RawId<'_>], items: impl IntoIterator<Item = Item<'a>>) -> Vec<Option<Item<'a>>> {
    let mut ordered = vec![None; ids.len()];
    for asked in gather(ids, items).into_values() {
        if asked.found.len() != asked.positions.len() {
            continue;
        }
        for (at, item) in asked.positions.into_iter().zip(asked.found) {
            if let Some(slot) = ordered.get_mut(at) {
                *slot = Some(item);
            }
        }
    }
    ordered
}

fn gather<'i, 'a>(
    ids: &[RawId<'i>],
    items: impl IntoIterator<Item = Item<'a>>,
) -> HashMap<Cow<'i, str>, Calls<'a>> {
    let mut calls = HashMap::<_, Calls<'a>>::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate() {
        calls.entry(id.canonical()).or_default().positions.push(at);
    }
    for item in items {
        if item.answer != Answer::NotJsonRpc
            && let Some(asked) = item.id.and_then(|id| calls.get_mut(id.canonical().as_ref()))
            && asked.found.len() <= asked.positions.len()
        {
            asked.found.push(item);
        }
    }
    calls
}

/// The calls of one id, and what was answered under it.
#[derive(Debug, Default)]
struct Calls<'a> {
    positions: Vec<usize>,
    found: Vec<Item<'a>>,
}

/// Whether no two of the ids are one, however they are spelled.
#[must_use]
pub fn are_distinct<'a>(mut ids: impl Iterator<Item = RawId<'a>>) -> bool {
    let mut seen = HashSet::new();
    ids.all(|id| seen.insert(id.canonical()))
}

/// A batch's answer with at least one answer in it. Nothing of it is kept, for an array may have any number of members.
pub(super) fn whole_batch(text: &str) -> Answer {
    let mut is_answer = false;
    for item in batch_items(text.as_bytes()) {
        match item {
            Ok(item) => is_answer |= item.answer != Answer::NotJsonRpc,
            Err(NotABatch) => return Answer::NotJsonRpc,
        }
    }
    if is_answer {
        Answer::Batch
    } else {
        Answer::NotJsonRpc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_much_is_answered_only_what_was_asked_for_is_kept() {
        let ids: Vec<_> = ["1", "2", "2"].map(|id| RawId::from_value(id).unwrap()).to_vec();
        let mut body = "[".to_owned();
        for other in 0..1_000 {
            body.push_str(&format!(
                r#"7,{{"id":2,"result":0}},{{"id":"{other}","result":0}},"#
            ));
        }
        body.push_str(r#"{"id":1,"result":0}]"#);
        let kept = gather(&ids, batch_items(body.as_bytes()).map_while(Result::ok));
        assert_eq!(
            (kept["1"].found.len(), kept["2"].found.len(), kept.len()),
            (1, 3, 2)
        );
    }
}
