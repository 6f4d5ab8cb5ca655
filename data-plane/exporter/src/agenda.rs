//! When a target is asked what: jittered rounds, a budget of calls, rests when it asks for them. Pure.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tyrscale_balance::{Rate, TokenBucket};
use tyrscale_model::Collector;

use crate::{
    archive::Search,
    question::{Question, Reading, Reason},
};

/// Rounds come up to this share of the interval earlier or later.
const JITTER: f64 = 0.1;
/// Rounds from one call to the next, for what changes slowly and for what hardly changes.
const SLOW: u64 = 3;
const RARE: u64 = 30;
/// The first rest of a target that throttles or refuses our credentials; each further one is twice as long.
const THROTTLED: Duration = Duration::from_secs(5);
const UNAUTHORIZED: Duration = Duration::from_secs(60);
/// The longest rest, whatever it asks for.
const MAX_REST: Duration = Duration::from_secs(600);
const MAX_DOUBLINGS: u32 = 8;

/// How targets are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// From round to round.
    pub(crate) interval: Duration,
    /// The most calls of a target in a minute.
    pub(crate) calls_per_minute: u32,
}

/// What a round brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Round {
    /// In this order, until one ends the round.
    pub(crate) questions: Vec<Question>,
    /// What was due but for the budget.
    pub(crate) over_budget: u64,
}

/// One target's agenda.
#[derive(Debug)]
pub(crate) struct Agenda {
    pace: Pace,
    collectors: BTreeSet<Collector>,
    rounds: u64,
    next: Instant,
    budget: Option<TokenBucket>,
    archive: Option<Search>,
    /// Rests since the last good answer.
    rests: u32,
    resting_until: Option<Instant>,
}

impl Agenda {
    /// The first round comes within an interval of `now`; `random` is in [0, 1).
    pub(crate) fn new(collectors: &BTreeSet<Collector>, pace: Pace, now: Instant, random: f64) -> Self {
        // A burst and what comes in a minute are the budget of any minute.
        let burst = (pace.calls_per_minute / 4).max(1);
        let steady = pace.calls_per_minute.saturating_sub(burst).max(1);
        let rate = Rate::new(f64::from(steady) / 60.0, burst);
        Self {
            pace,
            collectors: collectors.clone(),
            rounds: 0,
            next: now + pace.interval.mul_f64(random),
            budget: rate.map(|rate| TokenBucket::new(rate, now)),
            archive: collectors
                .contains(&Collector::ArchiveDepth)
                .then(|| Search::new(now)),
            rests: 0,
            resting_until: None,
        }
    }

    /// When the next round is.
    pub(crate) fn next(&self) -> Instant {
        self.resting_until.map_or(self.next, |until| self.next.max(until))
    }

    /// Whether the target is left alone.
    pub(crate) fn is_resting(&self, now: Instant) -> bool {
        self.resting_until.is_some_and(|until| now < until)
    }

    /// Begins a round, with the target's head at `head`; `random` is in [0, 1) and moves the next one.
    pub(crate) fn begin(&mut self, head: Option<u64>, now: Instant, random: f64) -> Round {
        let shift = (random * 2.0 - 1.0) * JITTER;
        self.next = now + self.pace.interval.mul_f64(1.0 + shift);
        self.resting_until = None;
        let rounds = self.rounds;
        self.rounds += 1;
        let mut due: Vec<Question> = self
            .collectors
            .iter()
            .filter(|collector| rounds.is_multiple_of(every(**collector)))
            .filter_map(|collector| Question::of(*collector))
            .collect();
        // Durations are measured of something.
        if self
            .collectors
            .iter()
            .all(|collector| *collector == Collector::Latency)
        {
            due.push(Question::BlockNumber);
        }
        let block = self
            .archive
            .as_mut()
            .and_then(|search| search.next_block(head, now));
        due.extend(block.map(Question::StateAt));
        let wanted = due.len();
        let budget = &mut self.budget;
        let questions: Vec<Question> = due
            .into_iter()
            .take_while(|_| budget.as_mut().is_none_or(|budget| budget.try_take(now)))
            .collect();
        Round {
            over_budget: u64::try_from(wanted - questions.len()).unwrap_or(u64::MAX),
            questions,
        }
    }

