//! A question put to several upstreams at once, of which the first good answer is taken.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tyrscale_http1::Timer;

use super::round::{Ending, Lineup, Round, Told};
use crate::attempt::Attempt;
use crate::metrics::UnderWay;
use crate::pool::Use;
use crate::upstream::{Place, Question, Time, ask};

/// Asks up to `width` upstreams at once. With the first answer the others are cancelled, which says nothing about
/// them; one that fails lets the others go on.
pub(super) async fn race(mut round: Round<'_, '_, '_>, width: usize, place: &Place<'_>) -> Ending {
    let Some(Lineup { attempts, time }) = round.line_up(width, place.settings) else {
        return Ending::GoOn;
    };
    let _counted = UnderWay::begin(&round.route.stats, |stats| &stats.races);
    let question = round.question;
    let asked = attempts.into_iter();
    let asked = asked.map(|(attempt, position)| tell(attempt, position, question, time, place));
    let mut running: FuturesUnordered<_> = asked.collect();
    let told = running.next().await;
    first_good(&mut round, told, &mut running).await.0
}

/// One of several that are asked beside each other.
pub(super) async fn tell(
    attempt: Attempt,
    position: usize,
    question: &Question<'_>,
    time: Time,
    place: &Place<'_>,
) -> Told {
    let endpoint = Arc::clone(attempt.endpoint());
    let mut timer = Timer::new();
    let mut place = place.with_timer(&mut timer);
    Told {
        position,
        endpoint,
        outcome: ask(attempt, question, Use::IdleOrNew, time, &mut place).await,
    }
}

/// Takes the first good one of the answers: what was `told` already, then those still to come. Returns the position of the
/// one that was taken, too.
pub(super) async fn first_good(
    round: &mut Round<'_, '_, '_>,
    mut told: Option<Told>,
    running: &mut FuturesUnordered<impl Future<Output = Told>>,
) -> (Ending, Option<usize>) {
    let mut ending = Ending::GoOn;
    while let Some(Told {
        position,
        endpoint,
        outcome,
    }) = told
    {
        match outcome {
            Ok(reply) => match round.answered(&endpoint, reply) {
                answered @ Ending::Answered(_) => return (answered, Some(position)),
                without => ending = without,
            },
            Err(failure) => ending = round.failed(position, &endpoint, failure, running.is_empty()),
        }
        told = running.next().await;
    }
    (ending, None)
}
