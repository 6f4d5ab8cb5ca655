//! What the gateway keeps of one upstream, put together as the gateway does.

use std::time::{Duration, Instant};

use tyrscale_balance::{
    Bar, BlockBounds, BlockRef, BoundSettings, Breaker, BreakerSettings, BreakerState, CoolDown,
    CoolDownSettings, CoolDownTicket, DataKind, ExclusionCause, Facts, FailureShare, Headroom, HealthState,
    HealthThresholds, HealthTicket, LearnedMethods, MethodLessons, Onset, PeakEwma, Permit, Rate, Share,
    Slot, Slots, SlowStart, TokenBucket, Transition,
};

use super::dice::Dice;
use super::laws::Pace;
use super::node::{Ending, HEAD, Question};

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) cordoned: bool,
    breaker: Breaker,
    health: HealthState,
    cool_down: CoolDown,
    latency: PeakEwma,
    onset: Onset,
    bounds: BlockBounds,
    methods: LearnedMethods,
    bucket: Option<TokenBucket>,
    slots: Option<Slots>,
    in_flight: u32,
    pace: Pace,
    /// How often its breaker has opened.
    opened: u32,
}

/// What one attempt holds of its endpoint.
#[derive(Debug)]
pub(super) struct Holds {
    permit: Permit,
    began: Instant,
    cool_down: CoolDownTicket,
    health: HealthTicket,
    state: BreakerState,
    opened: u32,
    slot: Option<Slot>,
}

impl Endpoint {
    /// `limited`: whether the gateway limits what it sends there.
    pub(super) fn new(limited: bool, dice: &mut Dice, now: Instant) -> Self {
        let open_for = Duration::from_millis(dice.among(&[20, 200, 2_000]));
        let settings = BreakerSettings::new(2, 5, Duration::from_secs(60), open_for)
            .with_jitter(Share::new(0.3))
            .with_failure_share(FailureShare {
                share: Share::new(0.4),
                samples: 20,
                window: Duration::from_secs(10),
            });
        let burst = u32::try_from(dice.between(1, 5)).unwrap();
        let per_second = u32::try_from(dice.between(5, 50)).unwrap();
        let bucket = (limited && dice.one_in(2))
            .then(|| TokenBucket::new(Rate::new(per_second.into(), burst).unwrap(), now));
        let limit = u32::try_from(dice.between(1, 4)).unwrap();
        let slots = (limited && dice.one_in(2)).then(|| Slots::new(limit));
        let pace = Pace::new(
            bucket.as_ref().map(|_| (per_second, burst)),
            slots.as_ref().map(|_| limit),
        );
        let onset = Onset::settled(now);
        onset.begin(now);
        Self {
            cordoned: false,
            breaker: Breaker::new(settings, now).with_random(dice.bits()),
            health: HealthState::new(HealthThresholds::new(3, 2)),
            cool_down: CoolDown::new(CoolDownSettings::default()),
            latency: PeakEwma::new(PeakEwma::DECAY, now),
            onset,
            bounds: BlockBounds::new(BoundSettings::default()),
            methods: LearnedMethods::new(MethodLessons::default()),
            bucket,
            slots,
            in_flight: 0,
            pace,
            opened: 0,
        }
    }

    pub(super) fn facts(&self, question: Question, tried: bool, now: Instant) -> Facts {
        let slow_start = SlowStart::new(Duration::from_secs(3), Share::new(0.1));
        Facts {
            tried,
            bar: self.cordoned.then_some(Bar::Cordoned),
            healthy: self.health.is_healthy(),
            breaker: self.breaker.view(now),
            exclusion: self.cool_down.exclusion(now),
            serves_method: self.methods.serves(question.method, now),
            reach: self
                .bounds
                .reach(DataKind::State, BlockRef::Number(question.block), now),
            headroom: Headroom::of(self.bucket.as_ref(), self.slots.as_ref(), now),
            in_flight: self.in_flight,
            latency: self.latency.latency(now),
            ramp: self.onset.ramp(&slow_start, now),
        }
    }

