//! What keeps answers of upstreams at different heights from contradicting each other.

/// What keeps answers of upstreams at different heights from contradicting each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Consistency {
    /// Whether `latest`, `safe` and `finalized` are replaced by the number they stand for on the route.
    pub rewrite_block_tags: bool,
    /// Most blocks a range of `eth_getLogs` may span; 0: no limit.
    pub max_log_range: u64,
    /// Whether `null` for something looked up by hash asks another upstream.
    pub empty_lookups_elsewhere: bool,
    /// Blocks by which an upstream may be ahead of the route and be believed; 0 means
    /// [`Consistency::DEFAULT_MAX_HEIGHT_JUMP`].
    pub max_height_jump: u64,
}

impl Consistency {
    /// Blocks by which an upstream may be ahead when the route does not say.
    pub const DEFAULT_MAX_HEIGHT_JUMP: u64 = 15_000;

    /// Most blocks a range of `eth_getLogs` may span.
    #[must_use]
    pub fn max_log_range(&self) -> Option<u64> {
        (self.max_log_range != 0).then_some(self.max_log_range)
    }

    /// Blocks by which an upstream may be ahead of the route and be believed.
    #[must_use]
    pub const fn max_height_jump(&self) -> u64 {
        match self.max_height_jump {
            0 => Self::DEFAULT_MAX_HEIGHT_JUMP,
            blocks => blocks,
        }
    }
}
