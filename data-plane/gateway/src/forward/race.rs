//! A question put to several upstreams at once, of which the first good answer is taken.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tyrscale_http1::Timer;

use super::round::{Ending, Lineup, Round, Told};
use crate::metrics::UnderWay;
use crate::pool::Use;
use crate::upstream::{Place, ask};

/// Asks up to `width` upstreams at once. With the first answer the others are cancelled, which says nothing about
/// them; one that fails lets the others go on.
pub(super) async fn race(mut round: Round<'_, '_, '_>, width: usize, place: &Place<'_>) -> Ending {
    let Some(Lineup { attempts, time }) = round.line_up(width, place.settings) else {
        return Ending::GoOn;
    };
    let _counted = UnderWay::begin(&round.route.stats, |stats| &stats.races);
    let question = round.question;
    let asked = attempts.into_iter().map(async |(attempt, position)| {
        let endpoint = Arc::clone(attempt.endpoint());
        let mut timer = Timer::new();
        let mut place = place.with_timer(&mut timer);
        Told {
            position,
            endpoint,
            outcome: ask(attempt, question, Use::IdleOrNew, time, &mut place).await,
        }
    });
    let mut running: FuturesUnordered<_> = asked.collect();
    let mut ending = Ending::GoOn;
    while let Some(told) = running.next().await {
        match told.outcome {
            Ok(reply) => match round.answered(&told.endpoint, reply) {
                answered @ Ending::Answered(_) => return answered,
                without => ending = without,
            },
            Err(failure) => {
                ending = round.failed(told.position, &told.endpoint, failure, running.is_empty());
            }
        }
    }
    ending
}
