//! A rate for each of many keys (client addresses, API keys), in bounded memory.
//!
//! Keys are spread over shards by hash, each with its own lock, so that threads seldom meet. A shard
//! keeps its keys in the order of their last use. A full shard forgets one to take in another: one of
//! the longest unused whose bucket is full again, which loses nothing; failing that the longest unused
//! of all, which gives that key a fresh burst at most.

mod recency;

use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use self::recency::Recency;
use crate::token_bucket::{Rate, TokenBucket};

/// A rate limit for each key, for a bounded number of keys. Shared by all threads.
#[derive(Debug)]
pub struct KeyedLimiter<K, S> {
    rate: Rate,
    hasher: S,
    shards: Vec<Mutex<Recency<K, TokenBucket, S>>>,
}

impl<K: Hash + Eq + Clone, S: BuildHasher + Clone> KeyedLimiter<K, S> {
    const SHARDS: usize = 16;

    /// Lets each key pass at `rate`, remembering about `keys` of them: never more, but at least one
    /// per shard. `hasher` should be seeded at random (`RandomState`): strangers choose the keys.
    #[must_use]
    pub fn new(rate: Rate, keys: usize, hasher: S) -> Self {
        let shards = Self::SHARDS.min(keys.max(1));
        Self {
            rate,
            shards: (0..shards)
                .map(|_| Mutex::new(Recency::new(keys / shards, hasher.clone())))
                .collect(),
            hasher,
        }
    }

    /// Lets one request of `key` pass.
    ///
    /// # Errors
    /// When the next one may pass, if this one may not.
    pub fn try_pass(&self, key: &K, now: Instant) -> Result<(), Instant> {
        // The high half: the shards' own maps use the low bits.
        let spread = usize::try_from(self.hasher.hash_one(key) >> 32).unwrap_or(0);
        let Some(shard) = self.shards.get(spread % self.shards.len().max(1)) else {
            return Ok(());
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = shard.update(
            key,
            TokenBucket::new(self.rate, now),
            |bucket| bucket.is_full(now),
            |bucket| {
                if bucket.try_take(now) {
                    Ok(())
                } else {
                    Err(bucket.ready_at(now).unwrap_or(now))
                }
            },
        );
        passed.unwrap_or(Ok(()))
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    /// Whether no key is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;
    use std::thread;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limiter(per_second: f64, burst: u32, keys: usize) -> KeyedLimiter<u32, RandomState> {
        KeyedLimiter::new(Rate::new(per_second, burst).unwrap(), keys, RandomState::new())
    }

    #[test]
    fn scenario_i1_the_third_of_two_is_told_when_to_come_again() {
        let now = Instant::now();
        let limiter = limiter(2.0, 2, 100);
        assert_eq!(limiter.try_pass(&1, now), Ok(()));
        assert_eq!(limiter.try_pass(&1, now), Ok(()));
        assert_eq!(limiter.try_pass(&1, now), Err(now + SECOND / 2));
        assert_eq!(limiter.try_pass(&2, now), Ok(()), "another key has its own rate");
        assert_eq!(limiter.try_pass(&1, now + SECOND / 2), Ok(()));
    }

    #[test]
    fn never_remembers_more_than_it_may() {
        let now = Instant::now();
        for keys in [0, 1, 7, 100, 1_000] {
            let limiter = limiter(1.0, 1, keys);
            for key in 0..5_000 {
                assert_eq!(limiter.try_pass(&key, now), Ok(()));
            }
            assert!(limiter.len() <= keys.max(1), "{} of {keys}", limiter.len());
            assert!(!limiter.is_empty());
        }
    }

    #[test]
    fn a_key_in_use_outlives_a_flood_of_others() {
        let now = Instant::now();
        let limiter = limiter(0.001, 1, 160);
        assert_eq!(limiter.try_pass(&0, now), Ok(()));
        for key in 1..5_000 {
            let _passes = limiter.try_pass(&key, now);
            assert!(limiter.try_pass(&0, now).is_err(), "after {key} others");
        }
    }

    #[test]
    fn threads_together_pass_no_more_than_the_rate() {
        let now = Instant::now();
        let limiter = limiter(1.0, 50, 1_000);
        let passed: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..200).filter(|_| limiter.try_pass(&9, now).is_ok()).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 50);
    }
}
