//! How often somebody may do something: a token bucket each, for a bounded number of somebodies.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For how many there is a bucket of their own; all others share one.
const CAPACITY: usize = 16_384;

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// How often at once.
    pub burst: u32,
    /// Until one more may happen.
    pub every: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn refill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let gained = passed / rate.every.as_secs_f64().max(1e-9);
        self.left = (self.left + gained).min(f64::from(rate.burst));
        self.at = now;
    }
}

#[derive(Debug)]
struct Buckets<K> {
    own: HashMap<K, Bucket>,
    shared: Option<Bucket>,
}

/// A bucket for each of many.
#[derive(Debug)]
pub(crate) struct Limiter<K> {
    rate: Rate,
    buckets: Mutex<Buckets<K>>,
}

impl<K: Eq + Hash + Clone> Limiter<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: Mutex::new(Buckets {
                own: HashMap::new(),
                shared: None,
            }),
        }
    }

    /// Counts one, and says whether it may happen.
    pub(crate) fn take(&self, key: &K, now: Instant) -> bool {
        self.with(key, now, |bucket| {
            let may = bucket.left >= 1.0;
            if may {
                bucket.left -= 1.0;
            }
            may
        })
    }

    fn with<T>(&self, key: &K, now: Instant, use_bucket: impl FnOnce(&mut Bucket) -> T) -> T {
        let full = Bucket {
            left: f64::from(self.rate.burst),
            at: now,
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let buckets = &mut *buckets;
        if buckets.own.len() >= CAPACITY && !buckets.own.contains_key(key) {
            let rate = self.rate;
            // Those that are full again are as good as new.
            buckets.own.retain(|_, bucket| {
                bucket.refill(rate, now);
                bucket.left < f64::from(rate.burst)
            });
        }
        let bucket = if buckets.own.len() < CAPACITY || buckets.own.contains_key(key) {
            buckets.own.entry(key.clone()).or_insert(full)
        } else {
            buckets.shared.get_or_insert(full)
        };
        bucket.refill(self.rate, now);
        use_bucket(bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        burst: 2,
        every: Duration::from_secs(1),
    };

    #[test]
    fn each_has_a_burst_and_then_its_rate() {
        let limiter = Limiter::new(RATE);
        let start = Instant::now();
        assert!(limiter.take(&1, start) && limiter.take(&1, start));
        assert!(!limiter.take(&1, start));
        assert!(limiter.take(&2, start));
        let later = start + Duration::from_secs(1);
        assert!(limiter.take(&1, later));
        assert!(!limiter.take(&1, later));
    }

    #[test]
    fn those_beyond_the_capacity_share_and_memory_is_bounded() {
        let limiter = Limiter::new(RATE);
        let start = Instant::now();
        let taken = (0..CAPACITY + 100).filter(|key| limiter.take(key, start)).count();
        assert_eq!(taken, CAPACITY + 2);
        assert_eq!(limiter.buckets.lock().unwrap().own.len(), CAPACITY);
        assert!(limiter.take(&(CAPACITY + 200), start + Duration::from_secs(5)));
    }
}
