//! What control planes over one store tell each other: that they live, which nodes and members they serve, and how a change
//! fares that is rolled out.
//!
//! Each one keeps a few documents of its own and reads those of the others, once a second: so an answer of a node costs
//! no write, however many nodes there are. One whose documents stay as they are for a while counts as gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tyrscale_proto::v1;
use tyrscale_store::{Document, DocumentWrite, Documents, Stamp, Store, StoreError, Table};

use crate::{
    coordination::Coordination,
    fleet::Fleet,
    leader::Leader,
    telemetry::{Telemetry, Told},
};

/// Between two looks, and two tellings.
const TICK: Duration = Duration::from_secs(1);
/// How long what was told may stay as it is while its teller lives.
const BEAT: Duration = Duration::from_secs(3);
/// How long a control plane that tells nothing counts as alive.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what a dead one told is kept.
const MOURNING: Duration = Duration::from_secs(60);
/// Nodes of one document.
const NODES: usize = 2000;
/// Documents read at once.
const PAGE: usize = 1000;
/// How large the nodes of one document may be, in bytes, before they are compressed.
const MAX_NODES: usize = 32 * 1024 * 1024;

/// That a control plane lives.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Presence {
    /// Exporters that renew their leases with it.
    #[prost(string, repeated, tag = "1")]
    members: Vec<String>,
    /// A [`Told`], or empty.
    #[prost(bytes = "bytes", tag = "2")]
    trial: Bytes,
}

/// What one other control plane tells.
#[derive(Debug, Default)]
struct Peer {
    /// When its presence was last written, and when that was noticed.
    beat: Option<(Stamp, Instant)>,
    members: Vec<String>,
    trial: Option<Arc<Told>>,
    nodes: BTreeMap<String, (Stamp, Vec<v1::NodeStatus>)>,
}

impl Peer {
    fn is_alive(&self, now: Instant) -> bool {
        self.beat.is_some_and(|(_, seen)| now - seen < PATIENCE)
    }

    fn is_to_be_forgotten(&self, now: Instant) -> bool {
        self.beat.is_some_and(|(_, seen)| now - seen >= MOURNING)
    }
}

/// This control plane among the others.
pub(crate) struct Peers {
    documents: Documents,
    store: Store,
    fleet: Fleet,
    telemetry: Telemetry,
    coordination: Coordination,
    leader: Leader,
    told: Option<(Presence, Instant)>,
    parts: Vec<Bytes>,
    others: BTreeMap<String, Peer>,
    /// Who lived at the last look, so that it is noticed when one is gone.
    alive: BTreeSet<String>,
}

impl Peers {
    pub(crate) fn new(
        store: &Store,
        (fleet, telemetry): (Fleet, Telemetry),
        coordination: Coordination,
        leader: Leader,
    ) -> Self {
        Self {
            documents: store.documents(Table::Nodes),
            store: store.clone(),
            fleet,
            telemetry,
            coordination,
            leader,
            told: None,
            parts: Vec::new(),
            others: BTreeMap::new(),
            alive: BTreeSet::new(),
        }
    }

    /// Tries to lead, tells and listens until `stop`; then takes back what it told. Ends at once where there is nobody
    /// else.
    pub(crate) async fn keep(self, stop: &CancellationToken) {
        if self.leader.is_alone() {
            return;
        }
        let (leader, fleet) = (self.leader.clone(), self.fleet.clone());
        let campaign = leader.campaign(self.coordination.clone(), fleet.server_id(), stop);
        tokio::join!(campaign, self.tell_and_listen(stop));
    }

