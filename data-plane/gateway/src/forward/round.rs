//! A round in which several upstreams are asked at once.

use std::sync::Arc;

use tokio::time::Instant;

use super::Course;
use crate::attempt::Attempt;
use crate::config::Settings;
use crate::endpoint::Endpoint;
use crate::failures::Failures;
use crate::lookups::Lookup;
use crate::route::Route;
use crate::trace::{Event, Journal};
use crate::upstream::{Failure, Question, Reply, Time};

/// What a round is about, and what it does to its request.
pub(super) struct Round<'r, 'q, 'j> {
    pub(super) route: &'r Route,
    pub(super) question: &'r Question<'q>,
    pub(super) course: &'r mut Course,
    pub(super) failures: &'r mut Failures,
    pub(super) lookup: &'r mut Lookup,
    pub(super) journal: &'r mut Journal<'j>,
}

/// What came of a round.
pub(super) enum Ending {
    Answered(Reply),
    /// Nobody answered; those who are left may be asked one after the other.
    GoOn,
    /// Nobody answered, and asking others does harm or is of no use.
    Stop,
}

/// Attempts that are made at once.
pub(super) struct Lineup {
    /// With the positions of their endpoints; at least one.
    pub(super) attempts: Vec<(Attempt, usize)>,
    pub(super) time: Time,
}

/// What one upstream made of it.
pub(super) struct Told {
    pub(super) position: usize,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) outcome: Result<Reply, Failure>,
}

impl Round<'_, '_, '_> {
    /// Begins attempts at up to `width` upstreams; `None` when nobody can be asked now.
    pub(super) fn line_up(&mut self, width: usize, settings: &Settings) -> Option<Lineup> {
        let Self { route, course, .. } = self;
        let time = course.time(settings, route)?;
        let attempts = route.next_few(&course.need(self.question), &mut course.marks, width);
        let count = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
        course.has_begun |= count > 0;
        course.attempts_left = course.attempts_left.saturating_sub(count);
        for (attempt, _) in &attempts {
            self.journal
                .note(attempt.endpoint().spec().upstream_id, Event::Asked);
        }
        (count > 0).then_some(Lineup { attempts, time })
    }

    /// Takes an answer. Where another upstream is to be asked first, returns what follows when none has a better one.
    pub(super) fn answered(&mut self, endpoint: &Endpoint, reply: Reply) -> Ending {
        self.journal.note(endpoint.spec().upstream_id, Event::Answered);
        self.route.overhear(self.question, endpoint, &reply);
        match self.lookup.settle(self.route, self.question, reply) {
            Some(reply) => Ending::Answered(reply),
            None if self.course.found_nothing() => Ending::GoOn,
            None => Ending::Stop,
        }
    }

    /// Returns what follows when all fail as this one, which `is_last` under way.
    pub(super) fn failed(
        &mut self,
        position: usize,
        endpoint: &Endpoint,
        failure: Failure,
        is_last: bool,
    ) -> Ending {
        let upstream = endpoint.spec().upstream_id;
        self.journal.note(upstream, Event::Failed(failure.class.name()));
        self.course.now = Instant::now();
        let goes_on = self
            .course
            .failed(self.route, self.question, position, &failure, is_last);
        self.failures.push(failure);
        if goes_on { Ending::GoOn } else { Ending::Stop }
    }
}