    pub(super) fn begin(&mut self, fail_open: bool, now: Instant) -> Holds {
        assert!(!self.cordoned, "a cordoned upstream is used");
        let permit = match self.breaker.try_acquire(now) {
            Ok(permit) => permit,
            Err(_) => {
                assert!(fail_open, "the breaker refuses whom it said it would admit");
                Permit::uncounted()
            }
        };
        if let Some(bucket) = &mut self.bucket {
            assert!(bucket.try_take(now), "a token that was there is gone");
        }
        self.in_flight += 1;
        self.pace.check(self.in_flight, now);
        Holds {
            permit,
            began: now,
            cool_down: self.cool_down.begin(now),
            health: self.health.begin(),
            state: self.breaker.state(now),
            opened: self.opened,
            slot: self
                .slots
                .as_ref()
                .map(|slots| slots.try_take().expect("a slot that was free")),
        }
    }

    /// An attempt ends; `None`: nobody waits for it any more.
    pub(super) fn settle(&mut self, holds: Holds, question: Question, ending: Option<Ending>, now: Instant) {
        self.in_flight -= 1;
        let Holds {
            permit,
            began,
            cool_down,
            health,
            state,
            opened,
            slot,
        } = holds;
        drop(slot);
        let Some(ending) = ending else {
            self.breaker.on_cancel(permit, now);
            return;
        };
        let failed = ending == Ending::Failure;
        let entered = if failed {
            self.breaker.on_failure(permit, now)
        } else {
            self.breaker.on_success(permit, now)
        };
        match entered {
            Some(BreakerState::Closed) => {
                assert_eq!(
                    (state, opened),
                    (BreakerState::HalfOpen, self.opened),
                    "a late answer closed it"
                );
                self.onset.begin(now);
            }
            Some(_) => self.opened += 1,
            None => {}
        }
        let moved = self.health.observe_traffic(health, !failed);
        if moved == Some(Transition::BecameHealthy) {
            self.onset.begin(now);
        }
        match ending {
            Ending::Answer => {
                self.latency.observe(now - began, now);
                self.bounds.on_served(DataKind::State, question.block);
                self.methods.on_served(question.method);
            }
            Ending::Missing => {
                self.bounds.on_missing(DataKind::State, question.block, now);
            }
            Ending::MethodUnsupported => {
                self.methods.on_unsupported(question.method, now);
            }
            Ending::Failure | Ending::Throttled(_) | Ending::Unpaid => {}
        }
        self.rest(cool_down, ending, now);
    }

    fn rest(&mut self, ticket: CoolDownTicket, ending: Ending, now: Instant) {
        match ending {
            Ending::Throttled(after) => {
                self.cool_down
                    .on_excluded(ticket, ExclusionCause::Throttled, after, now);
            }
            Ending::Unpaid => self
                .cool_down
                .on_excluded(ticket, ExclusionCause::Billing, None, now),
            Ending::Failure => self.cool_down.on_bad(ticket),
            Ending::Answer | Ending::Missing | Ending::MethodUnsupported => {
                if self.cool_down.on_good(ticket, now) {
                    self.onset.begin(now);
                }
            }
        }
    }

    pub(super) fn probed(&mut self, good: bool, now: Instant) {
        if good {
            self.bounds.saw_head(HEAD, now);
        }
        if self.health.observe(good) == Some(Transition::BecameHealthy) {
            self.onset.begin(now);
        }
    }

    /// Nothing is in flight any more, and nothing was kept.
    pub(super) fn check_at_rest(&self, now: Instant) {
        assert_eq!(self.in_flight, 0, "in flight");
        assert!(
            self.slots.as_ref().is_none_or(|slots| slots.taken() == 0),
            "slots"
        );
        let later = now + Duration::from_secs(3_600);
        assert!(self.breaker.would_admit(later), "a trial's permit leaked");
        assert_eq!(self.cool_down.exclusion(later), None);
    }
}
