//! What happens during a soak: which node fails how and when, and how the configuration changes. Pure and seeded.
//!
//! At any time but in a blackout one node, the guard, is healthy and configured. Some time before its turn ends
//! the next one is, too, so that there is always one that has been for a while.

use std::time::Duration;

use fastrand::Rng;

use crate::configuration::Edit;

/// How long two guards' turns overlap.
pub(crate) const OVERLAP: Duration = Duration::from_secs(3);
/// Between two edits of the configuration.
const EDIT_EVERY: Duration = Duration::from_secs(1);
/// One turn in so many is a blackout.
const BLACKOUT_IN: u32 = 8;

/// How a node behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Healthy,
    /// Status 500 or 503.
    Failing,
    /// Answers, but late.
    Slow,
    /// 429 beyond a few requests per second.
    Throttling,
    /// Ends the connection within the body.
    Cutting,
    /// Ends the connection instead of an answer.
    Closing,
    /// Takes requests and says nothing.
    Hanging,
    /// Answers what is no JSON.
    Garbling,
}

const SICK: [Mood; 7] = [
    Mood::Failing,
    Mood::Slow,
    Mood::Throttling,
    Mood::Cutting,
    Mood::Closing,
    Mood::Hanging,
    Mood::Garbling,
];

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Action {
    /// A node behaves so from here on.
    Mood(usize, Mood),
    /// The configuration changes.
    Edit(Edit),
}

#[derive(Debug)]
struct Node {
    mood: Mood,
    configured: bool,
    /// When its mood may change next.
    changes_at: Duration,
}

/// The course of a soak, one tick after the other.
#[derive(Debug)]
pub(crate) struct Plan {
    random: Rng,
    nodes: Vec<Node>,
    /// The node that is healthy now; none in a blackout.
    guard: Option<usize>,
    /// The node that is healthy next, once it is.
    heir: Option<usize>,
    /// When the guard's turn, or the blackout, ends.
    turn_ends: Duration,
    /// The turn after this one is a blackout.
    blackout_next: bool,
    edit_at: Duration,
}

impl Plan {
    pub(crate) fn new(seed: u64, nodes: usize) -> Self {
        let nodes = (0..nodes).map(|_| Node {
            mood: Mood::Healthy,
            configured: true,
            changes_at: Duration::ZERO,
        });
        let mut plan = Self {
            random: Rng::with_seed(seed),
            nodes: nodes.collect(),
            guard: Some(0),
            heir: None,
            turn_ends: Duration::ZERO,
            blackout_next: false,
            edit_at: EDIT_EVERY,
        };
        plan.turn_ends = plan.millis(5_000..9_000);
        plan
    }

    /// What is to be done at `now`, in this order. Times must rise.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        if now >= self.turn_ends {
            self.next_turn(now, &mut actions);
        }
        let ends_soon = now + OVERLAP >= self.turn_ends;
        if ends_soon && self.guard.is_some() && self.heir.is_none() && !self.blackout_next {
            self.heir = self.heal_another(&mut actions);
        }
        for index in 0..self.nodes.len() {
            self.change_mood(index, now, &mut actions);
        }
        if now >= self.edit_at {
            self.edit_at += EDIT_EVERY;
            actions.push(Action::Edit(self.edit()));
        }
        actions
    }

    /// Every node is healthy and configured; for the end of a soak.
    pub(crate) fn recover(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        for index in 0..self.nodes.len() {
            self.heal(index, &mut actions);
        }
        actions
    }

    fn next_turn(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.blackout_next {
            self.blackout_next = false;
            (self.guard, self.heir) = (None, None);
            self.turn_ends = now + self.millis(2_000..4_000);
            for node in &mut self.nodes {
                node.changes_at = now;
            }
            return;
        }
        self.guard = match self.heir.take() {
            None => self.heal_another(actions),
            heir => heir,
        };
        self.turn_ends = now + self.millis(4_000..9_000);
        self.blackout_next = self.random.u32(0..BLACKOUT_IN) == 0;
    }

    /// Heals a node that is not the guard.
    fn heal_another(&mut self, actions: &mut Vec<Action>) -> Option<usize> {
        let others: Vec<usize> = (0..self.nodes.len())
            .filter(|index| Some(*index) != self.guard)
            .collect();
        let chosen = self.random.choice(others)?;
        self.heal(chosen, actions);
        Some(chosen)
    }

    fn heal(&mut self, index: usize, actions: &mut Vec<Action>) {
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        if !node.configured {
            node.configured = true;
            actions.push(Action::Edit(put(index, 1.0)));
        }
        if node.mood != Mood::Healthy {
            node.mood = Mood::Healthy;
            actions.push(Action::Mood(index, Mood::Healthy));
        }
    }

    fn change_mood(&mut self, index: usize, now: Duration, actions: &mut Vec<Action>) {
        if self.is_protected(index) {
            return;
        }
        let sick = self.guard.is_none() || self.random.u32(0..10) < 7;
        let mood = if sick {
            self.random.choice(SICK).unwrap_or(Mood::Failing)
        } else {
            Mood::Healthy
        };
        let next = now + self.millis(300..3_000);
        if let Some(node) = self.nodes.get_mut(index)
            && now >= node.changes_at
        {
            node.changes_at = next;
            node.mood = mood;
            actions.push(Action::Mood(index, mood));
        }
    }

    fn edit(&mut self) -> Edit {
        let configured = self.configured().len();
        let free: Vec<usize> = (0..self.nodes.len())
            .filter(|index| !self.is_protected(*index))
            .collect();
        match self.random.u32(0..10) {
            0 => Edit::Breaker {
                failures: self.random.u32(2..8),
                timeout_ms: self.random.u32(200..1_500),
            },
            1..=5 if !free.is_empty() => {
                let index = self.random.choice(free).unwrap_or(0);
                match self.nodes.get_mut(index) {
                    Some(node) if node.configured && configured > 1 => {
                        node.configured = false;
                        Edit::Remove {
                            upstream: number(index),
                        }
                    }
                    Some(node) => {
                        node.configured = true;
                        put(index, 1.0)
                    }
                    None => put(0, 1.0),
                }
            }
            _ => {
                let there = self.configured();
                let index = self.random.choice(there).unwrap_or(0);
                let weight = f64::from(self.random.u32(1..20)) / 2.0;
                put(index, weight)
            }
        }
    }

    fn configured(&self) -> Vec<usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| node.configured)
            .map(|(index, _)| index)
            .collect()
    }

    fn is_protected(&self, index: usize) -> bool {
        self.guard == Some(index) || self.heir == Some(index)
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.u64(range))
    }
}

