//! The attempts of one request: one upstream after the other, until one answers or none is left.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tyrscale_balance::Deadline;
use tyrscale_http1::Timer;
use tyrscale_jsonrpc::{Blame, Class, ErrorReply};

use crate::attempt::Attempt;
use crate::config::Settings;
use crate::failures::Failures;
use crate::lookups::Lookup;
use crate::pool::Use;
use crate::route::{Marks, Need, Next, Route, Several};
use crate::trace::{Event, Journal};
use crate::upstream::{Failure, Place, Question, Reply, Time, ask};

mod broadcast;
mod hedge;
mod race;
mod round;

pub(crate) use broadcast::Broadcasts;

use round::{Ending, Round};

/// What a usual answer takes: nobody waits so long that less is left.
const USUAL_ANSWER: Duration = Duration::from_millis(50);
/// How long a request waits for an upstream at most.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Who waits looks again that often, for whoever was woken may have had no use for what became free.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a request has been through, in one question or several.
#[derive(Debug)]
pub(crate) struct Course {
    marks: Marks,
    deadline: Deadline,
    /// Until when it may wait for an upstream.
    wait_until: Instant,
    attempts_left: u32,
    again_left: u32,
    /// Pauses made so far.
    pauses: u32,
    /// One that may not have seen the request, because it was closing an idle connection.
    unseen: Option<usize>,
    /// Whether an attempt was made.
    has_begun: bool,
    /// Whether the next attempt is a retry that the route's budget pays for.
    owes: bool,
    /// Whether it has a place in the route's queue.
    is_queued: bool,
    now: Instant,
}

/// An attempt that is about to be made.
#[derive(Debug)]
struct Planned {
    attempt: Attempt,
    /// Of its endpoint.
    position: usize,
    which: Use,
}

impl Course {
    /// A request of the route begins.
    pub(crate) fn new(route: &Route, settings: &Settings) -> Self {
        let attempts = route.rules.attempts(route.endpoints().len());
        let course = Self::beside(route, settings, attempts);
        route.budget.on_request(course.now.into_std());
        course
    }

    /// The gateway asks something of its own beside a request, in so many attempts.
    pub(crate) fn beside(route: &Route, settings: &Settings, attempts: u32) -> Self {
        let now = Instant::now();
        let rules = &route.rules;
        let total = rules.request_timeout().unwrap_or(settings.request_timeout);
        let per_attempt = rules.attempt_timeout().unwrap_or(settings.attempt_timeout);
        let endpoints = route.endpoints().len();
        Self {
            marks: Marks::new(endpoints),
            deadline: Deadline::new(now.into_std(), total, per_attempt),
            wait_until: now + LONGEST_WAIT,
            attempts_left: attempts,
            again_left: rules.again(),
            pauses: 0,
            unseen: None,
            has_begun: false,
            owes: false,
            is_queued: false,
            now,
        }
    }

    fn need<'q, 'c>(&self, question: &'q Question<'c>) -> Need<'q, 'c> {
        let patience = self.deadline.patience(USUAL_ANSWER, self.now.into_std());
        Need {
            subject: &question.subject,
            patience: Instant::from_std(patience).min(self.wait_until.max(self.now)),
            is_queued: self.is_queued,
            now: self.now,
        }
    }

    /// When the request has to be answered.
    pub(crate) fn ends(&self) -> Instant {
        Instant::from_std(self.deadline.at())
    }

    /// Counts an attempt that begins now, and says how long it may take; `None`: no time is left for one, or nothing to
    /// pay for it with.
    fn begin(&mut self, settings: &Settings, route: &Route) -> Option<Time> {
        let time = self.time(settings, route).filter(|_| self.pay(route))?;
        if self.has_begun {
            route.stats.retries.retries.fetch_add(1, Ordering::Relaxed);
        }
        self.has_begun = true;
        self.attempts_left = self.attempts_left.saturating_sub(1);
        Some(time)
    }

    /// How long the attempt that begins now may take; `None`: no time is left for one.
    fn time(&self, settings: &Settings, route: &Route) -> Option<Time> {
        let until = Instant::from_std(self.deadline.attempt_ends(self.now.into_std())?);
        let pause = route.rules.attempt_timeout().unwrap_or(settings.attempt_timeout);
        Some(Time {
            until,
            // The first attempt has all that the settings give it, whichever of the two is less.
            is_rest: self.has_begun && until < self.now + pause,
            pause,
        })
    }
}

