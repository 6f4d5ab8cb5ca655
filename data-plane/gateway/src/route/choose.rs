//! Which upstream of a route is asked next.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;
use tokio::time::Instant;
use tyrscale_balance::{Ask, Bar, Choice, Facts, Headroom, Obstacle, OutOfReach, Reach, Selector};

use super::{Route, Share};
use crate::attempt::Attempt;
use crate::endpoint::Endpoint;
use crate::shortage::Shortage;
use crate::subject::Subject;

/// As many upstreams as most routes have at most.
const USUAL: usize = 16;

/// What is known of each endpoint of a route.
type AllFacts = SmallVec<[Facts; USUAL]>;

/// What a request has had to do with each endpoint of its route.
#[derive(Debug)]
pub(crate) struct Marks {
    of_each: SmallVec<[Mark; USUAL]>,
    /// Whether it has had to do with any.
    are_touched: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Fresh,
    /// Asked, and not again.
    Asked,
    /// Asked, and may be once more when no other is left.
    MayBeAskedAgain,
}

impl Marks {
    /// Nothing, with so many.
    pub(crate) fn new(endpoints: usize) -> Self {
        Self {
            of_each: SmallVec::from_elem(Mark::Fresh, endpoints),
            are_touched: false,
        }
    }

    /// The endpoint at `position` may be asked once more.
    pub(crate) fn allow_again(&mut self, position: usize) {
        self.set(position, Mark::MayBeAskedAgain);
    }

    /// Whether one has not been asked yet.
    pub(crate) fn has_fresh(&self) -> bool {
        self.of_each.contains(&Mark::Fresh)
    }

    fn set(&mut self, position: usize, mark: Mark) {
        if let Some(slot) = self.of_each.get_mut(position) {
            self.are_touched = true;
            *slot = mark;
        }
    }

    fn is_tried(&self, position: usize, again: bool) -> bool {
        match self.of_each.get(position) {
            Some(Mark::Fresh) => false,
            Some(Mark::MayBeAskedAgain) => !again,
            Some(Mark::Asked) | None => true,
        }
    }
}

/// What to do next with a request.
#[derive(Debug)]
pub(crate) enum Next {
    /// Ask this one, which stands at the position.
    Ask(Attempt, usize),
    /// Look again then, or when an upstream has become free.
    Wait(Option<Instant>),
    /// Nobody can take it.
    Nobody(Shortage),
}

/// What is to be chosen for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need<'q, 'c> {
    pub(crate) subject: &'q Subject<'c>,
    /// Until when the request could wait.
    pub(crate) patience: Instant,
    /// Whether it waits for its turn already.
    pub(crate) is_queued: bool,
    pub(crate) now: Instant,
}

impl Route {
    /// Chooses an endpoint and begins an attempt at it; among those asked before only `again`.
    pub(crate) fn next(&self, need: &Need<'_, '_>, marks: &mut Marks, again: bool) -> Next {
        let now = need.now.into_std();
        let turns = self.turns.load();
        let selector = &turns.selector;
        if let Some(asked) = self.next_of_two(selector, need, marks) {
            return asked;
        }
        // Each turn that finds its choice taken by another request has one choice less.
        let mut facts = AllFacts::new();
        for _ in 0..=self.endpoints.len() {
            self.look(&mut facts, Some(need.subject), now, |position| {
                marks.is_tried(position, again)
            });
            if !need.is_queued && self.queue.has_waiting() {
                self.leave_slots(&mut facts);
            }
            let mut choice = selector.select(&facts, &ask(need));
            if matches!(choice, Choice::Nobody { .. }) && doubt_heads(&mut facts) {
                choice = selector.select(&facts, &ask(need));
            }
            match choice {
                Choice::Take { position, fail_open } => {
                    if let Some(attempt) = self.begin(position, fail_open, need) {
                        marks.set(position, Mark::Asked);
                        return Next::Ask(attempt, position);
                    }
                }
                Choice::Wait { until, .. } => return Next::Wait(until.map(Instant::from_std)),
                Choice::Nobody { retry_at } => {
                    return Next::Nobody(Shortage::of(selector.obstacles(&facts), &facts, retry_at));
                }
            }
        }
        // All were taken by others meanwhile, and will be free again.
        if need.now < need.patience {
            Next::Wait(None)
        } else {
            Next::Nobody(Shortage::default())
        }
    }

    /// The choice for a request that was not tried yet and need not wait, where a look at two endpoints is enough.
    fn next_of_two(&self, selector: &Selector, need: &Need<'_, '_>, marks: &mut Marks) -> Option<Next> {
        if marks.are_touched || self.rules.slow_start.is_some() || self.queue.has_waiting() {
            return None;
        }
        let pair = selector.pair(fastrand::u64(..))?;
        let facts_at = |position: usize| {
            let (endpoint, share) = self.endpoints.get(position).zip(self.shares.get(position))?;
            Some(self.facts_of(endpoint, share, Some(need.subject), need.now.into_std()))
        };
        let [first, second] = pair.map(facts_at);
        let position = selector.better([(pair[0], &first?), (pair[1], &second?)])?;
        let attempt = self.begin(position, false, need)?;
        marks.set(position, Mark::Asked);
        Some(Next::Ask(attempt, position))
    }