fn put(index: usize, weight: f64) -> Edit {
    Edit::Put {
        upstream: number(index),
        weight,
    }
}

/// Nodes are few.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    /// Since when each node has been healthy and configured, followed from the actions alone.
    #[derive(Default)]
    struct Seen {
        sick: [bool; 3],
        removed: [bool; 3],
        good_since: [Option<Duration>; 3],
    }

    impl Seen {
        fn follow(&mut self, action: Action, now: Duration) {
            match action {
                Action::Mood(index, mood) => self.sick[index] = mood != Mood::Healthy,
                Action::Edit(Edit::Remove { upstream }) => self.removed[upstream as usize] = true,
                Action::Edit(Edit::Put { upstream, .. }) => self.removed[upstream as usize] = false,
                Action::Edit(Edit::Breaker { .. }) => {}
            }
            for index in 0..3 {
                let good = !self.sick[index] && !self.removed[index];
                self.good_since[index] = good.then(|| self.good_since[index].unwrap_or(now));
            }
        }

        fn longest(&self, now: Duration) -> Option<Duration> {
            self.good_since.iter().flatten().map(|since| now - *since).max()
        }
    }

    #[test]
    fn one_node_has_been_good_for_a_while_but_in_and_after_blackouts() {
        for seed in 0..50 {
            let mut plan = Plan::new(seed, 3);
            let mut seen = Seen {
                good_since: [Some(Duration::ZERO); 3],
                ..Seen::default()
            };
            let mut dark_until = Duration::ZERO;
            for tick in 0..6_000 {
                let now = TICK * tick;
                for action in plan.tick(now) {
                    seen.follow(action, now);
                }
                match seen.longest(now) {
                    None => {
                        assert_eq!(plan.guard, None, "seed {seed} at {now:?}");
                        dark_until = now + OVERLAP + TICK * 2;
                    }
                    Some(longest) if now > dark_until.max(OVERLAP) => {
                        assert!(
                            longest + TICK * 2 >= OVERLAP,
                            "seed {seed} at {now:?}: {longest:?}"
                        );
                    }
                    Some(_) => {}
                }
            }
            assert!(dark_until > Duration::ZERO, "seed {seed} never went dark");
        }
    }

    #[test]
    fn every_mood_and_every_edit_comes_up() {
        let mut plan = Plan::new(1, 3);
        let actions: Vec<Action> = (0..3_000).flat_map(|tick| plan.tick(TICK * tick)).collect();
        for mood in SICK {
            let met = |action: &Action| matches!(action, Action::Mood(_, met) if *met == mood);
            assert!(actions.iter().any(met), "{mood:?}");
        }
        let edits = |wanted: fn(&Edit) -> bool| {
            let edits = actions.iter().filter_map(|action| match action {
                Action::Edit(edit) => Some(edit),
                Action::Mood(..) => None,
            });
            edits.filter(|edit| wanted(edit)).count()
        };
        assert!(edits(|edit| matches!(edit, Edit::Breaker { .. })) > 10);
        assert!(edits(|edit| matches!(edit, Edit::Remove { .. })) > 10);
        assert!(edits(|_| true) >= 299);
    }

    #[test]
    fn the_same_seed_makes_the_same_course() {
        let course = |seed| {
            let mut plan = Plan::new(seed, 3);
            let actions: Vec<Action> = (0..500).flat_map(|tick| plan.tick(TICK * tick)).collect();
            actions
        };
        assert_eq!(course(3), course(3));
        assert_ne!(course(3), course(4));
    }

    #[test]
    fn recovery_leaves_nobody_sick_or_out() {
        let mut plan = Plan::new(2, 3);
        for tick in 0..500 {
            plan.tick(TICK * tick);
        }
        plan.recover();
        assert!(
            plan.nodes
                .iter()
                .all(|node| node.mood == Mood::Healthy && node.configured)
        );
    }
}