    async fn tell_and_listen(mut self, stop: &CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            let done = async {
                self.tell().await?;
                self.listen().await
            };
            if let Err(error) = done.await {
                tracing::warn!(%error, "other control planes cannot be told or heard");
            }
        }
        if let Err(error) = self.take_back().await {
            tracing::debug!(%error, "what was told of nodes ends by itself");
        }
    }

    fn key(&self, part: usize) -> String {
        format!("{}/{part:04}", self.fleet.server_id())
    }

    async fn tell(&mut self) -> Result<(), StoreError> {
        let members = self.coordination.own_members().await;
        let trial = self.own_trial();
        let presence = Presence { members, trial };
        let parts = pack(&self.fleet.own());
        let mut writes: Vec<DocumentWrite> = Vec::new();
        for number in 0..parts.len().max(self.parts.len()) {
            let (part, known) = (parts.get(number), self.parts.get(number));
            if part != known {
                writes.push(self.documents.write(&self.key(number), part.cloned(), None));
            }
        }
        let now = Instant::now();
        let is_known = self
            .told
            .as_ref()
            .is_some_and(|(told, at)| *told == presence && now - *at < BEAT);
        if !is_known || !writes.is_empty() {
            let value = Some(presence.encode_to_vec().into());
            writes.push(self.documents.write(self.fleet.server_id(), value, None));
            self.store.write_documents(writes).await?;
            (self.told, self.parts) = (Some((presence, now)), parts);
        }
        Ok(())
    }

    /// What the one that leads is to know of the change on trial; itself it tells nothing.
    fn own_trial(&self) -> Bytes {
        let told = self.telemetry.told().filter(|_| self.leader.token().is_none());
        told.map(|told| told.encode().into()).unwrap_or_default()
    }

    async fn listen(&mut self) -> Result<(), StoreError> {
        let documents = self.read().await?;
        self.miss_own(&documents);
        let now = Instant::now();
        let mut changed = self.take(&documents, now);
        let alive: BTreeSet<String> = self
            .others
            .iter()
            .filter(|(_, peer)| peer.is_alive(now))
            .map(|(id, _)| id.clone())
            .collect();
        changed |= alive != self.alive;
        for gone in self.alive.difference(&alive) {
            tracing::warn!(server = gone, "another control plane is gone");
        }
        self.alive = alive;
        let living = || self.others.values().filter(|peer| peer.is_alive(now));
        if changed {
            let nodes = living().flat_map(|peer| peer.nodes.values().flat_map(|(_, nodes)| nodes));
            self.fleet.see_elsewhere(nodes);
        }
        let trials = living().filter_map(|peer| peer.trial.clone());
        self.telemetry.hear(trials.collect());
        let members: Vec<&String> = living().flat_map(|peer| &peer.members).collect();
        self.coordination.heard(members.into_iter()).await;
        self.tidy_up(&documents, now).await
    }

    async fn read(&self) -> Result<Vec<Document>, StoreError> {
        let (mut documents, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.documents.list("", &after, PAGE).await?;
            let is_last = page.len() < PAGE;
            if let Some(last) = page.last() {
                after.clone_from(&last.key);
            }
            documents.extend(page);
            if is_last {
                return Ok(documents);
            }
        }
    }

    /// Notices when what this one told is gone: another one took it for dead. Everything is told again then.
    fn miss_own(&mut self, documents: &[Document]) {
        if self.told.is_none() {
            return;
        }
        let there: BTreeSet<&str> = documents.iter().map(|document| document.key.as_str()).collect();
        let parts = (0..self.parts.len()).map(|part| self.key(part));
        let is_whole = there.contains(self.fleet.server_id())
            && parts.into_iter().all(|key| there.contains(key.as_str()));
        if !is_whole {
            tracing::warn!("what was told to other control planes is gone, and told again");
            self.told = None;
            // How many there were is kept: what is left of them may have to go.
            self.parts.fill(Bytes::new());
        }
    }

    /// Takes in what others told; tells whether their nodes have changed.
    fn take(&mut self, documents: &[Document], now: Instant) -> bool {
        let mut changed = false;
        for document in documents {
            let (id, is_part) = match document.key.split_once('/') {
                Some((id, _)) => (id, true),
                None => (document.key.as_str(), false),
            };
            if id == self.fleet.server_id() {
                continue;
            }
            let peer = self.others.entry(id.to_owned()).or_default();
            if is_part {
                let known = peer.nodes.get(&document.key).map(|(stamp, _)| *stamp);
                if known != Some(document.stamp) {
                    let nodes = unpack(&document.value);
                    peer.nodes.insert(document.key.clone(), (document.stamp, nodes));
                    changed = true;
                }
            } else if peer.beat.is_none_or(|(stamp, _)| stamp != document.stamp) {
                peer.beat = Some((document.stamp, now));
                let presence = Presence::decode(document.value.clone()).unwrap_or_default();
                peer.trial = Told::decode(&presence.trial).map(Arc::new);
                peer.members = presence.members;
            }
        }
        let there: BTreeSet<&str> = documents.iter().map(|document| document.key.as_str()).collect();
        self.others.retain(|id, peer| {
            let before = peer.nodes.len();
            peer.nodes.retain(|key, _| there.contains(key.as_str()));
            changed |= peer.nodes.len() != before;
            there.contains(id.as_str())
        });
        changed
    }

    /// The one that leads removes what the dead told.
    async fn tidy_up(&self, documents: &[Document], now: Instant) -> Result<(), StoreError> {
        if self.leader.token().is_none() {
            return Ok(());
        }
        let dead = self
            .others
            .iter()
            .filter(|(_, peer)| peer.is_to_be_forgotten(now));
        let dead: BTreeSet<&str> = dead.map(|(id, _)| id.as_str()).collect();
        for document in documents {
            let id = document.key.split('/').next().unwrap_or_default();
            if dead.contains(id) {
                self.documents.delete(&document.key).await?;
            }
        }
        Ok(())
    }

    async fn take_back(&self) -> Result<(), StoreError> {
        let parts = (0..self.parts.len()).map(|part| self.documents.write(&self.key(part), None, None));
        let own = self.documents.write(self.fleet.server_id(), None, None);
        self.store.write_documents(parts.chain([own]).collect()).await?;
        Ok(())
    }
}

