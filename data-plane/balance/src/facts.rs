//! What is known of one upstream at the moment of one request, and what stands against using it.

use std::time::Instant;

use crate::cool_down::Exclusion;
use crate::peak_ewma::Latency;
use crate::reach::{OutOfReach, Reach};
use crate::share::Share;
use crate::slots::Slots;
use crate::token_bucket::TokenBucket;

/// What is known of one upstream at the moment of one request. The default speaks for it.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Asked already for this request.
    pub tried: bool,
    /// Must not be used, whatever happens.
    pub bar: Option<Bar>,
    /// What probes and traffic say ([`HealthState`](crate::HealthState)).
    pub healthy: bool,
    /// What its circuit breaker says ([`Breaker`](crate::Breaker)).
    pub breaker: BreakerView,
    /// A rest that it asked for or earned ([`CoolDown`](crate::CoolDown)).
    pub exclusion: Option<Exclusion>,
    /// False when it is known to lack the method ([`LearnedMethods`](crate::LearnedMethods)).
    pub serves_method: bool,
    /// Whether it has the block that the request is about ([`BlockBounds`](crate::BlockBounds)).
    pub reach: Reach,
    /// Whether its limits let one more request pass.
    pub headroom: Headroom,
    /// Requests it is working on now.
    pub in_flight: u32,
    /// How fast it answers ([`PeakEwma`](crate::PeakEwma)).
    pub latency: Option<Latency>,
    /// The part of its share that it takes while it starts ([`Onset`](crate::Onset)).
    pub ramp: Share,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            tried: false,
            bar: None,
            healthy: true,
            breaker: BreakerView::Willing,
            exclusion: None,
            serves_method: true,
            reach: Reach::Yes,
            headroom: Headroom::Free,
            in_flight: 0,
            latency: None,
            ramp: Share::FULL,
        }
    }
}

/// Why an upstream must not be used, not even when all others look bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bar {
    /// An operator took it out.
    Cordoned,
    /// It answers for another chain.
    WrongChain,
    /// The configuration does not let it have this method.
    MethodForbidden,
}

/// What a circuit breaker says to one more request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerView {
    /// It would give a permit.
    Willing,
    /// Open until then.
    OpenUntil(Instant),
    /// Half-open, and every trial is under way.
    Trying,
    /// One of the two, but a probe has found the upstream good since a request last failed there.
    Outdated {
        /// Until when it is open, if it is.
        until: Option<Instant>,
    },
}

impl BreakerView {
    /// The same, when a probe has found the upstream good since a request last failed there.
    #[must_use]
    pub const fn outdated(self) -> Self {
        match self {
            Self::Willing | Self::Outdated { .. } => self,
            Self::OpenUntil(until) => Self::Outdated { until: Some(until) },
            Self::Trying => Self::Outdated { until: None },
        }
    }
}

/// Whether an upstream's limits let one more request pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headroom {
    /// There is room.
    Free,
    /// Its rate is used up until then.
    At(Instant),
    /// As many requests are in flight as may be.
    NoSlot,
}

impl Headroom {
    /// What an upstream's limits, as far as it has any, leave at `now`.
    #[must_use]
    pub fn of(rate: Option<&TokenBucket>, slots: Option<&Slots>, now: Instant) -> Self {
        if slots.is_some_and(|slots| !slots.is_free()) {
            return Self::NoSlot;
        }
        rate.and_then(|rate| rate.ready_at(now))
            .map_or(Self::Free, Self::At)
    }
}

/// What stands against using an upstream for a request. The first that applies, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Its weight is 0.
    Drained,
    /// It must not be used.
    Barred(Bar),
    /// It was asked already.
    Tried,
    /// It lacks the method.
    MethodUnsupported,
    /// It lacks the block.
    OutOfReach(OutOfReach),
    /// It asked to be left alone for a while.
    Throttled {
        /// Until when.
        until: Instant,
    },
    /// Its bill is not paid, or its key not accepted.
    Excluded(Exclusion),
    /// Probes or traffic say that it is down.
    Unhealthy,
    /// Its circuit breaker is open, until then; `None`: its trials are under way.
    BreakerOpen {
        /// When trials begin.
        until: Option<Instant>,
    },
    /// Our own limit for it is used up.
    Limited {
        /// When the next request may pass; `None`: when one in flight has ended.
        until: Option<Instant>,
    },
}