    /// What came of a call. Tells the oldest block with state when that is found.
    pub(crate) fn note(
        &mut self,
        outcome: &Result<Reading, Reason>,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> Option<u64> {
        let first = match outcome {
            Err(Reason::RateLimited) => THROTTLED,
            Err(Reason::Unauthorized) => UNAUTHORIZED,
            Err(_) => return None,
            Ok(reading) => {
                self.rests = 0;
                return match reading {
                    Reading::State { block, is_served } => {
                        self.archive.as_mut()?.found(*block, *is_served, now)
                    }
                    _ => None,
                };
            }
        };
        let doubled = first.saturating_mul(1 << self.rests.min(MAX_DOUBLINGS));
        let rest = retry_after.unwrap_or_default().max(doubled).min(MAX_REST);
        self.rests = self.rests.saturating_add(1);
        self.resting_until = Some(now + rest);
        None
    }
}

/// Rounds from one call of a collector to the next.
const fn every(collector: Collector) -> u64 {
    match collector {
        Collector::EthBlockNumber | Collector::ArchiveDepth | Collector::Latency => 1,
        Collector::NetPeers
        | Collector::EthSyncing
        | Collector::EthGasPrice
        | Collector::FinalizedBlock
        | Collector::SafeBlock
        | Collector::TxpoolStatus => SLOW,
        Collector::EthChainId | Collector::ClientVersion => RARE,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace {
        interval: Duration::from_secs(5),
        calls_per_minute: 60,
    };

    fn of(collectors: &[Collector], pace: Pace, now: Instant) -> Agenda {
        Agenda::new(&collectors.iter().copied().collect(), pace, now, 0.5)
    }

    #[test]
    fn everything_is_asked_in_the_first_round_and_then_by_how_fast_it_changes() {
        let now = Instant::now();
        let collectors = [
            Collector::EthBlockNumber,
            Collector::NetPeers,
            Collector::ClientVersion,
        ];
        let mut agenda = of(&collectors, PACE, now);
        assert_eq!(agenda.begin(None, now, 0.5).questions.len(), 3);
        assert_eq!(agenda.begin(None, now, 0.5).questions, [Question::BlockNumber]);
        assert_eq!(agenda.begin(None, now, 0.5).questions, [Question::BlockNumber]);
        let fourth = agenda.begin(None, now, 0.5).questions;
        assert_eq!(fourth, [Question::BlockNumber, Question::Peers]);
    }

    #[test]
    fn a_target_that_throttles_is_left_alone_as_long_as_it_asks_and_longer_each_time() {
        let now = Instant::now();
        let mut agenda = of(&[Collector::EthBlockNumber], PACE, now);
        agenda.begin(None, now, 0.5);
        let long = Some(Duration::from_secs(40));
        agenda.note(&Err(Reason::RateLimited), long, now);
        assert_eq!(agenda.next(), now + Duration::from_secs(40));
        assert!(agenda.is_resting(now));
        let mut rests = Vec::new();
        for _ in 0..12 {
            agenda.begin(None, now, 0.5);
            agenda.note(&Err(Reason::RateLimited), None, now);
            rests.push((agenda.next() - now).as_secs());
        }
        assert_eq!(rests[..4], [10, 20, 40, 80]);
        assert_eq!(rests.last(), Some(&600));
        agenda.begin(None, now, 0.5);
        agenda.note(&Ok(Reading::Height(1)), None, now);
        assert!(!agenda.is_resting(now));
        agenda.note(&Err(Reason::Unauthorized), Some(Duration::MAX), now);
        assert_eq!(agenda.next(), now + MAX_REST);
    }

    #[test]
    fn durations_alone_are_measured_of_heights() {
        let now = Instant::now();
        let mut agenda = of(&[Collector::Latency], PACE, now);
        assert_eq!(agenda.begin(None, now, 0.5).questions, [Question::BlockNumber]);
    }

    #[test]
    fn the_search_for_state_asks_one_call_a_round() {
        let now = Instant::now();
        let mut agenda = of(&[Collector::ArchiveDepth], PACE, now);
        assert_eq!(agenda.begin(Some(8), now, 0.5).questions, [Question::StateAt(0)]);
        let missing = Ok(Reading::State {
            block: 0,
            is_served: false,
        });
        assert_eq!(agenda.note(&missing, None, now), None);
        assert_eq!(agenda.begin(Some(8), now, 0.5).questions, [Question::StateAt(4)]);
    }

    proptest! {
        #[test]
        fn rounds_come_on_time_and_never_over_budget(
            collectors in proptest::collection::btree_set(prop_oneof![
                Just(Collector::EthBlockNumber), Just(Collector::NetPeers), Just(Collector::EthSyncing),
                Just(Collector::EthGasPrice), Just(Collector::SafeBlock), Just(Collector::ArchiveDepth),
            ], 1..6),
            calls_per_minute in 1u32..120,
            randoms in proptest::collection::vec(0.0..1.0f64, 60),
        ) {
            let start = Instant::now();
            let pace = Pace { calls_per_minute, ..PACE };
            let mut agenda = Agenda::new(&collectors, pace, start, randoms[0]);
            prop_assert!(agenda.next() - start < PACE.interval);
            let mut asked: Vec<Instant> = Vec::new();
            for random in randoms {
                let now = agenda.next();
                let round = agenda.begin(Some(1_000), now, random);
                asked.extend(round.questions.iter().map(|_| now));
                let minute = asked.iter().filter(|at| now - **at < Duration::from_secs(60)).count();
                prop_assert!(minute <= calls_per_minute.max(2) as usize + 1, "{} of {}", minute, calls_per_minute);
                let wait = (agenda.next() - now).as_secs_f64();
                prop_assert!((4.5..=5.5).contains(&wait), "{}", wait);
            }
        }
    }
}
