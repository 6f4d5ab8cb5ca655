//! What answers have taught about the upstream at one place: how fast it is, what it lacks, when it wants to be
//! left alone.
//!
//! Most upstreams are in good standing most of the time; flags say so without a lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tyrscale_balance::{
    BlockBounds, BoundSettings, CoolDown, CoolDownSettings, CoolDownTicket, ExclusionCause, Facts,
    LearnedMethods, MethodLessons, Onset, PeakEwma,
};
use tyrscale_jsonrpc::{Blame, Class, Exclusion, Lesson};

use crate::subject::{Needs, Subject};

/// What is known of an upstream from its answers.
#[derive(Debug)]
pub(super) struct Learnt {
    state: Mutex<State>,
    /// Whether the rests or methods in the state may keep a request away.
    has_obstacles: AtomicBool,
    /// Whether the state knows which blocks it has.
    knows_blocks: AtomicBool,
    pub(super) latency: PeakEwma,
    pub(super) onset: Onset,
}

#[derive(Debug)]
struct State {
    cool_down: CoolDown,
    /// From the beginning of a rest until the upstream is fully back.
    is_resting: bool,
    /// Of before the first rest: of a state that has ended once there was one.
    first: CoolDownTicket,
    methods: LearnedMethods,
    bounds: BlockBounds,
}

impl Learnt {
    pub(super) fn new(now: Instant) -> Self {
        let mut cool_down = CoolDown::new(CoolDownSettings::default());
        let first = cool_down.begin(now);
        let onset = Onset::settled(now);
        Self {
            state: Mutex::new(State {
                cool_down,
                is_resting: false,
                first,
                methods: LearnedMethods::new(MethodLessons::default()),
                bounds: BlockBounds::new(BoundSettings::default()),
            }),
            has_obstacles: AtomicBool::new(false),
            knows_blocks: AtomicBool::new(false),
            latency: PeakEwma::new(PeakEwma::DECAY, now),
            onset,
        }
    }

    /// Writes what it knows into the facts about a question.
    pub(super) fn tell(&self, facts: &mut Facts, subject: Option<&Subject<'_>>, now: Instant) {
        let needs = subject.and_then(|subject| self.needs(subject));
        let has_obstacles = self.has_obstacles.load(Ordering::Relaxed);
        if !has_obstacles && needs.is_none() {
            return;
        }
        let state = self.lock();
        if has_obstacles {
            facts.exclusion = state.cool_down.exclusion(now);
            let serves = |method: &&str| state.methods.serves(method, now);
            facts.serves_method = subject.is_none_or(|subject| subject.methods().iter().all(serves));
        }
        if let Some(needs) = needs {
            facts.reach = needs.reach(&state.bounds, now);
        }
    }

    /// The blocks that a question needs; `None` when it needs none, or nothing is known of the upstream's.
    fn needs<'s>(&self, subject: &'s Subject<'_>) -> Option<&'s Needs> {
        let knows_blocks = self.knows_blocks.load(Ordering::Relaxed);
        knows_blocks
            .then(|| subject.needs())
            .filter(|needs| !needs.are_none())
    }

    /// An attempt begins. `None`: in good standing, which need not be remembered.
    pub(super) fn begin(&self, now: Instant) -> Option<CoolDownTicket> {
        if !self.has_obstacles.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.lock();
        state.is_resting.then(|| state.cool_down.begin(now))
    }

    /// The upstream answered; with what was asked for, if it `served` it.
    pub(super) fn on_answer(
        &self,
        ticket: Option<CoolDownTicket>,
        subject: &Subject<'_>,
        served: bool,
        now: Instant,
    ) {
        let needs = self.needs(subject).filter(|_| served && subject.len() == 1);
        let has_obstacles = self.has_obstacles.load(Ordering::Relaxed);
        if !has_obstacles && needs.is_none() && ticket.is_none() {
            return;
        }
        let mut state = self.lock();
        self.on_good(&mut state, ticket, now);
        let State { methods, bounds, .. } = &mut *state;
        if has_obstacles
            && served
            && let Some(method) = subject.only_method()
        {
            methods.on_served(method);
        }
        let lowest = needs.map(Needs::lowest);
        lowest
            .into_iter()
            .flatten()
            .for_each(|(kind, block)| bounds.on_served(kind, block));
        self.look(&state, now);
    }

