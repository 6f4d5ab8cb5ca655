//! A change on trial: what the gateways that have it served since the stage of its rollout began, against the others.
//!
//! A gateway reports to one control plane. So each compares those that report to it, tells the sums by route, and the one
//! that leads adds up what was told of the same stage.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use tyrscale_model::{LatencyHistogram, RouteId, Traffic};
use tyrscale_proto::v1;
use tyrscale_store::Stamp;

use super::comparison::{Comparison, Served};

/// How large what is told may be before it is compressed, in bytes; routes with fewer requests are left out then.
const MAX_TOLD: usize = 256 * 1024;
/// Bytes of a told route besides its message.
const FRAMING: usize = 8;

/// What is compared since when.
#[derive(Debug)]
pub(crate) struct Trial {
    /// When what is kept of the rollout was written: the same on all control planes, and another one for each stage.
    stage: Stamp,
    /// The gateways that have the change.
    members: BTreeSet<String>,
    /// What gateways had counted when it began.
    baseline: Served,
}

impl Trial {
    pub(super) const fn new(stage: Stamp, members: BTreeSet<String>, baseline: Served) -> Self {
        Self {
            stage,
            members,
            baseline,
        }
    }

    pub(super) const fn stage(&self) -> Stamp {
        self.stage
    }

    /// What gateways have served since it began, by route.
    pub(super) fn compare(&self, served: &Served) -> BTreeMap<RouteId, Comparison> {
        served.compare(&self.baseline, |node| self.members.contains(node))
    }
}

/// What a control plane tells of a trial.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(super) stage: Stamp,
    pub(super) routes: BTreeMap<RouteId, Comparison>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(uint64, tag = "1")]
    stage: u64,
    #[prost(message, repeated, tag = "2")]
    routes: Vec<WireRoute>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireRoute {
    #[prost(string, tag = "1")]
    route: String,
    #[prost(message, optional, tag = "2")]
    chosen: Option<WireTraffic>,
    #[prost(message, optional, tag = "3")]
    rest: Option<WireTraffic>,
    #[prost(message, optional, tag = "4")]
    before: Option<WireTraffic>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireTraffic {
    #[prost(uint64, tag = "1")]
    requests: u64,
    #[prost(uint64, tag = "2")]
    answered: u64,
    #[prost(btree_map = "string, uint64", tag = "3")]
    failures: BTreeMap<String, u64>,
    #[prost(message, optional, tag = "4")]
    latency: Option<v1::LatencyHistogram>,
}

impl Told {
    /// For other control planes: the routes with the most requests, as many as there is room for.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let requests = |comparison: &Comparison| comparison.chosen.requests.max(comparison.rest.requests);
        let mut busiest: Vec<_> = self.routes.iter().collect();
        busiest.sort_by_key(|(_, comparison)| std::cmp::Reverse(requests(comparison)));
        let mut room = MAX_TOLD;
        let busiest = busiest
            .into_iter()
            .filter(|(_, comparison)| requests(comparison) > 0);
        let routes = busiest.map(|(route, comparison)| WireRoute {
            route: route.to_string(),
            chosen: Some(traffic_to_wire(&comparison.chosen)),
            rest: Some(traffic_to_wire(&comparison.rest)),
            before: Some(traffic_to_wire(&comparison.before)),
        });
        let fits = |route: &WireRoute| {
            let left = room.checked_sub(route.encoded_len() + FRAMING);
            room = left.unwrap_or_default();
            left.is_some()
        };
        let wire = Wire {
            stage: self.stage.0,
            routes: routes.take_while(fits).collect(),
        };
        let packed = zstd::bulk::compress(&wire.encode_to_vec(), zstd::DEFAULT_COMPRESSION_LEVEL);
        // In memory it does not fail.
        packed.unwrap_or_default()
    }

    /// Reads what another one told; `None` when it is not that.
    pub(crate) fn decode(packed: &[u8]) -> Option<Self> {
        let bytes = zstd::bulk::decompress(packed, 2 * MAX_TOLD).ok()?;
        let wire = Wire::decode(bytes.as_slice()).ok()?;
        let route = |route: WireRoute| {
            let comparison = Comparison {
                chosen: traffic_from_wire(route.chosen)?,
                rest: traffic_from_wire(route.rest)?,
                before: traffic_from_wire(route.before)?,
            };
            Some((route.route.parse().ok()?, comparison))
        };
        Some(Self {
            stage: Stamp(wire.stage),
            routes: wire.routes.into_iter().filter_map(route).collect(),
        })
    }
}

fn traffic_to_wire(traffic: &Traffic) -> WireTraffic {
    let failures = traffic.failures.iter();
    WireTraffic {
        requests: traffic.requests,
        answered: traffic.answered,
        failures: failures
            .map(|(class, count)| (class.to_string(), *count))
            .collect(),
        latency: Some(traffic.latency.to_wire()),
    }
}

fn traffic_from_wire(wire: Option<WireTraffic>) -> Option<Traffic> {
    let wire = wire?;
    let failures = wire.failures.into_iter();
    Some(Traffic {
        requests: wire.requests,
        answered: wire.answered,
        failures: failures.map(|(class, count)| (class.into(), count)).collect(),
        latency: LatencyHistogram::from_wire(&wire.latency.unwrap_or_default())?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn traffic(answered: u64, failed: u64) -> Traffic {
        let mut latency = LatencyHistogram::default();
        (0..answered.min(5)).for_each(|_| latency.record(Duration::from_millis(3)));
        Traffic {
            requests: answered + failed,
            answered,
            failures: BTreeMap::from([("timeout".into(), failed)]),
            latency,
        }
    }

    fn told(routes: u64) -> Told {
        let route = |number: u64| {
            let route = uuid::Uuid::from_u128((0x4000_8000_0000_0000_0000 << 4) | u128::from(number));
            let comparison = Comparison {
                chosen: traffic(number, 1),
                rest: traffic(2 * number, 0),
                before: traffic(7, 7),
            };
            (route.to_string().parse().unwrap(), comparison)
        };
        Told {
            stage: Stamp(12),
            routes: (1..=routes).map(route).collect(),
        }
    }

    #[test]
    fn what_is_told_is_read_back() {
        let told = told(3);
        assert_eq!(Told::decode(&told.encode()), Some(told));
        assert_eq!(Told::decode(b"nothing of ours"), None);
    }

    #[test]
    fn of_too_many_routes_the_busiest_are_told() {
        let all = told(20_000);
        let packed = all.encode();
        assert!(packed.len() < MAX_TOLD, "{}", packed.len());
        let read = Told::decode(&packed).unwrap().routes;
        assert!((1_000..20_000).contains(&read.len()), "{}", read.len());
        let least = read.values().map(|comparison| comparison.rest.requests).min();
        assert_eq!(least, Some(2 * (20_000 - read.len() as u64 + 1)));
    }
}
