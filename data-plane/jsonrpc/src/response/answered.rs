//! Which call an answer is to.

use crate::id::RawId;

/// Whose an answer is, as far as it has been read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Whose<'a> {
    id: Option<RawId<'a>>,
    /// Whether the id came before the result: one that follows says nothing any more.
    is_settled: bool,
    /// Whether a result came without an id before it.
    is_result: bool,
}

impl<'a> Whose<'a> {
    pub(super) fn on_id(&mut self, id: Option<RawId<'a>>) {
        if !self.is_settled {
            self.id = id;
        }
    }

    pub(super) fn on_result(&mut self) {
        self.is_settled |= self.id.is_some_and(|id| !is_null(id));
        self.is_result |= !self.is_settled;
    }

    /// Whether the whole answer, an error or a result, is to the call with that `id`.
    pub(super) fn is(self, id: RawId<'_>, is_error: bool) -> bool {
        let is_result = self.is_result && !is_error;
        match self.id {
            Some(found) => is_same(found, id) || (!is_result && is_null(found)),
            None => !is_result,
        }
    }

    /// Whether the answer of which this is the beginning may be to the call with that `id`.
    pub(super) fn may_be(self, id: RawId<'_>) -> bool {
        !self.is_settled || self.id.is_none_or(|found| is_same(found, id))
    }
}

fn is_null(id: RawId<'_>) -> bool {
    id.as_str() == "null"
}

/// Upstreams that decode ids may spell them in another way.
fn is_same(found: RawId<'_>, id: RawId<'_>) -> bool {
    found == id || found.canonical() == id.canonical()
}
