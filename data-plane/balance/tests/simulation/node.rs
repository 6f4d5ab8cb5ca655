//! What upstreams really do, which the gateway can only find out.

use std::time::Duration;

use super::dice::Dice;

/// The chain's head, above which nobody asks.
pub(super) const HEAD: u64 = 2_000;

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) method: &'static str,
    pub(super) block: u64,
}

/// How an attempt ends if nobody ends it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Answer,
    Failure,
    Throttled(Option<Duration>),
    Unpaid,
    MethodUnsupported,
    Missing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    Slow,
    Refusing,
    Hanging,
    Flaky,
    Throttling,
    Unpaid,
}

/// One upstream as it really is.
#[derive(Debug)]
pub(super) struct Node {
    mood: Mood,
    millis: u64,
    lacks_traces: bool,
    lowest: u64,
}

impl Node {
    pub(super) fn well(dice: &mut Dice) -> Self {
        Self {
            mood: Mood::Well,
            millis: dice.between(1, 50),
            lacks_traces: false,
            lowest: 0,
        }
    }

    pub(super) fn random(dice: &mut Dice) -> Self {
        Self {
            lacks_traces: dice.one_in(4),
            lowest: if dice.one_in(4) { dice.between(1, 1_500) } else { 0 },
            ..Self::well(dice)
        }
    }

    /// Its state changes.
    pub(super) fn shift(&mut self, dice: &mut Dice) {
        self.mood = dice.among(&[
            Mood::Well,
            Mood::Well,
            Mood::Well,
            Mood::Slow,
            Mood::Refusing,
            Mood::Hanging,
            Mood::Flaky,
            Mood::Throttling,
            Mood::Unpaid,
        ]);
    }

    pub(super) fn passes_probe(&self) -> bool {
        !matches!(self.mood, Mood::Refusing | Mood::Hanging)
    }

    /// How an attempt goes, and after how long.
    pub(super) fn asked(&self, question: Question, dice: &mut Dice) -> (Ending, Duration) {
        let usual = dice.between(self.millis, self.millis * 2);
        let (ending, millis) = match self.mood {
            Mood::Refusing => (Ending::Failure, 1),
            Mood::Hanging => (Ending::Answer, 60_000),
            Mood::Flaky if dice.one_in(2) => (Ending::Failure, usual),
            Mood::Throttling if dice.one_in(2) => (Ending::Throttled(None), 1),
            Mood::Throttling => {
                let seconds = dice.between(0, 20);
                (Ending::Throttled(Some(Duration::from_secs(seconds))), 1)
            }
            Mood::Unpaid => (Ending::Unpaid, 2),
            Mood::Well | Mood::Slow | Mood::Flaky => {
                let factor = if self.mood == Mood::Slow { 10 } else { 1 };
                (self.answer(question), usual * factor)
            }
        };
        (ending, Duration::from_millis(millis))
    }

    fn answer(&self, question: Question) -> Ending {
        if self.lacks_traces && question.method == "trace_block" {
            Ending::MethodUnsupported
        } else if question.block < self.lowest {
            Ending::Missing
        } else {
            Ending::Answer
        }
    }
}
