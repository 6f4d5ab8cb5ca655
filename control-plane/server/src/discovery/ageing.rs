//! When a stream is asked to connect again: it has been long enough, or this server is behind what the subscriber
//! runs and another may not be. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// How much longer or shorter than asked for a stream lives, so that those that came together do not leave together.
const JITTER: f64 = 0.2;
/// How long a server may be behind before the subscriber is sent to another.
const BEHIND: Duration = Duration::from_secs(5);
/// Within which time a subscriber is to connect again.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// The age of one stream.
#[derive(Debug)]
pub(crate) struct Ageing {
    old_at: Instant,
    behind_since: Option<Instant>,
    told_at: Option<Instant>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Ask the subscriber to connect again, for this reason.
    Ask(&'static str),
    /// It was asked and is still there.
    End,
}

impl Ageing {
    /// A stream that began now; `random` is in `[0, 1)`.
    pub(crate) fn new(now: Instant, age: Duration, random: f64) -> Self {
        Self {
            old_at: now + age.mul_f64(1.0 - JITTER + 2.0 * JITTER * random),
            behind_since: None,
            told_at: None,
        }
    }

    /// Whether the server is behind what the subscriber runs.
    pub(crate) fn note_behind(&mut self, is_behind: bool, now: Instant) {
        if !is_behind {
            self.behind_since = None;
        } else if self.behind_since.is_none() {
            self.behind_since = Some(now);
        }
    }

    /// When something is due if nothing happens before.
    pub(crate) fn wake_at(&self) -> Instant {
        match (self.told_at, self.behind_since) {
            (Some(told), _) => told + 2 * WITHIN,
            (None, Some(since)) => self.old_at.min(since + BEHIND),
            (None, None) => self.old_at,
        }
    }

    /// What is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        if now < self.wake_at() {
            return None;
        }
        if self.told_at.is_some() {
            return Some(Due::End);
        }
        self.told_at = Some(now);
        let is_old = now >= self.old_at;
        Some(Due::Ask(if is_old {
            "the stream is old"
        } else {
            "this server is behind"
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGE: Duration = Duration::from_secs(1800);

    #[test]
    fn a_stream_is_asked_once_and_ended_when_it_stays() {
        let now = Instant::now();
        let mut ageing = Ageing::new(now, AGE, 0.5);
        assert_eq!(ageing.due(now + AGE - Duration::from_secs(1)), None);
        assert_eq!(ageing.due(now + AGE), Some(Due::Ask("the stream is old")));
        assert_eq!(ageing.due(now + AGE + WITHIN), None);
        assert_eq!(ageing.due(now + AGE + 2 * WITHIN), Some(Due::End));
    }

    #[test]
    fn a_subscriber_that_is_ahead_for_five_seconds_is_sent_on() {
        let now = Instant::now();
        let mut ageing = Ageing::new(now, AGE, 0.5);
        let second = Duration::from_secs(1);
        ageing.note_behind(true, now);
        ageing.note_behind(true, now + 4 * second);
        assert_eq!(ageing.due(now + 4 * second), None);
        ageing.note_behind(false, now + 4 * second);
        assert_eq!(ageing.due(now + 6 * second), None);
        ageing.note_behind(true, now + 6 * second);
        assert_eq!(
            ageing.due(now + 11 * second),
            Some(Due::Ask("this server is behind"))
        );
    }

    proptest! {
        #[test]
        fn streams_that_came_together_do_not_leave_together(random in 0.0..1.0f64) {
            let now = Instant::now();
            let lives = Ageing::new(now, AGE, random).wake_at() - now;
            prop_assert!(lives >= AGE.mul_f64(0.8) && lives <= AGE.mul_f64(1.2));
            prop_assert!((lives.as_secs_f64() - AGE.as_secs_f64() * (0.8 + 0.4 * random)).abs() < 0.001);
        }
    }
}