/// Nodes as documents.
fn pack(nodes: &[v1::NodeStatus]) -> Vec<Bytes> {
    let pack = |nodes: &[v1::NodeStatus]| {
        let message = v1::ListNodesResponse {
            nodes: nodes.to_vec(),
            ..Default::default()
        };
        let packed = zstd::bulk::compress(&message.encode_to_vec(), zstd::DEFAULT_COMPRESSION_LEVEL);
        packed.map(Bytes::from)
    };
    let packed = nodes.chunks(NODES).map(pack);
    // In memory it does not fail.
    packed.filter_map(Result::ok).collect()
}

fn unpack(packed: &[u8]) -> Vec<v1::NodeStatus> {
    let unpacked = zstd::bulk::decompress(packed, MAX_NODES).ok();
    let message = unpacked.and_then(|bytes| v1::ListNodesResponse::decode(bytes.as_slice()).ok());
    message.map(|message| message.nodes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A control plane beside others over the same store.
    async fn beside(store: &Store, id: &str, leader: Leader) -> Peers {
        let coordination = Coordination::open(store.clone()).await.unwrap();
        let telemetry = Telemetry::new(store.clone(), TICK);
        Peers::new(store, (Fleet::new(id), telemetry), coordination, leader)
    }

    fn nodes_of(fleet: &Fleet) -> Vec<String> {
        let ids = fleet.list().into_iter().filter_map(|status| status.node);
        ids.map(|node| node.id).collect()
    }

    #[tokio::test]
    async fn one_that_was_taken_for_dead_tells_all_its_nodes_again() {
        let dir = tempfile::tempdir().unwrap();
        let options = tyrscale_store::StoreOptions::default();
        let store = Store::open(dir.path(), options).await.unwrap();
        let mut away = beside(&store, "away", Leader::candidate()).await;
        let mut leader = beside(&store, "leads", Leader::alone()).await;
        let node = v1::Node {
            id: "gw".to_owned(),
            ..Default::default()
        };
        let _member = away.fleet.join(node, "192.0.2.1:5".to_owned()).unwrap();
        away.tell().await.unwrap();
        leader.listen().await.unwrap();
        assert_eq!(nodes_of(&leader.fleet), ["gw"]);

        // It says nothing for so long that what it told is removed.
        for (_, seen) in leader.others.values_mut().filter_map(|peer| peer.beat.as_mut()) {
            *seen -= MOURNING;
        }
        leader.listen().await.unwrap();
        leader.listen().await.unwrap();
        assert!(nodes_of(&leader.fleet).is_empty());

        for _ in 0..2 {
            away.tell().await.unwrap();
            away.listen().await.unwrap();
        }
        leader.listen().await.unwrap();
        assert_eq!(nodes_of(&leader.fleet), ["gw"]);
    }

    #[test]
    fn nodes_are_read_back_as_they_were_told_and_nothing_else_is_believed() {
        let node = |number: usize| v1::NodeStatus {
            node: Some(v1::Node {
                id: format!("gw-{number}"),
                ..Default::default()
            }),
            reconnects: 7,
            ..Default::default()
        };
        let nodes: Vec<_> = (0..NODES + 5).map(node).collect();
        let parts = pack(&nodes);
        assert_eq!(parts.len(), 2);
        let read: Vec<_> = parts.iter().flat_map(|part| unpack(part)).collect();
        assert_eq!(read, nodes);
        assert!(unpack(b"nothing of ours").is_empty());
    }
}
