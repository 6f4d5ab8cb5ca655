//! What is known of each process.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio_util::sync::CancellationToken;
use tyrscale_model::{Lane, UnixMillis, Version, wire};
use tyrscale_proto::v1;

use super::{Abilities, CAPACITY, FleetFull, Notes, Refusal, Standing};
use crate::rollout::Gateway;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process {
    pub(super) node: String,
    pub(super) boot: String,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) node: v1::Node,
    /// The control plane that sees it.
    pub(super) server_id: Arc<str>,
    pub(super) peer: String,
    /// The stream that serves it; none when disconnected.
    pub(super) session: Option<Session>,
    pub(super) connected_since: UnixMillis,
    pub(super) last_seen: UnixMillis,
    /// The lanes it has been seen to follow.
    pub(super) lanes: BTreeMap<Lane, LaneRecord>,
    pub(super) notes: Notes,
    pub(super) abilities: Abilities,
    pub(super) reconnects: u32,
}

/// What is known of a process in one lane.
#[derive(Debug, Default)]
pub(super) struct LaneRecord {
    pub(super) standing: Option<Standing>,
    pub(super) state_since: UnixMillis,
    pub(super) refusal: Option<(Refusal, UnixMillis)>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) serial: u64,
    pub(super) replaced: CancellationToken,
}

#[derive(Debug, Default)]
pub(super) struct Nodes {
    pub(super) records: BTreeMap<Process, Record>,
    /// Of other control planes.
    pub(super) elsewhere: BTreeMap<Process, Record>,
    pub(super) serial: u64,
}

impl Nodes {
    /// Every process, each once: as it is seen here, unless it is connected elsewhere. In no order.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Process, &Record)> {
        let is_elsewhere = |process| {
            let other = self.elsewhere.get(process);
            other.is_some_and(|other| other.session.is_some())
        };
        let here = self.records.iter();
        let here = here.filter(move |(process, record)| record.session.is_some() || !is_elsewhere(process));
        let elsewhere = self.elsewhere.iter().filter(move |(process, record)| {
            let own = self.records.get(process);
            own.is_none_or(|own| own.session.is_none() && record.session.is_some())
        });
        here.chain(elsewhere)
    }

    /// Whether another process of the same id is connected, too.
    pub(super) fn is_duplicate(&self, process: &Process) -> bool {
        let of_id = self
            .of_node(&process.node)
            .chain(of_node(&self.elsewhere, &process.node));
        let connected: BTreeSet<&String> = of_id
            .filter(|(_, record)| record.session.is_some())
            .map(|(process, _)| &process.boot)
            .collect();
        connected.len() > 1
    }

    /// Those of an id that were seen here.
    pub(super) fn of_node<'a>(&'a self, id: &'a str) -> impl Iterator<Item = (&'a Process, &'a Record)> {
        of_node(&self.records, id)
    }

    /// Takes out what a new stream of the process takes over: its own record, else that of a process of the
    /// same id that is gone.
    pub(super) fn take_earlier(&mut self, process: &Process) -> Option<Record> {
        let gone = self
            .of_node(&process.node)
            .find(|(other, record)| *other == process || record.session.is_none())
            .map(|(other, _)| other.clone());
        let own = self.records.remove(process);
        own.or_else(|| self.records.remove(&gone?))
    }

    /// Forgets the node that has been away longest when there is no room for one more.
    pub(super) fn make_room(&mut self) -> Result<(), FleetFull> {
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
    pub(super) fn is_gateway(&self) -> bool {
        self.node.role() == v1::NodeRole::Gateway
    }

    pub(super) fn stands_to(&self, process: &Process, version: &Version) -> Gateway {
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

    /// What is told of it.
    pub(super) fn status(&self, duplicate_id: bool) -> v1::NodeStatus {
        let connected_since = wire::timestamp_to_wire(self.connected_since);
        v1::NodeStatus {
            node: Some(self.node.clone()),
            server_id: self.server_id.to_string(),
            peer: self.peer.clone(),
            connected_since: self.session.is_some().then_some(connected_since),
            last_seen: Some(wire::timestamp_to_wire(self.last_seen)),
            protocol: crate::discovery::PROTOCOL,
            lanes: self.lanes(),
            reconnects: self.reconnects,
            duplicate_id,
            warnings: self.notes.warnings.clone(),
            persisted: self.notes.persisted,
            features: self.abilities.features.words(),
            kinds: wire::view_to_wire(self.abilities.view).kinds,
            select_labels: self.abilities.selection.labels().clone(),
        }
    }

    /// Orders what is known of one id by how much it is of now.
    pub(super) fn recency(&self) -> (bool, UnixMillis, u64) {
        let serial = self.session.as_ref().map_or(0, |session| session.serial);
        (self.session.is_some(), self.connected_since, serial)
    }

    fn lanes(&self) -> Vec<v1::LaneStatus> {
        if self.lanes.is_empty() {
            return vec![LaneRecord::default().status(Lane::Config, self.session.is_some())];
        }
        let status = |(lane, record): (&Lane, &LaneRecord)| record.status(*lane, self.session.is_some());
        self.lanes.iter().map(status).collect()
    }

    /// What a new stream of the process takes over: who refused what.
    pub(super) fn carried(self, now: UnixMillis) -> BTreeMap<Lane, LaneRecord> {
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
    pub(super) fn running(&self) -> Option<Version> {
        self.standing.as_ref().and_then(|standing| standing.running)
    }

    fn status(&self, lane: Lane, is_connected: bool) -> v1::LaneStatus {
        let state = match &self.standing {
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
                .as_ref()
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
                .as_ref()
                .map_or_else(String::new, |standing| standing.reason.to_string()),
        }
    }
}

fn of_node<'a>(
    records: &'a BTreeMap<Process, Record>,
    id: &'a str,
) -> impl Iterator<Item = (&'a Process, &'a Record)> {
    let first = Process {
        node: id.to_owned(),
        boot: String::new(),
    };
    records
        .range(first..)
        .take_while(move |(process, _)| process.node == id)
}