    /// Leaves the slots of upstreams that have a number of them to those who wait.
    fn leave_slots(&self, facts: &mut [Facts]) {
        for (facts, endpoint) in facts.iter_mut().zip(&self.endpoints) {
            if facts.headroom == Headroom::Free && endpoint.has_slots() {
                facts.headroom = Headroom::NoSlot;
            }
        }
    }

    /// Chooses up to `width` endpoints that are asked at once, and begins an attempt at each.
    pub(crate) fn next_few(
        &self,
        need: &Need<'_, '_>,
        marks: &mut Marks,
        width: usize,
    ) -> Vec<(Attempt, usize)> {
        let now = need.now.into_std();
        let mut facts = self.facts(Some(need.subject), now, |position| {
            marks.is_tried(position, false)
        });
        if !need.is_queued && self.queue.has_waiting() {
            self.leave_slots(&mut facts);
        }
        let racers = self.turns.load().selector.racers(&facts, &ask(need), width);
        let begun = racers.iter().filter_map(|position| {
            let attempt = self.begin(position, false, need)?;
            marks.set(position, Mark::Asked);
            Some((attempt, position))
        });
        begun.collect()
    }

    /// Why nobody can take it now.
    pub(crate) fn nobody(&self, need: &Need<'_, '_>, marks: &Marks) -> Next {
        let now = need.now.into_std();
        let facts = self.facts(Some(need.subject), now, |position| {
            marks.is_tried(position, false)
        });
        let turns = self.turns.load();
        Next::Nobody(Shortage::of(turns.selector.obstacles(&facts), &facts, None))
    }

    /// Whether an endpoint that was asked before could be asked again now.
    pub(crate) fn can_ask_again(&self, subject: &Subject<'_>, marks: &Marks, now: Instant) -> bool {
        let facts = self.facts(Some(subject), now.into_std(), |position| {
            marks.is_tried(position, true)
        });
        self.turns
            .load()
            .selector
            .obstacles(&facts)
            .any(|obstacle| obstacle.is_none())
    }

    /// What stands against each of its endpoints, whatever is asked of it.
    pub(crate) fn obstacles(&self, now: Instant) -> Vec<(&Arc<Endpoint>, Option<Obstacle>)> {
        let facts = self.facts(None, now.into_std(), |_| false);
        let turns = self.turns.load();
        let obstacles = turns.selector.obstacles(&facts);
        self.endpoints.iter().zip(obstacles).collect()
    }

    /// Begins once more at the very endpoint at `position`.
    pub(crate) fn begin_at(&self, position: usize, need: &Need<'_, '_>) -> Option<Attempt> {
        self.begin(position, false, need)
    }

    fn begin(&self, position: usize, fail_open: bool, need: &Need<'_, '_>) -> Option<Attempt> {
        let endpoint = self.endpoints.get(position)?;
        let entry = endpoint.enter_with(need.subject.len(), fail_open, need.now.into_std())?;
        if fail_open {
            self.stats.retries.fail_open.fetch_add(1, Ordering::Relaxed);
        }
        Some(Attempt::begin(entry, need.now))
    }

    fn facts(
        &self,
        subject: Option<&Subject<'_>>,
        now: std::time::Instant,
        is_tried: impl Fn(usize) -> bool,
    ) -> AllFacts {
        let mut all = AllFacts::new();
        self.look(&mut all, subject, now, is_tried);
        all
    }

    /// Writes the facts of all endpoints into `all`, where they stay: they are too many to be moved.
    fn look(
        &self,
        all: &mut AllFacts,
        subject: Option<&Subject<'_>>,
        now: std::time::Instant,
        is_tried: impl Fn(usize) -> bool,
    ) {
        all.clear();
        all.reserve(self.endpoints.len());
        for (position, (endpoint, share)) in self.endpoints.iter().zip(&self.shares).enumerate() {
            let mut facts = self.facts_of(endpoint, share, subject, now);
            facts.tried = is_tried(position);
            all.push(facts);
        }
    }

    /// The facts of one endpoint, whether or not it was tried.
    #[inline]
    fn facts_of(
        &self,
        endpoint: &Endpoint,
        share: &Share,
        subject: Option<&Subject<'_>>,
        now: std::time::Instant,
    ) -> Facts {
        let mut facts = endpoint.facts(subject, self.rules.slow_start.as_ref(), now);
        if self.selection.strategy.compares_latency() {
            facts.latency = endpoint.latency(now);
        }
        if share.operator.cordoned {
            facts.bar = Some(Bar::Cordoned);
        }
        facts
    }
}

fn ask(need: &Need<'_, '_>) -> Ask {
    Ask {
        now: need.now.into_std(),
        random: fastrand::u64(..),
        patience: need.patience.into_std(),
    }
}

/// When nobody is left, a block above the heads that are known is asked for all the same: its absence is an answer,
/// too, which only a node can give. Returns whether that changes anything.
fn doubt_heads(facts: &mut [Facts]) -> bool {
    let mut changed = false;
    for facts in facts {
        if matches!(facts.reach, Reach::No(OutOfReach::AboveHead { .. })) {
            facts.reach = Reach::Unknown;
            changed = true;
        }
    }
    changed
}
