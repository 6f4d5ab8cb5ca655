//! A question that a second upstream is asked beside the first, when that takes longer than it should. Source: J. Dean,
//! L. A. Barroso, "The Tail at Scale", CACM 56(2), 2013.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::race::{first_good, tell};
use super::round::{Ending, Lineup, Round};
use crate::config::Settings;
use crate::endpoint::Endpoint;
use crate::upstream::Place;

/// Asks one upstream, and after `delay` another one beside it; whoever answers first is taken, and the other is cancelled,
/// which says nothing about it. One that fails before is followed by the next at once, as ever.
pub(super) async fn hedge(mut round: Round<'_, '_, '_>, delay: Duration, place: &Place<'_>) -> Ending {
    let Some(Lineup { attempts, time }) = round.line_up(1, place.settings) else {
        return Ending::GoOn;
    };
    let first: Option<(Arc<Endpoint>, usize)> = attempts
        .first()
        .map(|(attempt, position)| (Arc::clone(attempt.endpoint()), *position));
    let began = Instant::now();
    let hedge_at = began + delay;
    let question = round.question;
    let asked = |(attempt, position), time| tell(attempt, position, question, time, place);
    let mut running: FuturesUnordered<_> = attempts.into_iter().map(|attempt| asked(attempt, time)).collect();
    let mut told = tokio::time::timeout_at(hedge_at, running.next())
        .await
        .ok()
        .flatten();
    if told.is_none() {
        if let Some(Lineup { attempts, time }) = round.line_up_hedge(place.settings) {
            running.extend(attempts.into_iter().map(|attempt| asked(attempt, time)));
        }
        told = running.next().await;
    }
    let (ending, winner) = first_good(&mut round, told, &mut running).await;
    // One that is overtaken took at least that long, which no answer of its will tell.
    if let (Some(winner), Some((overtaken, position))) = (winner, first)
        && winner != position
        && !running.is_empty()
    {
        let now = Instant::now();
        overtaken.learn_latency(now - began, now.into_std());
    }
    ending
}

impl Round<'_, '_, '_> {
    /// Begins an attempt beside one under way; `None` when there is nobody to be asked, or nothing to pay for it with.
    fn line_up_hedge(&mut self, settings: &Settings) -> Option<Lineup> {
        self.course.now = Instant::now();
        if self.course.attempts_left == 0 || !self.course.marks.has_fresh() || self.route.queue.has_waiting()
        {
            return None;
        }
        if !self.route.budget.has_left(self.course.now.into_std()) {
            return None;
        }
        let lineup = self.line_up(1, settings)?;
        // When another request has taken the last one meanwhile, this one has begun all the same.
        let _paid = self.route.budget.try_retry(self.course.now.into_std());
        self.route.stats.retries.hedges.fetch_add(1, Ordering::Relaxed);
        Some(lineup)
    }
}