/// Asks the route's upstreams as long as another attempt does no harm, the request's time is not up and the
/// route's retries are not used up: first each at most once; then one that may not have seen the request, because
/// it was closing an idle connection; then, after a pause, those whose failure may pass.
///
/// # Errors
/// [`Failures`] when no upstream gave an answer to pass on.
pub(crate) async fn forward(
    route: &Route,
    question: &Question<'_>,
    course: &mut Course,
    journal: &mut Journal<'_>,
    place: &mut Place<'_>,
) -> Result<Reply, Failures> {
    let mut failures = Failures::default();
    let mut lookup = Lookup::default();
    if course.has_begun {
        course.now = Instant::now();
    }
    let several = route.rules.several(question.method);
    if let Some(several) = several.filter(|_| !course.has_begun) {
        let round = Round {
            route,
            question,
            course,
            failures: &mut failures,
            lookup: &mut lookup,
            journal,
        };
        match ask_several(several, round, place).await {
            Ending::Answered(reply) => return Ok(reply),
            Ending::GoOn => {}
            Ending::Stop => return lookup.nothing().ok_or(failures),
        }
    }
    while course.attempts_left > 0
        && let Some(planned) = plan(route, question, course, &mut failures, place.timer).await
    {
        let Some(time) = course.begin(place.settings, route) else {
            break;
        };
        let Planned {
            attempt,
            position,
            which,
        } = planned;
        let endpoint = Arc::clone(attempt.endpoint());
        let upstream = endpoint.spec().upstream_id;
        journal.note(upstream, Event::Asked);
        let failure = match ask(attempt, question, which, time, place).await {
            Ok(reply) => {
                journal.note(upstream, Event::Answered);
                route.overhear(question, &endpoint, &reply);
                if let Some(reply) = lookup.settle(route, question, reply) {
                    return Ok(reply);
                }
                if course.found_nothing() {
                    continue;
                }
                break;
            }
            Err(failure) => failure,
        };
        journal.note(upstream, Event::Failed(failure.class.name()));
        course.now = Instant::now();
        let goes_on = course.failed(route, question, position, &failure, true);
        failures.push(failure);
        if !goes_on {
            break;
        }
    }
    lookup.nothing().ok_or(failures)
}

/// Asks several at once. Boxed, for most requests need no room for it.
async fn ask_several(several: Several, round: Round<'_, '_, '_>, place: &Place<'_>) -> Ending {
    match several {
        Several::Race(width) => Box::pin(race::race(round, width, place)).await,
        Several::Hedge(delay) => Box::pin(hedge::hedge(round, delay, place)).await,
        Several::Broadcast(width) => Box::pin(broadcast::broadcast(round, width, place)).await,
    }
}

impl Course {
    /// Pays for the attempt that begins now, if that is to be paid for; false when there is nothing left to pay with.
    fn pay(&mut self, route: &Route) -> bool {
        let owes = std::mem::take(&mut self.owes);
        let granted = !owes || route.budget.try_retry(self.now.into_std());
        if !granted {
            route.stats.retries.exhausted.fetch_add(1, Ordering::Relaxed);
        }
        granted
    }

    /// Whether one more attempt may follow that is to be paid for, and could be made.
    fn owe(&mut self, route: &Route) -> bool {
        self.owes = true;
        let has_left = route.budget.has_left(self.now.into_std());
        if !has_left {
            route.stats.retries.exhausted.fetch_add(1, Ordering::Relaxed);
        }
        has_left
    }

    /// Whether what is left of a batch may be asked of another upstream, which is a retry if calls `failed`.
    pub(crate) fn goes_on(&mut self, route: &Route, failed: bool) -> bool {
        self.now = Instant::now();
        self.attempts_left > 0 && (!failed || !self.marks.has_fresh() || self.owe(route))
    }

    /// An upstream answered that it has nothing of what was looked up: whether others may be asked for it, which
    /// nobody waits for.
    fn found_nothing(&mut self) -> bool {
        self.now = Instant::now();
        self.wait_until = self.now;
        self.attempts_left > 0
    }

