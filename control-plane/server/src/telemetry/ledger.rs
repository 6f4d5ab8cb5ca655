//! The newest report of each node, and what they add up to. Pure: whoever calls brings the time.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;
use tyrscale_model::{RouteId, RpcId, Traffic, UpstreamId};
use tyrscale_proto::v1;

use super::{
    comparison::Served,
    report::{Process, Report, UpstreamReport},
};

/// How long the counts of a process that is gone are kept, so that it may come back without a gap.
const MEMORY: Duration = Duration::from_secs(600);
/// How many processes are remembered.
const CAPACITY: usize = 20_000;
/// How often what has expired is looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(5);

/// Every process is too much.
#[derive(Debug, thiserror::Error)]
#[error("{CAPACITY} nodes report already")]
pub(super) struct LedgerFull;

/// Who reported what.
#[derive(Debug)]
pub(super) struct Ledger {
    nodes: BTreeMap<Process, Node>,
    /// What came of the upstreams since somebody reports them.
    totals: HashMap<UpstreamId, Traffic>,
    pruned: Instant,
}

#[derive(Debug)]
struct Node {
    /// The stream that reports; none when it has ended.
    stream: Option<u64>,
    seen: Instant,
    /// How long a report stands.
    patience: Duration,
    /// Whether its last report held all its upstreams.
    told_all: bool,
    upstreams: BTreeMap<UpstreamId, (UpstreamReport, Instant)>,
    rpcs: BTreeMap<RpcId, v1::RpcSample>,
}

impl Node {
    fn is_live(&self, now: Instant) -> bool {
        self.stream.is_some() && now.duration_since(self.seen) <= self.patience
    }

    fn live_upstreams(&self, now: Instant) -> impl Iterator<Item = (&UpstreamId, &UpstreamReport, Duration)> {
        let patience = self.patience;
        self.upstreams.iter().filter_map(move |(id, (report, seen))| {
            let age = now.duration_since(*seen);
            (age <= patience).then_some((id, report, age))
        })
    }
}

/// What all live nodes see of an upstream.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct UpstreamSight {
    pub(super) route: Option<RouteId>,
    pub(super) traffic: Traffic,
    pub(super) in_flight: u32,
    pub(super) nodes: u32,
    pub(super) healthy: u32,
    pub(super) breakers: u32,
    /// The highest head that is told of, and its age.
    pub(super) head: Option<(u64, Duration)>,
}

/// The newest sample of an rpc.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RpcSight {
    pub(super) sample: v1::RpcSample,
    pub(super) node: String,
    pub(super) age: Duration,
}

/// What all live nodes see.
#[derive(Debug, Default)]
pub(super) struct Sight {
    pub(super) upstreams: BTreeMap<UpstreamId, UpstreamSight>,
    pub(super) rpcs: BTreeMap<RpcId, RpcSight>,
}