/// What gets past an obstacle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing, for this request.
    None,
    /// Waiting: until then, or until a request in flight has ended.
    Wait(Option<Instant>),
    /// Doubting it.
    Doubt,
    /// The upstream's return, at the earliest then.
    Return(Option<Instant>),
    /// Somebody who pays or mends the key; the upstream is tried again then.
    Account(Option<Instant>),
}

impl Obstacle {
    /// Stable name for metrics, logs and debug pages.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Drained => "drained",
            Self::Barred(Bar::Cordoned) => "cordoned",
            Self::Barred(Bar::WrongChain) => "wrong_chain",
            Self::Barred(Bar::MethodForbidden) => "method_forbidden",
            Self::Tried => "tried",
            Self::MethodUnsupported => "method_unsupported",
            Self::OutOfReach(OutOfReach::Pruned { .. }) => "pruned",
            Self::OutOfReach(OutOfReach::AboveHead { .. }) => "above_head",
            Self::Throttled { .. } => "throttled",
            Self::Excluded(_) => "excluded",
            Self::Unhealthy => "unhealthy",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::Limited { .. } => "limited",
        }
    }

    pub(crate) const fn remedy(&self) -> Remedy {
        match self {
            Self::Drained | Self::Barred(_) | Self::Tried | Self::MethodUnsupported | Self::OutOfReach(_) => {
                Remedy::None
            }
            Self::Throttled { until } => Remedy::Wait(Some(*until)),
            Self::Limited { until } => Remedy::Wait(*until),
            Self::Unhealthy => Remedy::Doubt,
            Self::BreakerOpen { until } => Remedy::Return(*until),
            Self::Excluded(exclusion) => Remedy::Account(Some(exclusion.until)),
        }
    }
}

impl Facts {
    /// What stands against using this upstream; `None` when nothing does. Whether it is
    /// [drained](Obstacle::Drained) is up to its weight, which is no fact of the moment.
    #[must_use]
    pub const fn obstacle(&self) -> Option<Obstacle> {
        if let Some(why) = self.bar {
            return Some(Obstacle::Barred(why));
        }
        if self.tried {
            return Some(Obstacle::Tried);
        }
        self.obstacle_for_anyone()
    }

    /// What stands against it whether or not it was tried for this request.
    pub(crate) const fn obstacle_for_anyone(&self) -> Option<Obstacle> {
        if !self.serves_method {
            return Some(Obstacle::MethodUnsupported);
        }
        if let Reach::No(why) = self.reach {
            return Some(Obstacle::OutOfReach(why));
        }
        if let Some(exclusion) = self.exclusion {
            return Some(exclusion.obstacle());
        }
        if !self.healthy {
            return Some(Obstacle::Unhealthy);
        }
        match self.breaker {
            BreakerView::Willing => {}
            BreakerView::OpenUntil(until) => return Some(Obstacle::BreakerOpen { until: Some(until) }),
            BreakerView::Trying => return Some(Obstacle::BreakerOpen { until: None }),
            BreakerView::Outdated { until } => return Some(Obstacle::BreakerOpen { until }),
        }
        match self.headroom {
            Headroom::Free => None,
            Headroom::At(until) => Some(Obstacle::Limited { until: Some(until) }),
            Headroom::NoSlot => Some(Obstacle::Limited { until: None }),
        }
    }

    /// Whether the upstream is in a state to carry its part of its tier's load.
    pub(crate) const fn is_sound(&self) -> bool {
        let is_open = matches!(
            self.breaker,
            BreakerView::OpenUntil(_) | BreakerView::Outdated { until: Some(_) }
        );
        self.healthy && self.exclusion.is_none() && !is_open
    }
}