    /// Whether another attempt may follow the failure of the one at `position`, which `is_last` under way.
    fn failed(
        &mut self,
        route: &Route,
        question: &Question<'_>,
        position: usize,
        failure: &Failure,
        is_last: bool,
    ) -> bool {
        let (class, policy) = (failure.class, failure.class.policy());
        if !class.retryable(question.replay) || self.attempts_left == 0 {
            return false;
        }
        if failure.perhaps_unseen {
            self.unseen = Some(position);
            return true;
        }
        if policy.again {
            self.marks.allow_again(position);
        }
        let has_another =
            self.marks.has_fresh() || self.unseen.is_some() || policy.again && self.again_left > 0;
        // What an upstream lacks it is not asked for again, and one that cannot be reached was not asked at all: going
        // elsewhere multiplies nothing.
        if !is_last || !has_another || policy.blame == Blame::Nobody || class == Class::NotSent {
            return true;
        }
        self.owe(route)
    }
}

/// Finds whom to ask next, waiting if need be; `None` when there is nobody, of which `failures` are told why.
async fn plan(
    route: &Route,
    question: &Question<'_>,
    course: &mut Course,
    failures: &mut Failures,
    timer: &mut Timer,
) -> Option<Planned> {
    let planned = |which| {
        move |(attempt, position)| Planned {
            attempt,
            position,
            which,
        }
    };
    let next = match route.next(&course.need(question), &mut course.marks, false) {
        Next::Ask(attempt, position) => return Some((attempt, position)).map(planned(Use::IdleOrNew)),
        next => next,
    };
    if let Some(position) = course.unseen.take() {
        let begun = route.begin_at(position, &course.need(question));
        if let Some(attempt) = begun {
            return Some((attempt, position)).map(planned(Use::New));
        }
    }
    if course.pause(route, question, timer).await
        && let Next::Ask(attempt, position) = route.next(&course.need(question), &mut course.marks, true)
    {
        return Some((attempt, position)).map(planned(Use::IdleOrNew));
    }
    let next = match next {
        Next::Wait(_) => wait(route, question, course, timer).await,
        next => next,
    };
    match next {
        Next::Ask(attempt, position) => Some((attempt, position)).map(planned(Use::IdleOrNew)),
        Next::Nobody(shortage) => {
            if failures.is_empty() && shortage.reply() == ErrorReply::RateLimited {
                route.stats.retries.throttled.fetch_add(1, Ordering::Relaxed);
            }
            failures.end_for(shortage);
            None
        }
        Next::Wait(_) => None,
    }
}

impl Course {
    /// Pauses before somebody is asked again; false when that is of no use.
    async fn pause(&mut self, route: &Route, question: &Question<'_>, timer: &mut Timer) -> bool {
        if self.again_left == 0 || !route.can_ask_again(&question.subject, &self.marks, self.now) {
            return false;
        }
        let pause = route.rules.backoff.delay(self.pauses, fastrand::u64(..));
        if !self.deadline.allows(pause, Duration::ZERO, self.now.into_std()) {
            return false;
        }
        self.again_left -= 1;
        self.pauses += 1;
        let _elapsed = timer.within(self.now + pause, std::future::pending::<()>()).await;
        self.now = Instant::now();
        true
    }
}

/// Waits in the route's queue until somebody can be asked, or it is of no use.
async fn wait(route: &Route, question: &Question<'_>, course: &mut Course, timer: &mut Timer) -> Next {
    // Who comes later lets those go first who wait already.
    let mut may_look = !route.queue.has_waiting();
    let Some(_waiting) = route.queue.enter() else {
        return route.nobody(&course.need(question), &course.marks);
    };
    course.is_queued = true;
    let next = loop {
        let mut released = pin!(route.queue.released());
        // Whoever leaves from now on is noticed, also before the wait begins.
        released.as_mut().enable();
        let until = if may_look {
            match route.next(&course.need(question), &mut course.marks, false) {
                Next::Wait(until) => until,
                next => break next,
            }
        } else {
            None
        };
        may_look = true;
        let look_again = course.now + LOOK_AGAIN;
        let until = until.map_or(look_again, |until| until.min(look_again));
        let _woken = timer.within(until, released).await;
        course.now = Instant::now();
    };
    course.is_queued = false;
    next
}
