//! The recommended weights as they run here: proved like the configuration, and ended by a clock of our own.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;
use tyrscale_model::{
    SoftWeight, UpstreamId, Version, Violation, ViolationCode, WeightRow, WeightTtl, Weights,
};

use super::{
    assembly::Offer,
    refusal::{NackReason, Refusal},
    session::Fault,
};

/// What is new of an upstream's recommended weight; `None`: none holds any more.
pub type WeightChange = (UpstreamId, Option<SoftWeight>);

/// How the recommended weights stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WeightsStatus {
    /// What runs here.
    pub running: Option<Version>,
    /// The newest version the control plane told of.
    pub head: Option<Version>,
    /// When the last update was taken.
    pub taken_at: Option<Instant>,
    /// How many hold.
    pub live: usize,
    /// How many expired here.
    pub expired: u64,
    /// Updates refused.
    pub refused: u64,
    /// When the next one expires.
    pub next_deadline: Option<Instant>,
}

/// The recommended weights of one subscriber, and until when each holds.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    content: Option<Weights>,
    /// Of those that hold.
    deadlines: BTreeMap<UpstreamId, Instant>,
    order: BTreeSet<(Instant, UpstreamId)>,
    expired: u64,
}

impl Replica {
    /// What runs.
    pub(crate) fn version(&self) -> Option<Version> {
        self.content.as_ref().map(Weights::version)
    }

    /// The parts of the status that are its own.
    pub(crate) fn describe(&self, status: &mut WeightsStatus) {
        status.running = self.version();
        status.live = self.deadlines.len();
        status.expired = self.expired;
        status.next_deadline = self.order.first().map(|(deadline, _)| *deadline);
    }

    /// Takes an update, or says why it is refused, with nothing changed. The control plane's word is taken in any
    /// lineage: these weights are soft, and a control plane that starts begins anew.
    pub(crate) fn apply(&mut self, offer: &Offer, now: Instant) -> Result<Vec<WeightChange>, Refusal> {
        let target = offer.target;
        let refuse = |reason, violation: Violation| Refusal::new(reason, Some(target), violation);
        let running = self.content.as_ref();
        let empty = Weights::empty(target.lineage);
        let start = match (&offer.base, running) {
            (None, _) => &empty,
            (Some(base), Some(running)) if follows(base, running, &target) => running,
            (Some(_), _) => {
                let violation =
                    Violation::new("base", ViolationCode::RevisionMismatch, "is not what runs here");
                return Err(refuse(NackReason::BaseMismatch, violation));
            }
        };
        let goes_back = running.is_some_and(|running| {
            running.lineage() == target.lineage && target.revision < running.revision()
        });
        if goes_back {
            let message = "is older than what runs here";
            let violation = Violation::new("target.revision", ViolationCode::RevisionMismatch, message);
            return Err(refuse(NackReason::Invalid, violation));
        }
        let next = start
            .advance(
                target.lineage,
                target.revision,
                &offer.weights,
                &offer.weight_removals,
            )
            .map_err(|rejection| Refusal::new(NackReason::Decode, Some(target), rejection))?;
        if next.digest() != target.digest {
            let message = format!("content has the digest {}", next.digest());
            let violation = Violation::new("target.digest", ViolationCode::Invalid, message);
            return Err(refuse(NackReason::DigestMismatch, violation));
        }
        let mut gone: BTreeSet<UpstreamId> = offer.weight_removals.iter().copied().collect();
        if offer.base.is_none() {
            gone.extend(self.deadlines.keys());
        }
        Ok(self.run(next, &offer.weights, gone, now))
    }

    fn run(
        &mut self,
        next: Weights,
        rows: &[WeightRow],
        mut gone: BTreeSet<UpstreamId>,
        now: Instant,
    ) -> Vec<WeightChange> {
        let mut changes = Vec::new();
        for row in rows {
            let Some(entry) = next.get(row.upstream) else {
                continue;
            };
            let life = row.remaining.unwrap_or(entry.soft.ttl).get();
            self.set_deadline(row.upstream, Some(now + life));
            gone.remove(&row.upstream);
            changes.push((row.upstream, Some(entry.soft)));
        }
        for upstream in gone {
            if self.set_deadline(upstream, None) {
                changes.push((upstream, None));
            }
        }
        self.content = Some(next);
        changes
    }

    /// Runs on under the control plane's version of the same content.
    pub(crate) fn adopt(&mut self, target: Version) -> Result<(), Fault> {
        let running = self.content.as_ref().ok_or(Fault::NotInSync)?;
        if running.digest() != target.digest {
            return Err(Fault::NotInSync);
        }
        let renamed = running.advance(target.lineage, target.revision, &[], &[]);
        self.content = Some(renamed.map_err(|_| Fault::NotInSync)?);
        Ok(())
    }

    /// Ends those whose time has come.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<WeightChange> {
        let mut changes = Vec::new();
        while let Some((_, upstream)) = self
            .order
            .first()
            .copied()
            .filter(|(deadline, _)| *deadline <= now)
        {
            self.set_deadline(upstream, None);
            self.expired = self.expired.saturating_add(1);
            changes.push((upstream, None));
        }
        changes
    }

    /// Forgets everything: the revisions that the weights name are of another configuration.
    pub(crate) fn clear(&mut self) -> Vec<WeightChange> {
        self.content = None;
        self.order.clear();
        let ended = std::mem::take(&mut self.deadlines);
        ended.into_keys().map(|upstream| (upstream, None)).collect()
    }

    /// Those that hold, with what is left to them, for the disk.
    pub(crate) fn rows(&self, now: Instant) -> Option<(Version, Vec<WeightRow>)> {
        let content = self.content.as_ref()?;
        let rows = content.iter().map(|(upstream, entry)| {
            let left = self
                .deadlines
                .get(&upstream)
                .map(|deadline| deadline.duration_since(now));
            WeightRow {
                upstream,
                revision: entry.revision,
                payload: entry.payload.clone(),
                remaining: Some(WeightTtl::remaining(left.unwrap_or_default())),
            }
        });
        Some((content.version(), rows.collect()))
    }

    /// Whether a deadline was there before.
    fn set_deadline(&mut self, upstream: UpstreamId, deadline: Option<Instant>) -> bool {
        let before = match deadline {
            Some(deadline) => {
                self.order.insert((deadline, upstream));
                self.deadlines.insert(upstream, deadline)
            }
            None => self.deadlines.remove(&upstream),
        };
        if let Some(before) = before.filter(|before| deadline != Some(*before)) {
            self.order.remove(&(before, upstream));
        }
        before.is_some()
    }
}

fn follows(base: &Version, running: &Weights, target: &Version) -> bool {
    base.lineage == running.lineage() && base.revision == running.revision() && base.lineage == target.lineage
}

#[cfg(test)]
mod tests;