    /// The upstream did not answer, or answered that it does not serve this.
    pub(super) fn on_failure(
        &self,
        ticket: Option<CoolDownTicket>,
        class: Class,
        retry_after: Option<Duration>,
        subject: &Subject<'_>,
        now: Instant,
    ) {
        let policy = class.policy();
        let mut state = self.lock();
        match policy.exclusion {
            Exclusion::Short => state.rest(ticket, ExclusionCause::Throttled, retry_after, now),
            Exclusion::Long if class == Class::Billing => {
                state.rest(ticket, ExclusionCause::Billing, None, now);
            }
            // Nobody looks at its chain again, so that it would be out for good.
            Exclusion::Long | Exclusion::Removed => {
                state.rest(ticket, ExclusionCause::Unauthorised, None, now);
            }
            Exclusion::None if policy.blame != Blame::Nobody => {
                if let Some(ticket) = ticket {
                    state.cool_down.on_bad(ticket);
                }
            }
            Exclusion::None => self.on_good(&mut state, ticket, now),
        }
        match (policy.lesson, subject.only_method()) {
            (Some(Lesson::Method), Some(method)) => {
                state.methods.on_unsupported(method, now);
            }
            (Some(Lesson::Data), Some(_)) => self.on_missing(&mut state, subject, now),
            _ => {}
        }
        self.look(&state, now);
    }

    /// Without a head nobody could tell what is pruned from what no node has yet, and any client could teach that
    /// everything is missing.
    fn on_missing(&self, state: &mut State, subject: &Subject<'_>, now: Instant) {
        if state.bounds.head().height().is_none() {
            return;
        }
        for (kind, block) in subject.needs().lowest() {
            state.bounds.on_missing(kind, block, now);
        }
    }

    fn on_good(&self, state: &mut State, ticket: Option<CoolDownTicket>, now: Instant) {
        if let Some(ticket) = ticket
            && state.cool_down.on_good(ticket, now)
        {
            state.is_resting = false;
            self.onset.begin(now);
        }
    }

    /// The upstream reported a block of this height.
    pub(super) fn saw_head(&self, height: u64, now: Instant) {
        self.lock().bounds.saw_head(height, now);
        self.knows_blocks.store(true, Ordering::Relaxed);
    }

    /// The height of its head, if it is known.
    pub(super) fn head(&self) -> Option<u64> {
        if !self.knows_blocks.load(Ordering::Relaxed) {
            return None;
        }
        self.lock().bounds.head().height()
    }

    /// The height of its head and how long ago that was seen, if it is known.
    pub(super) fn head_with_age(&self, now: Instant) -> Option<(u64, Duration)> {
        if !self.knows_blocks.load(Ordering::Relaxed) {
            return None;
        }
        let state = self.lock();
        let head = state.bounds.head();
        head.height().zip(head.age(now))
    }

    fn look(&self, state: &State, now: Instant) {
        let has_obstacles = state.is_resting || state.methods.lacking(now).next().is_some();
        self.has_obstacles.store(has_obstacles, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn rest(
        &mut self,
        ticket: Option<CoolDownTicket>,
        cause: ExclusionCause,
        retry_after: Option<Duration>,
        now: Instant,
    ) {
        let ticket = match ticket {
            Some(ticket) => ticket,
            None if self.is_resting => self.first,
            None => self.cool_down.begin(now),
        };
        self.cool_down.on_excluded(ticket, cause, retry_after, now);
        self.is_resting = true;
    }
}
