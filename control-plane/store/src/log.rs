//! The log: one record a revision, with what each resource was before and after.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use prost::Message as _;
use tyrscale_model::{
    Change, ChangeAction, ChangeSet, Entry, Kind, KindHashes, Meta, ResourceKey, Revision, RolloutPolicy,
    Snapshot, UnixMillis, wire,
};

use crate::record::{ImageRecord, OperationRecord, OperationsRecord, RevisionRecord, hashes_to_record};

/// A resource as it rests: payload and meta. `Debug` leaves the payload out, which may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// The content as it is sent and hashed.
    pub payload: Bytes,
    /// What is known about it.
    pub meta: Meta,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

impl Image {
    /// The image of an entry.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        Self {
            payload: entry.payload.clone(),
            meta: entry.meta.clone(),
        }
    }

    /// Whether it is the image of this entry.
    pub(crate) fn is_of(&self, entry: &Entry) -> bool {
        self.payload == entry.payload && self.meta == entry.meta
    }

    /// The entry of `key`; `None` when the payload is no resource of that key.
    #[must_use]
    pub fn into_entry(self, key: &ResourceKey) -> Option<Entry> {
        let resource = wire::decode_payload(key.kind, &self.payload).ok()?;
        (resource.key() == *key).then_some(Entry {
            resource,
            payload: self.payload,
            meta: self.meta,
        })
    }

    /// Encoded, without checksum.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        ImageRecord::of(self).encode_to_vec().into()
    }

    /// Reads what [`Image::encode`] made; `None` when it is no image.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        ImageRecord::decode(bytes).ok().map(ImageRecord::into_image)
    }
}

/// What a revision did to one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedOperation {
    /// Which.
    pub key: ResourceKey,
    /// Before; `None` when it was created.
    pub before: Option<Image>,
    /// After; `None` when it was deleted.
    pub after: Option<Image>,
}

impl LoggedOperation {
    fn of(change: &Change) -> Self {
        Self {
            key: change.key.clone(),
            before: change.before.as_deref().map(Image::of),
            after: change.entry.as_deref().map(Image::of),
        }
    }

    /// What became of the resource.
    #[must_use]
    pub const fn action(&self) -> ChangeAction {
        match (&self.before, &self.after) {
            (None, _) => ChangeAction::Created,
            (Some(_), Some(_)) => ChangeAction::Updated,
            (Some(_), None) => ChangeAction::Deleted,
        }
    }

    /// Whether the content, which subscribers see, is another; else only its meta is.
    #[must_use]
    pub fn changes_content(&self) -> bool {
        self.before.as_ref().map(|image| &image.payload) != self.after.as_ref().map(|image| &image.payload)
    }
}

/// One revision: who did what, when and why, and the hashes that prove the content after it.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRecord {
    /// Which.
    pub revision: Revision,
    /// When, by the wall clock of the process that wrote it. Never used for order.
    pub time: UnixMillis,
    /// Who.
    pub actor: String,
    /// From where and with which program.
    pub client: String,
    /// The id the client gave its request; empty when it gave none.
    pub request_id: String,
    /// Why.
    pub message: String,
    /// What the client noted with it.
    pub labels: BTreeMap<String, String>,
    /// Which revision it restored.
    pub reverts_to: Option<Revision>,
    /// How it is to reach the gateways; `None`: by the defaults.
    pub rollout: Option<RolloutPolicy>,
    /// What it did, each resource once.
    pub operations: Vec<LoggedOperation>,
    /// The hashes of the content after it.
    pub hashes: KindHashes,
}

impl LogRecord {
    /// How many bytes of operations go into one part, unless one alone is larger.
    const PART: usize = 64 * 1024;

    /// The record of an applied change set.
    #[must_use]
    pub fn of(change_set: &ChangeSet, changes: &[Change], after: &Snapshot, now: UnixMillis) -> Self {
        Self {
            revision: after.revision(),
            time: now,
            actor: change_set.author.clone(),
            client: change_set.client.clone(),
            request_id: change_set.request_id.clone(),
            message: change_set.message.clone(),
            labels: change_set.labels.clone(),
            reverts_to: change_set.reverts_to,
            rollout: change_set.rollout.clone(),
            operations: changes.iter().map(LoggedOperation::of).collect(),
            hashes: after.hashes(),
        }
    }

