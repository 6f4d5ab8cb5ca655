//! Two counts over a sliding window of time.
//!
//! The window is cut into ten slots that are used in turn. A slot is one atomic word that says which
//! tenth of time it counts, so that a stale one is recognised and started again without a lock and
//! without a timer. The window is as exact as a slot is long: it covers nine tenths to all of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::epoch::{self, Epoch};

const SLOTS: u64 = 10;
/// Their number, as an array wants it.
const LEN: usize = 10;

/// Counts of events, and of those among them that are special (failed, retried).
#[derive(Debug)]
pub(crate) struct Rolling {
    epoch: Epoch,
    /// Nanoseconds that a slot lasts.
    slot: u64,
    slots: [AtomicU64; LEN],
}

/// What a window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) special: u64,
}

/// A slot: which tenth it counts (16 bits), and two counts that stop at their highest (24 bits each).
#[derive(Debug, Clone, Copy)]
struct Slot {
    tick: u64,
    counts: Counts,
}

impl Slot {
    const COUNT: u64 = (1 << 24) - 1;
    const TICK: u64 = (1 << 16) - 1;

    const fn unpack(word: u64) -> Self {
        Self {
            tick: word >> 48,
            counts: Counts {
                events: (word >> 24) & Self::COUNT,
                special: word & Self::COUNT,
            },
        }
    }

    fn pack(self) -> u64 {
        let Counts { events, special } = self.counts;
        (self.tick << 48) | (events.min(Self::COUNT) << 24) | special.min(Self::COUNT)
    }
}

impl Rolling {
    /// Nothing has happened yet.
    pub(crate) fn new(window: Duration, epoch: Instant) -> Self {
        Self {
            epoch: Epoch::new(epoch),
            slot: (epoch::nanos(window) / SLOTS).max(1),
            slots: Default::default(),
        }
    }

    /// Counts at `now`.
    pub(crate) fn add(&self, counts: Counts, now: Instant) {
        let number = self.number(now);
        let tick = number & Slot::TICK;
        let Some(slot) = usize::try_from(number % SLOTS)
            .ok()
            .and_then(|at| self.slots.get(at))
        else {
            return;
        };
        let add = |word| {
            let mut slot = Slot::unpack(word);
            if slot.tick != tick {
                slot = Slot {
                    tick,
                    counts: Counts::default(),
                };
            }
            slot.counts.events += counts.events;
            slot.counts.special += counts.special;
            Some(slot.pack())
        };
        // `add` always gives a value, so this cannot fail.
        let _previous = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// What happened within the window before `now`.
    pub(crate) fn total(&self, now: Instant) -> Counts {
        let number = self.number(now);
        let mut total = Counts::default();
        for slot in &self.slots {
            let slot = Slot::unpack(slot.load(Ordering::Relaxed));
            let age = number.wrapping_sub(slot.tick) & Slot::TICK;
            if age < SLOTS {
                total.events += slot.counts.events;
                total.special += slot.counts.special;
            }
        }
        total
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        for slot in &self.slots {
            slot.store(0, Ordering::Relaxed);
        }
    }

    /// The number of the tenth that `now` is in.
    fn number(&self, now: Instant) -> u64 {
        self.epoch.nanos(now) / self.slot
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const ONE: Counts = Counts {
        events: 1,
        special: 0,
    };

    #[test]
    fn forgets_what_is_older_than_the_window() {
        let t0 = Instant::now();
        let rolling = Rolling::new(Duration::from_secs(10), t0);
        for second in 0..10 {
            rolling.add(ONE, t0 + Duration::from_secs(second));
        }
        let left = |second| rolling.total(t0 + Duration::from_secs(second)).events;
        assert_eq!([9, 10, 14, 18, 19, 1_000].map(left), [10, 9, 5, 1, 0, 0]);
        rolling.clear();
        assert_eq!(left(9), 0);
    }

    #[test]
    fn a_count_stops_at_its_highest_without_touching_its_neighbours() {
        let t0 = Instant::now();
        let rolling = Rolling::new(Duration::from_secs(10), t0);
        let many = Counts {
            events: u64::from(u32::MAX),
            special: 3,
        };
        rolling.add(many, t0);
        assert_eq!(
            rolling.total(t0),
            Counts {
                events: Slot::COUNT,
                special: 3
            }
        );
    }

    proptest! {
        #[test]
        fn agrees_with_a_list_of_moments(steps in vec((0_u64..3_000, any::<bool>()), 1..200)) {
            let t0 = Instant::now();
            let rolling = Rolling::new(Duration::from_secs(10), t0);
            let mut list: Vec<(u64, bool)> = Vec::new();
            let mut millis = 0;
            for (wait, special) in steps {
                millis += wait;
                let now = t0 + Duration::from_millis(millis);
                rolling.add(Counts { events: 1, special: special.into() }, now);
                list.push((millis / 1_000, special));
                let within = |second: &u64| millis / 1_000 - second < 10;
                let events = list.iter().filter(|(second, _)| within(second)).count();
                let specials = list.iter().filter(|(second, special)| within(second) && *special).count();
                let total = rolling.total(now);
                prop_assert_eq!((total.events, total.special), (u64::try_from(events).unwrap(), u64::try_from(specials).unwrap()));
            }
        }
    }
}
