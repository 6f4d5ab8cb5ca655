//! What is seen, put together with the configuration and as messages. Pure.

use std::{collections::BTreeMap, time::Duration};

use tyrscale_model::{Kind, LatencyHistogram, Name, RpcId, Snapshot, Target, Traffic, UpstreamId};
use tyrscale_proto::v1::{self, telemetry::Telemetry as Of};

use super::{
    ledger::{RpcSight, Sight, UpstreamSight},
    report::duration,
};

/// Everything that is known, by kind and id.
pub(super) type Picture = BTreeMap<(u8, String), v1::Telemetry>;

/// Where a kind comes in lists; none for kinds of which nothing is reported.
pub(super) const fn place(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Network => Some(0),
        Kind::Rpc => Some(1),
        Kind::Upstream => Some(2),
        _ => None,
    }
}

/// The head of every network: the highest block read from an rpc of it that is not on another chain.
pub(super) fn heads(
    rpcs: &BTreeMap<RpcId, RpcSight>,
    snapshot: &Snapshot,
) -> BTreeMap<Name, (u64, Duration)> {
    let mut heads: BTreeMap<Name, (u64, Duration)> = BTreeMap::new();
    for (id, rpc) in rpcs {
        let (Some(configured), Some(height)) = (snapshot.rpc(*id), rpc.sample.block_height) else {
            continue;
        };
        if rpc.sample.chain_matches == Some(false) {
            continue;
        }
        let age = height_age(rpc);
        let head = heads.entry(configured.network.clone()).or_insert((height, age));
        if height > head.0 || height == head.0 && age < head.1 {
            *head = (height, age);
        }
    }
    heads
}

/// The heads of the rpcs behind `upstreams`, as far as exporters read them; of none that is on another chain.
pub(super) fn upstream_heads(
    upstreams: &[UpstreamId],
    rpcs: &BTreeMap<RpcId, RpcSight>,
    snapshot: &Snapshot,
) -> Vec<v1::UpstreamHead> {
    let head = |id: &UpstreamId| {
        let Target::Rpc(target) = &snapshot.upstream(*id)?.target else {
            return None;
        };
        let rpc = rpcs.get(target)?;
        if rpc.sample.chain_matches == Some(false) {
            return None;
        }
        Some(v1::UpstreamHead {
            upstream_id: id.to_string(),
            block_height: rpc.sample.block_height?,
            height_age: wire(height_age(rpc)),
        })
    };
    upstreams.iter().filter_map(head).collect()
}

/// Everything that is known and still configured.
pub(super) fn picture(sight: Sight, snapshot: &Snapshot) -> Picture {
    let heads = heads(&sight.rpcs, snapshot);
    let mut networks: BTreeMap<Name, v1::NetworkTelemetry> = BTreeMap::new();
    let mut traffics: BTreeMap<Name, Traffic> = BTreeMap::new();
    let mut picture = Picture::new();
    for (id, rpc) in sight.rpcs {
        let Some(configured) = snapshot.rpc(id) else {
            continue;
        };
        let head = heads.get(&configured.network).map(|(height, _)| *height);
        let network = networks.entry(configured.network.clone()).or_default();
        network.rpcs += 1;
        network.healthy_rpcs += u32::from(rpc.sample.collectors.iter().all(|collector| collector.healthy));
        let lag = head.zip(rpc.sample.block_height);
        let telemetry = v1::RpcTelemetry {
            network: configured.network.to_string(),
            provider: configured.provider.to_string(),
            lag: lag.map(|(head, height)| head.saturating_sub(height)),
            age: wire(rpc.age),
            node_id: rpc.node.clone(),
            sample: Some(aged(rpc)),
        };
        put(&mut picture, Kind::Rpc, id.to_string(), Of::Rpc(telemetry));
    }
    for (id, seen) in sight.upstreams {
        let of = network_of(snapshot, id);
        if let Some((_, name)) = &of {
            let network = networks.entry(name.clone()).or_default();
            network.upstreams += 1;
            network.in_flight = network.in_flight.saturating_add(seen.in_flight);
            traffics.entry(name.clone()).or_default().merge(&seen.traffic);
        }
        let telemetry = upstream(id, seen, of);
        put(
            &mut picture,
            Kind::Upstream,
            id.to_string(),
            Of::Upstream(telemetry),
        );
    }
    for (name, mut network) in networks {
        let traffic = traffics.remove(&name).unwrap_or_default();
        network.network = name.to_string();
        if let Some((height, age)) = heads.get(&name) {
            (network.block_height, network.height_age) = (Some(*height), wire(*age));
        }
        (network.requests, network.answered) = (traffic.requests, traffic.answered);
        network.failures = failures(&traffic);
        network.latency = latency(&traffic.latency);
        put(
            &mut picture,
            Kind::Network,
            name.to_string(),
            Of::Network(network),
        );
    }
    picture
}

