//! The task of one target: waits for its rounds, asks, writes down.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};
use tyrscale_model::ChainId;

use crate::{
    agenda::{Agenda, Pace, Round},
    asker::Asker,
    question::Question,
    sheet::Entry,
    target::Place,
};

/// What all targets share.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) asker: Asker,
    pub(crate) pace: Pace,
    /// Rounds under way of targets that were quick and answered in their last one.
    prompt: Semaphore,
    /// Rounds under way of the others, so that they wait for each other only.
    doubtful: Semaphore,
}

impl Bench {
    /// At most `rounds` are under way, and a quarter as many of targets that are slow or dead.
    pub(crate) fn new(asker: Asker, pace: Pace, rounds: usize) -> Self {
        Self {
            asker,
            pace,
            prompt: Semaphore::new(rounds),
            doubtful: Semaphore::new((rounds / 4).max(1)),
        }
    }
}

/// Measures a target for ever.
pub(crate) async fn measure(bench: Arc<Bench>, entry: Arc<Entry>) {
    let Some(place) = entry.target.place() else {
        tracing::error!(rpc.id = %entry.target.id, "no request can be sent to this rpc");
        return;
    };
    let now = Instant::now().into_std();
    let mut agenda = Agenda::new(&entry.target.collectors, bench.pace, now, fastrand::f64());
    let mut is_prompt = true;
    loop {
        sleep_until(agenda.next().into()).await;
        let room = match is_prompt {
            true => &bench.prompt,
            false => &bench.doubtful,
        };
        let Ok(_permit) = room.acquire().await else { return };
        let began = Instant::now();
        let head = entry.sheet().values.height.map(|(height, _)| height);
        let round = agenda.begin(head, began.into_std(), fastrand::f64());
        let is_whole = run(&bench, &entry, &place, &mut agenda, round).await;
        is_prompt = is_whole && began.elapsed() < bench.pace.interval / 2;
    }
}

/// Asks the questions of a round, one after the other. Tells whether all came to an answer, good or bad.
async fn run(bench: &Bench, entry: &Entry, place: &Place, agenda: &mut Agenda, round: Round) -> bool {
    {
        let mut sheet = entry.sheet();
        sheet.over_budget = sheet.over_budget.saturating_add(round.over_budget);
        sheet.is_resting = false;
    }
    for question in round.questions {
        if !ask(bench, entry, place, agenda, question).await {
            return false;
        }
    }
    true
}

/// Asks one question and writes down what came. Tells whether to go on.
async fn ask(bench: &Bench, entry: &Entry, place: &Place, agenda: &mut Agenda, question: Question) -> bool {
    let began = Instant::now();
    let answered = bench.asker.ask(place, question.body()).await;
    let took: Duration = began.elapsed();
    let retry_after = answered.as_ref().ok().and_then(|answered| answered.retry_after);
    let vendor = entry.target.vendor;
    let outcome = answered.and_then(|answered| question.read(answered.status, &answered.body, vendor));
    let now = Instant::now().into_std();
    let oldest_state = agenda.note(&outcome, retry_after, now);
    let mut sheet = entry.sheet();
    sheet.is_resting = agenda.is_resting(now);
    if oldest_state.is_some() {
        sheet.values.oldest_state = oldest_state;
    }
    match outcome {
        Ok(reading) => {
            sheet.answered(question.collector(), took);
            let chain = entry.target.chain.map(ChainId::get);
            sheet.values.take(reading, chain, now);
            true
        }
        Err(reason) => {
            let is_new = sheet
                .calls
                .get(&question.collector())
                .is_none_or(|calls| calls.last_failure != Some(reason));
            sheet.failed(question.collector(), reason);
            drop(sheet);
            if is_new {
                let collector = question.collector().as_str();
                tracing::info!(rpc.id = %entry.target.id, collector, reason = reason.name(), "a call failed");
            }
            !reason.ends_round()
        }
    }
}
