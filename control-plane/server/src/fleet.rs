//! The nodes that were seen since the start: who runs what, since when, and what was last refused. In memory
//! only: an acknowledgement of ten thousand nodes is not worth ten thousand writes.

mod membership;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tyrscale_model::{Lane, Lineage, Revision, UnixMillis, Version, wire};
use tyrscale_proto::v1;

pub(crate) use membership::Membership;

use crate::rollout::Gateway;

/// How many processes are remembered.
const CAPACITY: usize = 20_000;
/// How many blockers are named.
const MAX_BLOCKERS: usize = 100;

/// Every process is too much: all that are remembered are connected.
#[derive(Debug, thiserror::Error)]
#[error("{CAPACITY} nodes are connected already")]
pub(crate) struct FleetFull;

/// How far the connected nodes are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// All run the revision or a later one.
    pub(crate) reached: bool,
    /// One that does not has refused it, or a later one.
    pub(crate) refused: bool,
    /// Ids of those that do not, in order.
    pub(crate) blockers: Vec<String>,
}

/// How a subscriber stands in a lane, as its stream last knew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) state: v1::SyncState,
    /// Why, for people; may be empty.
    pub(crate) reason: &'static str,
    pub(crate) running: Option<Version>,
    pub(crate) target: Version,
}

/// The newest refusal of a node in a lane.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) version: Version,
    pub(crate) reason: v1::NackReason,
    pub(crate) violations: Vec<v1::Violation>,
}

impl Refusal {
    /// The reason and the first broken rule.
    fn in_words(&self) -> String {
        let reason = self.reason.as_str_name().trim_start_matches("NACK_REASON_");
        match self.violations.first() {
            Some(violation) => format!("{reason} {} {}", violation.field, violation.message),
            None => reason.to_owned(),
        }
    }
}

/// What a node said of itself when it acknowledged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    pub(crate) warnings: Vec<String>,
    pub(crate) persisted: bool,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Process {
    node: String,
    boot: String,
}

#[derive(Debug)]
struct Record {
    node: v1::Node,
    peer: String,
    /// The stream that serves it; none when disconnected.
    session: Option<Session>,
    connected_since: UnixMillis,
    last_seen: UnixMillis,
    /// The lanes it has been seen to follow.
    lanes: BTreeMap<Lane, LaneRecord>,
    notes: Notes,
    reconnects: u32,
}

/// What is known of a process in one lane.
#[derive(Debug, Default)]
struct LaneRecord {
    standing: Option<Standing>,
    state_since: UnixMillis,
    refusal: Option<(Refusal, UnixMillis)>,
}

#[derive(Debug)]
struct Session {
    serial: u64,
    replaced: CancellationToken,
}

#[derive(Debug, Default)]
struct Nodes {
    records: BTreeMap<Process, Record>,
    serial: u64,
}

/// The nodes; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    nodes: Arc<Mutex<Nodes>>,
    changed: watch::Sender<()>,
    server_id: Arc<str>,
}

impl Fleet {
    pub(crate) fn new(server_id: &str) -> Self {
        Self {
            nodes: Arc::default(),
            changed: watch::Sender::new(()),
            server_id: server_id.into(),
        }
    }

    pub(crate) fn server_id(&self) -> &str {
        &self.server_id
    }

    /// Tells of every change of any node.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a node as connected. The stream that served the same process before is told that it is replaced.
    pub(crate) fn join(&self, node: v1::Node, peer: String) -> Result<Membership, FleetFull> {
        let process = Process {
            node: node.id.clone(),
            boot: node.boot_id.clone(),
        };
        let now = now();
        let replaced = CancellationToken::new();
        let mut nodes = self.lock();
        nodes.serial += 1;
        let serial = nodes.serial;
        let earlier = nodes.take_earlier(&process);
        nodes.make_room()?;
        if let Some(session) = earlier.as_ref().and_then(|record| record.session.as_ref()) {
            session.replaced.cancel();
        }
        let session = Some(Session {
            serial,
            replaced: replaced.clone(),
        });
        let record = Record {
            node,
            peer,
            session,
            connected_since: now,
            last_seen: now,
            reconnects: earlier
                .as_ref()
                .map_or(0, |record| record.reconnects.saturating_add(1)),
            lanes: earlier.map(|record| record.carried(now)).unwrap_or_default(),
            notes: Notes::default(),
        };
        nodes.records.insert(process.clone(), record);
        drop(nodes);
        self.changed.send_replace(());
        Ok(Membership {
            fleet: self.clone(),
            process,
            serial,
            replaced,
        })
    }

