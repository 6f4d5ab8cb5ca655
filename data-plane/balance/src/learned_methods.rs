//! Which methods an upstream has said it does not serve.
//!
//! Learnt from "method not found" and its relatives, forgotten after a while (nodes are upgraded,
//! plans change) and at once when the method works after all. Bounded: clients choose the names.

use std::time::{Duration, Instant};

/// How methods are learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodLessons {
    /// How many methods are remembered at most; the one to be forgotten first makes way.
    pub most: usize,
    /// How long each is remembered.
    pub lasts: Duration,
}

impl Default for MethodLessons {
    /// 64 methods, each for 10 minutes.
    fn default() -> Self {
        Self {
            most: 64,
            lasts: Duration::from_secs(600),
        }
    }
}

/// The methods that one upstream is known to lack.
#[derive(Debug, Clone)]
pub struct LearnedMethods {
    lessons: MethodLessons,
    lacking: Vec<Lesson>,
}

#[derive(Debug, Clone)]
struct Lesson {
    method: Box<str>,
    ends: Instant,
}

impl LearnedMethods {
    /// The longest name that is remembered, in bytes. Real ones are shorter.
    const LONGEST: usize = 128;

    /// Nothing is known.
    #[must_use]
    pub const fn new(lessons: MethodLessons) -> Self {
        Self {
            lessons,
            lacking: Vec::new(),
        }
    }

    /// Whether the upstream serves `method`, as far as is known.
    #[must_use]
    pub fn serves(&self, method: &str, now: Instant) -> bool {
        !self
            .lacking
            .iter()
            .any(|lesson| now < lesson.ends && *lesson.method == *method)
    }

    /// It answered that it does not serve `method`. Returns whether that is news.
    pub fn on_unsupported(&mut self, method: &str, now: Instant) -> bool {
        let news = self.serves(method, now);
        self.lacking
            .retain(|lesson| now < lesson.ends && *lesson.method != *method);
        if method.len() > Self::LONGEST || self.lessons.most == 0 {
            return false;
        }
        if self.lacking.len() >= self.lessons.most {
            // They are in the order of their ends.
            self.lacking.remove(0);
        }
        self.lacking.push(Lesson {
            method: method.into(),
            ends: now + self.lessons.lasts,
        });
        news
    }

    /// It answered a request for `method`. Returns whether a lesson was wrong.
    pub fn on_served(&mut self, method: &str) -> bool {
        let before = self.lacking.len();
        self.lacking.retain(|lesson| *lesson.method != *method);
        self.lacking.len() < before
    }

    /// The methods that it is known to lack, for status.
    pub fn lacking(&self, now: Instant) -> impl Iterator<Item = &str> {
        self.lacking
            .iter()
            .filter(move |lesson| now < lesson.ends)
            .map(|lesson| &*lesson.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Duration = Duration::from_secs(600);

    fn learned() -> LearnedMethods {
        LearnedMethods::new(MethodLessons::default())
    }

    #[test]
    fn a_lesson_is_about_one_method_and_ends() {
        let t0 = Instant::now();
        let mut learned = learned();
        assert!(learned.on_unsupported("trace_block", t0));
        assert!(!learned.serves("trace_block", t0));
        assert!(learned.serves("trace_call", t0));
        assert!(learned.serves("trace_block", t0 + LASTS));
        assert_eq!(learned.lacking(t0).collect::<Vec<_>>(), ["trace_block"]);
        assert_eq!(learned.lacking(t0 + LASTS).count(), 0);
    }

    #[test]
    fn a_repeated_lesson_lasts_longer_and_is_no_news() {
        let t0 = Instant::now();
        let mut learned = learned();
        learned.on_unsupported("trace_block", t0);
        assert!(!learned.on_unsupported("trace_block", t0 + LASTS / 2));
        assert!(!learned.serves("trace_block", t0 + LASTS));
        assert_eq!(learned.lacking.len(), 1);
    }

    #[test]
    fn a_method_that_works_is_served() {
        let t0 = Instant::now();
        let mut learned = learned();
        learned.on_unsupported("trace_block", t0);
        assert!(learned.on_served("trace_block"));
        assert!(learned.serves("trace_block", t0));
        assert!(!learned.on_served("trace_block"));
    }

    #[test]
    fn strangers_cannot_make_it_grow() {
        let t0 = Instant::now();
        let mut learned = learned();
        for number in 0..1_000 {
            learned.on_unsupported(&format!("x_{number}"), t0);
        }
        assert_eq!(learned.lacking.len(), 64);
        assert!(!learned.serves("x_999", t0) && learned.serves("x_935", t0));
        learned.on_unsupported(&"x".repeat(129), t0);
        assert!(!learned.serves("x_999", t0), "a long name takes nobody's place");
    }
}
