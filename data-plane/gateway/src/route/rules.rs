//! How a route chooses among its upstreams, and how often it tries: the configuration in the terms of the balancer.

use std::time::Duration;

use tyrscale_balance::{Backoff, FailOpen, SelectorSettings, Share, SlowStart, Strategy, TierSettings};
use tyrscale_jsonrpc::Method;
use tyrscale_model::{LoadBalancer, Retry, Route};

/// The part of its share that an upstream begins with.
const SLOW_START_FLOOR: Share = Share::new(0.1);

/// The method whose calls are broadcast.
const BROADCAST: &str = "eth_sendRawTransaction";

/// How often and when a request is tried again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    retry: Retry,
    /// How many upstreams are asked at once for what may race; 1: one after the other.
    race_width: usize,
    /// After how long another upstream is asked beside one that has not answered what may race.
    hedge_delay: Option<Duration>,
    /// To how many upstreams a transaction is sent at once.
    broadcast_width: usize,
    /// Before an upstream is asked again.
    pub(crate) backoff: Backoff,
    /// How upstreams start that are new or have returned; `None`: at once.
    pub(crate) slow_start: Option<SlowStart>,
}

/// How several upstreams are asked at once, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Several {
    /// The first answer wins, the others are cancelled.
    Race(usize),
    /// One, and after this time another one beside it; the first answer wins, the other is cancelled.
    Hedge(Duration),
    /// All are to have it.
    Broadcast(usize),
}

impl Rules {
    pub(crate) fn of(model: &Route) -> Self {
        let retry = model.retry.unwrap_or_default();
        Self {
            retry,
            race_width: match model.load_balancer {
                LoadBalancer::Concurrent => width(model.concurrent_requests()),
                _ => 1,
            },
            hedge_delay: model.hedge_delay(),
            broadcast_width: width(model.broadcast_transactions()),
            backoff: Backoff::new(retry.backoff(), retry.backoff_max()).with_jitter(Share::new(0.5)),
            slow_start: model
                .slow_start()
                .map(|window| SlowStart::new(window, SLOW_START_FLOOR)),
        }
    }

    /// Whether several upstreams are asked at once for a method; `None`: one after the other.
    pub(crate) fn several(&self, method: &Method) -> Option<Several> {
        if self.race_width > 1 && method.may_race() {
            return Some(Several::Race(self.race_width));
        }
        if let Some(delay) = self.hedge_delay.filter(|_| method.may_race()) {
            return Some(Several::Hedge(delay));
        }
        (self.broadcast_width > 1 && method.label == BROADCAST)
            .then_some(Several::Broadcast(self.broadcast_width))
    }

    /// Attempts of one request, the first included, on so many upstreams.
    pub(crate) fn attempts(&self, upstreams: usize) -> u32 {
        self.retry.attempts(upstreams)
    }

    /// How often upstreams that have failed are asked again.
    pub(crate) fn again(&self) -> u32 {
        self.retry.same_upstream_attempts()
    }

    /// How long one upstream may take to begin its answer, where the route says so.
    pub(crate) fn attempt_timeout(&self) -> Option<Duration> {
        self.retry.attempt_timeout()
    }

    /// How long a request may take until its answer begins, where the route says so.
    pub(crate) fn request_timeout(&self) -> Option<Duration> {
        self.retry.request_timeout()
    }

    /// Retries as a share of requests, and per second beside it.
    pub(crate) fn budget(&self) -> (f64, f64) {
        let share = Share::of(self.retry.budget_percent().into(), 100).get();
        (share, self.retry.budget_min_per_second().into())
    }
}

fn width(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Who goes first among the upstreams of a route.
pub(crate) fn selection(model: &Route) -> SelectorSettings {
    let tiers = model.tiers.unwrap_or_default();
    let overprovisioning = f64::from(tiers.overprovisioning_percent()) / 100.0;
    SelectorSettings {
        strategy: match model.load_balancer {
            LoadBalancer::WeightRoundRobin => Strategy::WeightRoundRobin,
            LoadBalancer::LeastLoad => Strategy::LeastLoad,
            LoadBalancer::FailoverPriority => Strategy::FailoverPriority,
            LoadBalancer::Concurrent | LoadBalancer::P2cPeakEwma => Strategy::PeakEwma,
        },
        tiers: TierSettings::new(overprovisioning, tiers.return_after()),
        fail_open: FailOpen::Unhealthy,
    }
}
