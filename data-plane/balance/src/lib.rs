//! Every decision about upstreams: which one takes a request ([`Picker`]), which one rests
//! ([`Breaker`], [`HealthState`]) and how long to wait before trying again ([`Backoff`]).
//!
//! Pure: no clock, no dice, no I/O. The caller brings `now` and the random bits, so each decision
//! can be replayed and tested.

mod backoff;
mod breaker;
mod health;
mod picker;

pub use backoff::Backoff;
pub use breaker::{Breaker, BreakerSettings, BreakerState, CircuitOpen, Permit};
pub use health::{
    HealthCheckType, HealthState, HealthThresholds, Judgement, ProbeOutcome, Transition, Verdict,
    judge_heights, judge_probe,
};
pub use picker::{Candidate, Picker, Strategy};
