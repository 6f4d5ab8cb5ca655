//! A question that a second upstream is asked beside the first, when that takes longer than it should. Source: J. Dean,
//! L. A. Barroso, "The Tail at Scale", CACM 56(2), 2013.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::race::{first_good, tell};
use super::round::{Ending, Lineup, Round};
use crate::config::Settings;
use crate::upstream::Place;

/// Asks one upstream, and after `delay` another one beside it; whoever answers first is taken, and the other is cancelled,
/// which says nothing about it. One that fails before is followed by the next at once, as ever.
pub(super) async fn hedge(mut round: Round<'_, '_, '_>, delay: Duration, place: &Place<'_>) -> Ending {
    let Some(Lineup { attempts, time }) = round.line_up(1, place.settings) else {
        return Ending::GoOn;
    };
    let hedge_at = Instant::now() + delay;
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
    first_good(&mut round, told, &mut running).await
}

impl Round<'_, '_, '_> {
    /// Begins an attempt beside one under way; `None` when there is nobody to be asked, or nothing to pay for it with.
    fn line_up_hedge(&mut self, settings: &Settings) -> Option<Lineup> {
        self.course.now = Instant::now();
        if self.course.attempts_left == 0 || !self.course.marks.has_fresh() {
            return None;
        }
        if !self.route.budget.try_retry(self.course.now.into_std()) {
            return None;
        }
        let lineup = self.line_up(1, settings)?;
        self.route.stats.retries.hedges.fetch_add(1, Ordering::Relaxed);
        Some(lineup)
    }
}
