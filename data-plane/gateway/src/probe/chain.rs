//! Which chain a place answers for, and when it is worth asking again.

/// Probes from one look at the chain id to the next, while nothing is suspicious.
const PROBES_BETWEEN: u32 = 30;

/// What is known of a place's chain.
#[derive(Debug, Default)]
pub(super) struct Chain {
    id: Option<u64>,
    probes_since: u32,
    /// The last height that was believed.
    height: Option<u64>,
}

impl Chain {
    /// The id that was answered last.
    pub(super) const fn id(&self) -> Option<u64> {
        self.id
    }

    /// Whether the id is to be asked for before this probe: at first, every so many probes, and each time while it is
    /// not the right one.
    pub(super) const fn is_due(&mut self, is_right: bool) -> bool {
        self.probes_since = self.probes_since.saturating_add(1);
        self.id.is_none() || !is_right || self.probes_since > PROBES_BETWEEN
    }

    /// The place said which chain it is on.
    pub(super) const fn answered(&mut self, id: u64) {
        self.id = Some(id);
        self.probes_since = 0;
    }

    /// Whether a height is so far above the last that the chain may be another one.
    pub(super) fn is_suspicious(&self, height: u64, max_jump: u64) -> bool {
        self.height
            .is_some_and(|last| height > last.saturating_add(max_jump))
    }

    /// The place is at this height.
    pub(super) const fn reached(&mut self, height: u64) {
        self.height = Some(height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_asked_for_at_first_then_now_and_then() {
        let mut chain = Chain::default();
        assert!(chain.is_due(true));
        assert!(chain.is_due(true), "nobody answered");
        chain.answered(1);
        let until_due = (1..).find(|_| chain.is_due(true)).unwrap();
        assert_eq!(until_due, PROBES_BETWEEN + 1);
        chain.answered(5);
        assert!(chain.is_due(false), "until it is right again");
    }

    #[test]
    fn a_height_far_above_the_last_is_suspicious() {
        let mut chain = Chain::default();
        assert!(!chain.is_suspicious(10_000_000, 15_000));
        chain.reached(100);
        assert!(!chain.is_suspicious(15_100, 15_000));
        assert!(chain.is_suspicious(15_101, 15_000));
        assert!(!chain.is_suspicious(1, 15_000));
    }
}
