//! The nodes that were seen since the start: who runs what, since when, and what was last refused. In memory: an
//! acknowledgement of ten thousand nodes is not worth ten thousand writes. What other control planes over the same
//! store see is taken in as they tell it ([`crate::peers`]).

mod elsewhere;
mod membership;
mod record;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tyrscale_model::{
    Feature, Features, Kind, Lane, Lineage, Revision, Selection, UnixMillis, Version, View,
};
use tyrscale_proto::v1;

pub(crate) use membership::Membership;

use self::record::{LaneRecord, Nodes, Process, Record, Session};
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

/// What a node takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// What it understands beyond the protocol.
    pub(crate) features: Features,
    /// What it follows.
    pub(crate) view: View,
    /// The routes that it follows.
    pub(crate) selection: Selection,
}

impl Default for Abilities {
    /// Of a node that has said nothing of itself: it is told of all and understands nothing more than the protocol.
    fn default() -> Self {
        Self {
            features: Features::default(),
            view: View::ALL,
            selection: Selection::default(),
        }
    }
}

/// How a subscriber stands in a lane, as its stream last knew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) state: v1::SyncState,
    /// Why, for people; may be empty.
    pub(crate) reason: Cow<'static, str>,
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
            server_id: Arc::clone(&self.server_id),
            peer,
            session,
            connected_since: now,
            last_seen: now,
            reconnects: earlier
                .as_ref()
                .map_or(0, |record| record.reconnects.saturating_add(1)),
            lanes: earlier.map(|record| record.carried(now)).unwrap_or_default(),
            notes: Notes::default(),
            abilities: Abilities::default(),
        };
        nodes.records.insert(process.clone(), record);
        drop(nodes);
        self.changed.send_replace(());
        Ok(Membership {
            fleet: self.clone(),
            process,
            serial,
            replaced,
            told: BTreeMap::new(),
        })
    }

    /// Every node seen, by id.
    pub(crate) fn list(&self) -> Vec<v1::NodeStatus> {
        let nodes = self.lock();
        let mut all: Vec<_> = nodes.all().collect();
        all.sort_by_key(|(process, _)| *process);
        all.iter()
            .map(|(process, record)| record.status(nodes.is_duplicate(process)))
            .collect()
    }

    /// The nodes that this control plane has seen itself.
    pub(crate) fn own(&self) -> Vec<v1::NodeStatus> {
        let nodes = self.lock();
        let own = nodes.records.values();
        own.map(|record| record.status(false)).collect()
    }

    /// Takes in what other control planes see.
    pub(crate) fn see_elsewhere<'a>(&self, statuses: impl Iterator<Item = &'a v1::NodeStatus>) {
        let elsewhere = elsewhere::records(statuses);
        self.lock().elsewhere = elsewhere;
        self.changed.send_replace(());
    }

    /// The node of this id; of several processes the one that connected last.
    pub(crate) fn get(&self, id: &str) -> Option<v1::NodeStatus> {
        let nodes = self.lock();
        let of_id = nodes.all().filter(|(process, _)| process.node == id);
        let (process, record) = of_id.max_by_key(|(_, record)| record.recency())?;
        Some(record.status(nodes.is_duplicate(process)))
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
        let connected = nodes.all().filter(|(_, record)| record.session.is_some());
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
        progress.blockers.sort();
        progress.blockers.dedup();
        progress
    }

    /// How each gateway stands to a version that is rolled out, by id; of several processes of one id, all together.
    pub(crate) fn gateways(&self, version: &Version) -> Vec<Gateway> {
        let nodes = self.lock();
        let mut gateways: BTreeMap<&str, Gateway> = BTreeMap::new();
        for (process, record) in nodes.all().filter(|(_, record)| record.is_gateway()) {
            let stands = record.stands_to(process, version);
            match gateways.get_mut(process.node.as_str()) {
                Some(known) => known.join(stands),
                None => {
                    gateways.insert(&process.node, stands);
                }
            }
        }
        gateways.into_values().collect()
    }

    /// Ids of the connected nodes that follow a kind and do not understand a feature, each once, in order.
    pub(crate) fn lacking(&self, feature: Feature, kind: Kind) -> Vec<String> {
        let nodes = self.lock();
        let lacks = |record: &Record| {
            let Abilities { features, view, .. } = record.abilities;
            record.session.is_some() && view.contains(kind) && !features.contains(feature)
        };
        let lacking = nodes.all().filter(|(_, record)| lacks(record));
        let mut ids: Vec<_> = lacking.map(|(process, _)| process.node.clone()).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// Contents of other lineages than this that connected nodes run, the most common first.
    pub(crate) fn foreign(&self, own: Lineage) -> Vec<v1::ForeignContent> {
        let nodes = self.lock();
        let mut foreign: BTreeMap<[u8; 16], (Revision, u32)> = BTreeMap::new();
        let connected = nodes.all().filter(|(_, record)| record.session.is_some());
        let running = connected.filter_map(|(_, record)| record.lanes.get(&Lane::Config)?.running());
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
}

/// The wall clock, for people only: nothing is decided by it.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