/// Whether the filter lets it through.
pub(super) fn passes(filter: &v1::TelemetryFilter, telemetry: &v1::Telemetry) -> bool {
    let (kind, network, route) = match &telemetry.telemetry {
        Some(Of::Network(of)) => (v1::Kind::Network, of.network.as_str(), None),
        Some(Of::Rpc(of)) => (v1::Kind::Rpc, of.network.as_str(), None),
        Some(Of::Upstream(of)) => (
            v1::Kind::Upstream,
            of.network.as_str(),
            Some(of.route_id.as_str()),
        ),
        None => return false,
    };
    let of_kind = filter.kinds.is_empty() || filter.kinds.contains(&kind.into());
    let of_network = filter.networks.is_empty() || filter.networks.iter().any(|one| one == network);
    let of_route =
        filter.route_ids.is_empty() || route.is_some_and(|of| filter.route_ids.iter().any(|one| one == of));
    of_kind && of_network && of_route
}

/// The id in lists.
fn put(picture: &mut Picture, kind: Kind, id: String, telemetry: Of) {
    let Some(place) = place(kind) else { return };
    let telemetry = v1::Telemetry {
        telemetry: Some(telemetry),
    };
    picture.insert((place, id), telemetry);
}

/// The rpc an upstream leads to and its network, where it leads to one.
fn network_of(snapshot: &Snapshot, id: UpstreamId) -> Option<(String, Name)> {
    let Target::Rpc(rpc) = &snapshot.upstream(id)?.target else {
        return None;
    };
    let configured = snapshot.rpc(*rpc)?;
    Some((rpc.to_string(), configured.network.clone()))
}

fn upstream(id: UpstreamId, seen: UpstreamSight, of: Option<(String, Name)>) -> v1::UpstreamTelemetry {
    let (rpc_id, network) = of
        .map(|(rpc, network)| (rpc, network.to_string()))
        .unwrap_or_default();
    v1::UpstreamTelemetry {
        upstream_id: id.to_string(),
        route_id: seen.route.map(|route| route.to_string()).unwrap_or_default(),
        rpc_id,
        network,
        requests: seen.traffic.requests,
        answered: seen.traffic.answered,
        failures: failures(&seen.traffic),
        latency: latency(&seen.traffic.latency),
        in_flight: seen.in_flight,
        nodes: seen.nodes,
        healthy_nodes: seen.healthy,
        breaker_nodes: seen.breakers,
        block_height: seen.head.map(|(height, _)| height),
        height_age: seen.head.and_then(|(_, age)| wire(age)),
    }
}

/// The sample with its ages as of now.
fn aged(rpc: RpcSight) -> v1::RpcSample {
    let now = |message: Option<&prost_types::Duration>| {
        let was = duration(message)?;
        wire(was.saturating_add(rpc.age))
    };
    v1::RpcSample {
        height_age: now(rpc.sample.height_age.as_ref()),
        head_age: now(rpc.sample.head_age.as_ref()),
        ..rpc.sample
    }
}

fn height_age(rpc: &RpcSight) -> Duration {
    let was = duration(rpc.sample.height_age.as_ref()).unwrap_or_default();
    was.saturating_add(rpc.age)
}

fn failures(traffic: &Traffic) -> BTreeMap<String, u64> {
    let counts = traffic.failures.iter();
    counts.map(|(class, count)| (class.to_string(), *count)).collect()
}

fn latency(histogram: &LatencyHistogram) -> Option<v1::LatencyHistogram> {
    (histogram.count() > 0).then(|| histogram.to_wire())
}

pub(super) fn wire(duration: Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}
