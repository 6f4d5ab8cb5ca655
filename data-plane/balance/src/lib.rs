//! Every decision about upstreams: which one takes a request ([`Selector`]), which one rests
//! ([`Breaker`], [`HealthState`], [`CoolDown`]), what each can serve ([`BlockBounds`]), how much
//! passes, and when to try again ([`Backoff`]).
//!
//! Pure: no clock, no dice, no I/O. The caller brings `now` and the random bits, so each decision
//! can be replayed and tested.
//!
//! The parts of one attempt, in order: gather [`Facts`] of each upstream, [`Selector::select`], take
//! what the choice costs ([`Breaker::try_acquire`], [`CoolDown::begin`]), send, settle each with the
//! outcome, and feed [`PeakEwma`], [`BlockBounds`] and [`HealthState`] with what was seen.

mod backoff;
mod breaker;
mod cool_down;
mod deadline;
mod draws;
mod epoch;
mod facts;
mod head;
mod health;
mod height;
mod keyed_limiter;
mod learned_methods;
mod method_filter;
mod peak_ewma;
mod picker;
mod reach;
mod retry_budget;
mod rolling;
mod selector;
mod share;
mod slots;
mod slow_start;
mod tiers;
mod token_bucket;

pub use backoff::Backoff;
pub use breaker::{Breaker, BreakerSettings, BreakerState, CircuitOpen, FailureShare, Permit};
pub use cool_down::{CoolDown, CoolDownSettings, CoolDownTicket, Exclusion, ExclusionCause};
pub use deadline::Deadline;
pub use facts::{Bar, BreakerView, Facts, Headroom, Obstacle};
pub use head::{Head, HeadChange, HeadSettings};
pub use health::{
    HealthCheckType, HealthState, HealthThresholds, HealthTicket, Judgement, ProbeOutcome, Transition,
    Verdict, judge_probe,
};
pub use height::{corroborated, is_level, witnesses};
pub use keyed_limiter::KeyedLimiter;
pub use learned_methods::{LearnedMethods, MethodLessons};
pub use method_filter::{FilterError, MethodFilter};
pub use peak_ewma::{Latency, PeakEwma};
pub use picker::{Candidate, Picker, Strategy};
pub use reach::{BlockBounds, BlockRef, BoundSettings, DataKind, OutOfReach, Reach};
pub use retry_budget::RetryBudget;
pub use selector::{Ask, Choice, FailOpen, Member, Racers, Selector, SelectorSettings};
pub use share::Share;
pub use slots::{Slot, Slots};
pub use slow_start::{Onset, SlowStart};
pub use tiers::{MAX_TIERS, TierSettings};
pub use token_bucket::{Rate, TokenBucket};