impl Ledger {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            nodes: BTreeMap::new(),
            totals: HashMap::new(),
            pruned: now,
        }
    }

    /// Takes a report of `stream`, which stands for `patience`.
    pub(super) fn take(
        &mut self,
        report: Report,
        stream: u64,
        patience: Duration,
        now: Instant,
    ) -> Result<(), LedgerFull> {
        if now.duration_since(self.pruned) >= PRUNE_EVERY {
            self.prune(now);
        }
        if self.nodes.len() >= CAPACITY && !self.nodes.contains_key(&report.process) {
            return Err(LedgerFull);
        }
        let node = self.nodes.entry(report.process).or_insert_with(|| Node {
            stream: None,
            seen: now,
            patience,
            told_all: false,
            upstreams: BTreeMap::new(),
            rpcs: BTreeMap::new(),
        });
        (node.stream, node.seen, node.patience) = (Some(stream), now, patience);
        // An older process that is new to us has counted much before anybody listened.
        let counts_from_now = report.uptime <= patience || node.told_all;
        node.told_all = !report.is_partial;
        if !report.is_partial {
            node.upstreams.retain(|id, _| report.upstreams.contains_key(id));
        }
        for (id, upstream) in report.upstreams {
            let known = node.upstreams.get(&id).map(|(before, _)| &before.traffic);
            let total = self.totals.entry(id).or_default();
            match known.map(|before| upstream.traffic.since(before)) {
                Some(Some(news)) => total.merge(&news),
                None if !counts_from_now => {}
                // It came, or came anew, and counts from 0.
                Some(None) | None => total.merge(&upstream.traffic),
            }
            node.upstreams.insert(id, (upstream, now));
        }
        node.rpcs = report.rpcs;
        Ok(())
    }

    /// The stream has ended.
    pub(super) fn close(&mut self, process: &Process, stream: u64) {
        if let Some(node) = self.nodes.get_mut(process)
            && node.stream == Some(stream)
        {
            node.stream = None;
        }
    }

    /// Live nodes.
    pub(super) fn live(&self, now: Instant) -> usize {
        self.nodes.values().filter(|node| node.is_live(now)).count()
    }

    /// What the live nodes see together.
    pub(super) fn sight(&self, now: Instant) -> Sight {
        let mut sight = Sight::default();
        for node in self.nodes.values().filter(|node| node.is_live(now)) {
            for (id, report, age) in node.live_upstreams(now) {
                let seen = sight.upstreams.entry(*id).or_insert_with(|| UpstreamSight {
                    traffic: self.totals.get(id).cloned().unwrap_or_default(),
                    ..UpstreamSight::default()
                });
                seen.add(report, age);
            }
        }
        sight.rpcs = self.rpcs(now);
        sight
    }

    /// The newest sample of each rpc.
    pub(super) fn rpcs(&self, now: Instant) -> BTreeMap<RpcId, RpcSight> {
        let mut rpcs: BTreeMap<RpcId, RpcSight> = BTreeMap::new();
        for (process, node) in self.nodes.iter().filter(|(_, node)| node.is_live(now)) {
            let age = now.duration_since(node.seen);
            for (id, sample) in &node.rpcs {
                if rpcs.get(id).is_none_or(|other| age < other.age) {
                    let (sample, node) = (sample.clone(), process.node.clone());
                    rpcs.insert(*id, RpcSight { sample, node, age });
                }
            }
        }
        rpcs
    }

    /// What each live node counted of each upstream since its boot.
    pub(super) fn served(&self, now: Instant) -> Served {
        let live = self.nodes.iter().filter(|(_, node)| node.is_live(now));
        let of_node = |(process, node): (&Process, &Node)| {
            // Counts stand until newer ones come, however old they are.
            let counted = node.upstreams.iter();
            let counted = counted.map(|(id, (report, _))| (*id, (report.route, report.traffic.clone())));
            (process.clone(), counted.collect())
        };
        Served(live.map(of_node).collect())
    }

    fn prune(&mut self, now: Instant) {
        self.pruned = now;
        self.nodes
            .retain(|_, node| now.duration_since(node.seen) <= MEMORY);
        let live = self.nodes.values().filter(|node| node.is_live(now));
        let reported: HashSet<UpstreamId> = live.flat_map(|node| node.upstreams.keys().copied()).collect();
        self.totals.retain(|id, _| reported.contains(id));
    }
}

impl UpstreamSight {
    fn add(&mut self, report: &UpstreamReport, age: Duration) {
        self.route = Some(report.route);
        self.in_flight = self.in_flight.saturating_add(report.in_flight);
        self.nodes += 1;
        self.healthy += u32::from(report.is_healthy);
        self.breakers += u32::from(!report.is_breaker_closed);
        let head = report.head.map(|(height, was)| (height, was.saturating_add(age)));
        let newer = |(height, age): &(u64, Duration)| (*height, std::cmp::Reverse(*age));
        self.head = self.head.into_iter().chain(head).max_by_key(newer);
    }
}

#[cfg(test)]
mod tests;
