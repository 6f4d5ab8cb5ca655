//! Upstreams that are asked at the same time.

/// The upstreams to ask at the same time, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Racers {
    positions: [usize; Self::MOST],
    count: usize,
}

impl Racers {
    /// How many race at most.
    pub const MOST: usize = 8;

    pub(super) fn push(&mut self, position: usize) {
        if let Some(slot) = self.positions.get_mut(self.count) {
            *slot = position;
            self.count += 1;
        }
    }

    pub(super) fn contains(&self, position: usize) -> bool {
        self.iter().any(|racer| racer == position)
    }

    /// Their positions.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.positions.iter().copied().take(self.count)
    }

    /// How many they are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no race.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}
