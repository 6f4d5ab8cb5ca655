//! A node's place in the fleet for as long as one stream serves it.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;
use tyrscale_model::{Lane, UnixMillis};

use super::{
    Abilities, Fleet, Notes, Refusal, Standing, now,
    record::{Nodes, Process, Record},
};

/// A node's place in the list while its stream lives; dropping it lists the node as disconnected.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(super) fleet: Fleet,
    pub(super) process: Process,
    pub(super) serial: u64,
    pub(super) replaced: CancellationToken,
    /// What was recorded last, by lane.
    pub(super) told: BTreeMap<Lane, Standing>,
}

impl Membership {
    /// Cancelled when a newer stream serves the process.
    pub(crate) const fn replaced(&self) -> &CancellationToken {
        &self.replaced
    }

    /// Records that the node said something.
    pub(crate) fn seen(&self) {
        self.change(|record, now| {
            record.last_seen = now;
            false
        });
    }

    /// Records what the node takes.
    pub(crate) fn understands(&self, abilities: Abilities) {
        self.change(|record, _| {
            record.abilities = abilities;
            true
        });
    }

    /// Records how the node stands in a lane.
    pub(crate) fn stands(&mut self, lane: Lane, standing: Standing) {
        if self.told.get(&lane) == Some(&standing) {
            return;
        }
        self.told.insert(lane, standing.clone());
        self.change(|record, now| {
            let record = record.lanes.entry(lane).or_default();
            let state = |standing: &Standing| standing.state;
            if record.standing.as_ref().map(state) != Some(standing.state) {
                record.state_since = now;
            }
            record.standing = Some(standing);
            true
        });
    }

    /// Records that the node said something, an acknowledgement, which settles any refusal before it. What the node says of itself with one of the
    /// lane CONFIG is kept.
    pub(crate) fn acknowledged(&self, lane: Lane, notes: Notes) {
        self.change(|record, now| {
            record.last_seen = now;
            record.lanes.entry(lane).or_default().refusal = None;
            if lane == Lane::Config {
                record.notes = notes;
            }
            true
        });
    }

    /// Records that the node said something, a refusal.
    pub(crate) fn refused(&self, lane: Lane, refusal: Refusal) {
        self.change(|record, now| {
            record.last_seen = now;
            record.lanes.entry(lane).or_default().refusal = Some((refusal, now));
            true
        });
    }

    /// The process's record, while this stream is the one that serves it.
    fn own<'a>(&self, nodes: &'a mut Nodes) -> Option<&'a mut Record> {
        let record = nodes.records.get_mut(&self.process)?;
        let serial = record.session.as_ref().map(|session| session.serial);
        (serial == Some(self.serial)).then_some(record)
    }

    fn change(&self, change: impl FnOnce(&mut Record, UnixMillis) -> bool) {
        let now = now();
        let mut nodes = self.fleet.lock();
        let told = self.own(&mut nodes).is_some_and(|record| change(record, now));
        drop(nodes);
        if told {
            self.fleet.changed.send_replace(());
        }
    }
}

impl Drop for Membership {
    /// The node is disconnected; a process that another has taken the id over from is forgotten.
    fn drop(&mut self) {
        let mut nodes = self.fleet.lock();
        let Some(record) = self.own(&mut nodes) else {
            return;
        };
        let now = now();
        record.session = None;
        record.last_seen = now;
        for lane in record.lanes.values_mut() {
            lane.state_since = now;
        }
        let another_lives = nodes
            .of_node(&self.process.node)
            .any(|(_, record)| record.session.is_some());
        if another_lives {
            nodes.records.remove(&self.process);
        }
        drop(nodes);
        self.fleet.changed.send_replace(());
    }
}
