//! Since when each node could have answered: what decides whether a failed request counts.

use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
struct Node {
    healthy: bool,
    configured: bool,
    /// Since when it is both.
    since: Option<Instant>,
}

/// What is known of all nodes, at the moment it is asked.
#[derive(Debug)]
pub(crate) struct Truth(Vec<Node>);

impl Truth {
    /// All are healthy and configured since `now`.
    pub(crate) fn new(nodes: usize, now: Instant) -> Self {
        let node = Node {
            healthy: true,
            configured: true,
            since: Some(now),
        };
        Self(vec![node; nodes])
    }

    pub(crate) fn set_healthy(&mut self, index: usize, healthy: bool, now: Instant) {
        self.change(index, now, |node| node.healthy = healthy);
    }

    pub(crate) fn set_configured(&mut self, index: usize, configured: bool, now: Instant) {
        self.change(index, now, |node| node.configured = configured);
    }

    fn change(&mut self, index: usize, now: Instant, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.0.get_mut(index) {
            change(node);
            let good = node.healthy && node.configured;
            node.since = good.then(|| node.since.unwrap_or(now));
        }
    }

    /// Whether one node has been healthy and configured without a break since `settle` before `from`.
    pub(crate) fn could_answer(&self, from: Instant, settle: Duration) -> bool {
        self.0
            .iter()
            .filter_map(|node| node.since)
            .any(|since| since + settle <= from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_starts_the_clock_again() {
        let t0 = Instant::now();
        let second = Duration::from_secs(1);
        let mut truth = Truth::new(1, t0);
        assert!(truth.could_answer(t0, Duration::ZERO));
        truth.set_healthy(0, false, t0 + second);
        assert!(!truth.could_answer(t0 + second, Duration::ZERO));
        truth.set_configured(0, false, t0 + second);
        truth.set_healthy(0, true, t0 + second * 2);
        assert!(!truth.could_answer(t0 + second * 9, Duration::ZERO));
        truth.set_configured(0, true, t0 + second * 3);
        assert!(!truth.could_answer(t0 + second * 3, second));
        assert!(truth.could_answer(t0 + second * 4, second));
    }
}