    /// Every node seen, by id.
    pub(crate) fn list(&self) -> Vec<v1::NodeStatus> {
        let nodes = self.lock();
        let status = |(process, record)| self.status_of(&nodes, process, record);
        nodes.records.iter().map(status).collect()
    }

    /// The node of this id; of several processes the one that connected last.
    pub(crate) fn get(&self, id: &str) -> Option<v1::NodeStatus> {
        let nodes = self.lock();
        let (process, record) = nodes
            .of_node(id)
            .max_by_key(|(_, record)| record.session.as_ref().map(|session| session.serial))?;
        Some(self.status_of(&nodes, process, record))
    }

    /// How many nodes are connected.
    pub(crate) fn connected(&self) -> usize {
        let nodes = self.lock();
        nodes
            .records
            .values()
            .filter(|record| record.session.is_some())
            .count()
    }

    /// How far the connected nodes are towards a revision of a lineage.
    pub(crate) fn progress(&self, lineage: Lineage, revision: Revision) -> Progress {
        let at_least = |version: &Version| version.lineage == lineage && version.revision >= revision;
        let nodes = self.lock();
        let mut progress = Progress {
            reached: true,
            ..Progress::default()
        };
        let connected = nodes
            .records
            .iter()
            .filter(|(_, record)| record.session.is_some());
        for (process, record) in connected {
            let config = record.lanes.get(&Lane::Config);
            let running = config.and_then(LaneRecord::running);
            if running.as_ref().is_some_and(at_least) {
                continue;
            }
            let refusal = config.and_then(|config| config.refusal.as_ref());
            let refused = refusal.map(|(refusal, _)| &refusal.version);
            progress.refused |= refused.is_some_and(at_least);
            progress.reached = false;
            if progress.blockers.len() < MAX_BLOCKERS {
                progress.blockers.push(process.node.clone());
            }
        }
        progress.blockers.dedup();
        progress
    }

    /// How each gateway stands to a version that is rolled out; of several processes of one id, all together.
    pub(crate) fn gateways(&self, version: &Version) -> Vec<Gateway> {
        let nodes = self.lock();
        let mut gateways: Vec<Gateway> = Vec::new();
        let records = nodes.records.iter().filter(|(_, record)| record.is_gateway());
        for (process, record) in records {
            let stands = record.stands_to(process, version);
            match gateways.last_mut().filter(|last| last.id == stands.id) {
                Some(last) => last.join(stands),
                None => gateways.push(stands),
            }
        }
        gateways
    }

    /// Contents of other lineages than this that connected nodes run, the most common first.
    pub(crate) fn foreign(&self, own: Lineage) -> Vec<v1::ForeignContent> {
        let nodes = self.lock();
        let mut foreign: BTreeMap<[u8; 16], (Revision, u32)> = BTreeMap::new();
        let connected = nodes.records.values().filter(|record| record.session.is_some());
        let running = connected.filter_map(|record| record.lanes.get(&Lane::Config)?.running());
        for version in running.filter(|version| version.lineage != own) {
            let (revision, count) = foreign.entry(version.lineage.0).or_default();
            *revision = version.revision.max(*revision);
            *count += 1;
        }
        drop(nodes);
        let mut contents: Vec<v1::ForeignContent> = foreign
            .into_iter()
            .map(|(lineage, (revision, nodes))| v1::ForeignContent {
                lineage: lineage.to_vec().into(),
                revision: revision.0,
                nodes,
            })
            .collect();
        contents.sort_by_key(|content| std::cmp::Reverse(content.nodes));
        contents
    }

    fn status_of(&self, nodes: &Nodes, process: &Process, record: &Record) -> v1::NodeStatus {
        let connected = nodes
            .of_node(&process.node)
            .filter(|(_, record)| record.session.is_some());
        v1::NodeStatus {
            node: Some(record.node.clone()),
            server_id: self.server_id.to_string(),
            peer: record.peer.clone(),
            connected_since: record
                .session
                .is_some()
                .then(|| wire::timestamp_to_wire(record.connected_since)),
            last_seen: Some(wire::timestamp_to_wire(record.last_seen)),
            protocol: crate::discovery::PROTOCOL,
            lanes: record.lanes(),
            reconnects: record.reconnects,
            duplicate_id: connected.count() > 1,
            warnings: record.notes.warnings.clone(),
            persisted: record.notes.persisted,
        }
    }
}