    /// Encoded, without checksums: first what describes the revision, then its operations in parts of bounded
    /// size.
    #[must_use]
    pub fn encode(&self) -> Vec<Bytes> {
        let mut parts = Vec::new();
        let mut part = OperationsRecord::default();
        let mut size = 0;
        for operation in &self.operations {
            let operation = OperationRecord::of(operation);
            let length = operation.encoded_len();
            if size + length > Self::PART && size > 0 {
                parts.push(std::mem::take(&mut part).encode_to_vec().into());
                size = 0;
            }
            size += length;
            part.operations.push(operation);
        }
        if !part.operations.is_empty() {
            parts.push(part.encode_to_vec().into());
        }
        let first = RevisionRecord {
            time_ms: self.time.0,
            actor: self.actor.clone(),
            client: self.client.clone(),
            request_id: self.request_id.clone(),
            message: self.message.clone(),
            labels: self.labels.clone(),
            reverts_to: self.reverts_to.map(|revision| revision.0),
            hashes: hashes_to_record(&self.hashes),
            parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
            rollout: self.rollout.as_ref().map(policy_to_record),
        };
        parts.insert(0, first.encode_to_vec().into());
        parts
    }

    /// Reads what [`LogRecord::encode`] made; `None` when a part is missing or is none of it.
    #[must_use]
    pub fn decode(revision: Revision, parts: &[Bytes]) -> Option<Self> {
        let (first, parts) = parts.split_first()?;
        let first = RevisionRecord::decode(first.clone()).ok()?;
        if usize::try_from(first.parts) != Ok(parts.len()) {
            return None;
        }
        let mut operations = Vec::new();
        for part in parts {
            let part = OperationsRecord::decode(part.clone()).ok()?;
            for operation in part.operations {
                operations.push(operation.into_operation()?);
            }
        }
        Some(Self {
            revision,
            time: UnixMillis(first.time_ms),
            actor: first.actor,
            client: first.client,
            request_id: first.request_id,
            message: first.message,
            labels: first.labels,
            reverts_to: first.reverts_to.map(Revision),
            rollout: match &first.rollout {
                Some(policy) => Some(policy_from_record(policy)?),
                None => None,
            },
            hashes: crate::record::hashes_from_record(&first.hashes)?,
            operations,
        })
    }

    /// How many parts a record has besides its first, from the first.
    #[must_use]
    pub fn parts_of(first: &[u8]) -> Option<u32> {
        RevisionRecord::decode(first).ok().map(|record| record.parts)
    }

    /// What is kept of it in memory.
    #[must_use]
    pub fn summary(&self) -> RevisionSummary {
        let touched = |operation: &LoggedOperation| Touched {
            key: operation.key.clone(),
            action: operation.action(),
            changes_content: operation.changes_content(),
        };
        RevisionSummary {
            revision: self.revision,
            time: self.time,
            actor: self.actor.clone(),
            client: self.client.clone(),
            request_id: self.request_id.clone(),
            message: self.message.clone(),
            labels: self.labels.clone(),
            reverts_to: self.reverts_to,
            rollout: self.rollout.clone(),
            touched: self.operations.iter().map(touched).collect(),
            hashes: self.hashes,
        }
    }
}

fn policy_to_record(policy: &RolloutPolicy) -> Bytes {
    wire::rollout_policy_to_wire(policy).encode_to_vec().into()
}

fn policy_from_record(bytes: &Bytes) -> Option<RolloutPolicy> {
    let message = prost::Message::decode(bytes.clone()).ok()?;
    wire::rollout_policy_from_wire(&message).ok()
}

/// One resource that a revision touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// Which.
    pub key: ResourceKey,
    /// What became of it.
    pub action: ChangeAction,
    /// Whether its content, which subscribers see, changed.
    pub changes_content: bool,
}

/// A revision without the contents.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisionSummary {
    /// Which.
    pub revision: Revision,
    /// When, by the wall clock.
    pub time: UnixMillis,
    /// Who.
    pub actor: String,
    /// From where and with which program.
    pub client: String,
    /// The id of the request; empty when it had none.
    pub request_id: String,
    /// Why.
    pub message: String,
    /// What the client noted with it.
    pub labels: BTreeMap<String, String>,
    /// Which revision it restored.
    pub reverts_to: Option<Revision>,
    /// How it is to reach the gateways; `None`: by the defaults.
    pub rollout: Option<RolloutPolicy>,
    /// What it touched.
    pub touched: Vec<Touched>,
    /// The hashes of the content after it.
    pub hashes: KindHashes,
}

impl RevisionSummary {
    /// How many resources became what `action` says.
    #[must_use]
    pub fn count(&self, action: ChangeAction) -> usize {
        self.touched
            .iter()
            .filter(|touched| touched.action == action)
            .count()
    }

    /// Whether it touched a resource of this kind.
    #[must_use]
    pub fn touches_kind(&self, kind: Kind) -> bool {
        self.touched.iter().any(|touched| touched.key.kind == kind)
    }
}
