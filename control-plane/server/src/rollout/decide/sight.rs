//! What a rollout sees of the gateways.

use std::{collections::BTreeMap, time::Duration};

use tyrscale_model::{RouteId, Traffic};

use crate::telemetry::Comparison as Served;

/// How one gateway stands to the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gateway {
    pub(crate) id: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) is_connected: bool,
    /// It runs the change, or something later.
    pub(crate) runs: bool,
    /// It refused the change or died with it, and how it said so.
    pub(crate) refused: Option<String>,
    /// It is of a build that cannot run the change, and is left out.
    pub(crate) is_unable: bool,
}

impl Gateway {
    /// Takes another process of the same id in.
    pub(crate) fn join(&mut self, other: Self) {
        // One that is gone says nothing beside one that lives.
        if !other.is_connected && self.is_connected && other.refused.is_none() {
            return;
        }
        self.runs = other.runs && (self.runs || !self.is_connected);
        self.is_connected |= other.is_connected;
        self.refused = self.refused.take().or(other.refused);
        self.is_unable |= other.is_unable;
    }
}

/// How the requests to a route fare with the change, beside how they fare without.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    /// Of which route, for people.
    pub(crate) route: String,
    /// On the gateways that have the change, since the stage began.
    pub(crate) with: Fate,
    /// On the others meanwhile, or, where they serve too little, on the same gateways before. `None` when there is
    /// nothing to hold it against: the route is new.
    pub(crate) without: Option<Fate>,
}

/// How some requests fared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fate {
    /// How many were settled.
    pub(crate) requests: u64,
    /// The part of them that failed, 0 to 1.
    pub(crate) error_ratio: f64,
    /// The 95th percentile of the latency of those that were answered.
    pub(crate) p95: Duration,
}

impl Fate {
    /// Fewer requests say nothing.
    const MIN_REQUESTS: u64 = 100;

    fn of(traffic: &Traffic) -> Option<Self> {
        let requests = traffic.answered.saturating_add(traffic.failed());
        (requests >= Self::MIN_REQUESTS).then(|| Self {
            requests,
            error_ratio: traffic.error_ratio().unwrap_or_default(),
            p95: traffic.latency.quantile(0.95).unwrap_or_default(),
        })
    }
}

impl Comparison {
    /// So much more of the requests may fail.
    const ERROR_MARGIN: f64 = 0.02;
    /// So many times slower may they be, and by this much.
    const LATENCY_FACTOR: f64 = 1.5;
    const LATENCY_MARGIN: Duration = Duration::from_millis(50);

    /// Of the routes that the gateways of the stages serve enough of.
    pub(crate) fn of(served: &BTreeMap<RouteId, Served>) -> Vec<Self> {
        let compared = served.iter().filter_map(|(route, served)| {
            Some(Self {
                route: route.to_string(),
                with: Fate::of(&served.chosen)?,
                without: Fate::of(&served.rest).or_else(|| Fate::of(&served.before)),
            })
        });
        compared.collect()
    }

    /// What is worse with the change, in words.
    pub(super) fn worse(&self) -> Option<String> {
        let Self { route, with, without } = self;
        let known_errors = without.map_or(0.0, |without| without.error_ratio);
        if with.error_ratio > known_errors + Self::ERROR_MARGIN {
            return Some(format!(
                "{:.1}% of {} requests to route {route} fail with it, {:.1}% without",
                with.error_ratio * 100.0,
                with.requests,
                known_errors * 100.0
            ));
        }
        let known = without.as_ref()?.p95;
        let bound = known
            .mul_f64(Self::LATENCY_FACTOR)
            .max(known + Self::LATENCY_MARGIN);
        (with.p95 > bound).then(|| {
            format!(
                "the 95th percentile of latency of route {route} is {} ms with it, {} ms without",
                with.p95.as_millis(),
                known.as_millis()
            )
        })
    }
}