impl Nodes {
    fn of_node<'a>(&'a self, id: &'a str) -> impl Iterator<Item = (&'a Process, &'a Record)> {
        let first = Process {
            node: id.to_owned(),
            boot: String::new(),
        };
        self.records
            .range(first..)
            .take_while(move |(process, _)| process.node == id)
    }

    /// Takes out what a new stream of the process takes over: its own record, else that of a process of the
    /// same id that is gone.
    fn take_earlier(&mut self, process: &Process) -> Option<Record> {
        let gone = self
            .of_node(&process.node)
            .find(|(other, record)| *other == process || record.session.is_none())
            .map(|(other, _)| other.clone());
        let own = self.records.remove(process);
        own.or_else(|| self.records.remove(&gone?))
    }

    /// Forgets the node that has been away longest when there is no room for one more.
    fn make_room(&mut self) -> Result<(), FleetFull> {
        if self.records.len() < CAPACITY {
            return Ok(());
        }
        let oldest = self
            .records
            .iter()
            .filter(|(_, record)| record.session.is_none())
            .min_by_key(|(_, record)| record.last_seen)
            .map(|(process, _)| process.clone());
        self.records.remove(&oldest.ok_or(FleetFull)?);
        Ok(())
    }
}

impl Record {
    fn is_gateway(&self) -> bool {
        self.node.role() == v1::NodeRole::Gateway
    }

    fn stands_to(&self, process: &Process, version: &Version) -> Gateway {
        let config = self.lanes.get(&Lane::Config);
        let running = config.and_then(LaneRecord::running);
        let runs =
            |running: Version| running.lineage == version.lineage && running.revision >= version.revision;
        let of_version = |(refusal, _): &&(Refusal, UnixMillis)| {
            (refusal.version.lineage, refusal.version.revision) == (version.lineage, version.revision)
        };
        let refusal = config
            .and_then(|config| config.refusal.as_ref())
            .filter(of_version)
            .map(|(refusal, _)| refusal);
        let is_unable = refusal.is_some_and(|refusal| refusal.reason == v1::NackReason::Unsupported);
        Gateway {
            id: process.node.clone(),
            labels: self.node.labels.clone(),
            is_connected: self.session.is_some(),
            runs: running.is_some_and(runs),
            refused: refusal.filter(|_| !is_unable).map(Refusal::in_words),
            is_unable,
        }
    }

    fn lanes(&self) -> Vec<v1::LaneStatus> {
        if self.lanes.is_empty() {
            return vec![LaneRecord::default().status(Lane::Config, self.session.is_some())];
        }
        let status = |(lane, record): (&Lane, &LaneRecord)| record.status(*lane, self.session.is_some());
        self.lanes.iter().map(status).collect()
    }

    /// What a new stream of the process takes over: who refused what.
    fn carried(self, now: UnixMillis) -> BTreeMap<Lane, LaneRecord> {
        let carried = self.lanes.into_iter().map(|(lane, record)| {
            let record = LaneRecord {
                standing: None,
                state_since: now,
                refusal: record.refusal,
            };
            (lane, record)
        });
        carried.collect()
    }
}

impl LaneRecord {
    fn running(&self) -> Option<Version> {
        self.standing.and_then(|standing| standing.running)
    }

    fn status(&self, lane: Lane, is_connected: bool) -> v1::LaneStatus {
        let state = match self.standing {
            _ if !is_connected => v1::SyncState::Disconnected,
            None => v1::SyncState::NeverSent,
            Some(standing) => standing.state,
        };
        v1::LaneStatus {
            lane: wire::lane_to_wire(lane).into(),
            state: state.into(),
            running: self.running().as_ref().map(wire::version_to_wire),
            target: self
                .standing
                .map(|standing| wire::version_to_wire(&standing.target)),
            last_rejection: self.refusal.as_ref().map(|(refusal, time)| v1::Rejection {
                version: Some(wire::version_to_wire(&refusal.version)),
                reason: refusal.reason.into(),
                violations: refusal.violations.clone(),
                time: Some(wire::timestamp_to_wire(*time)),
            }),
            state_since: Some(wire::timestamp_to_wire(self.state_since)),
            reason: self
                .standing
                .map_or_else(String::new, |standing| standing.reason.to_owned()),
        }
    }
}

/// The wall clock, for people only: nothing is decided by it.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
