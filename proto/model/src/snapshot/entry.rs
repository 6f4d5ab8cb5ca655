//! A resource with what is known about it, and as it travels.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;

use crate::{Resource, ResourceKey, Revision, SecretValue};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct UnixMillis(pub u64);

/// Changes with a resource's content; 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etag(pub String);

/// What is known about a resource besides its content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// At which revision it came.
    pub create_revision: Revision,
    /// At which revision it last changed.
    pub modify_revision: Revision,
    /// When it came.
    pub create_time: UnixMillis,
    /// When it last changed.
    pub modify_time: UnixMillis,
    /// Who changed it last, as the client named itself.
    pub modified_by: String,
    /// What selects it: short words.
    pub labels: BTreeMap<String, String>,
    /// What people and programs note with it.
    pub annotations: BTreeMap<String, String>,
    /// Who manages it by documents; empty when nobody does.
    pub managed_by: String,
}

/// A resource with its payload and meta. `Debug` leaves the payload out, which may hold secrets.
#[derive(Clone)]
pub struct Entry {
    /// The content, decoded.
    pub resource: Resource,
    /// The content as it is stored, sent and hashed.
    pub payload: Bytes,
    /// What is known about it.
    pub meta: Meta,
}

impl Entry {
    /// Whether the other has the same content and notes; revisions and times aside.
    #[must_use]
    pub fn has_content_of(&self, other: &Self) -> bool {
        let (meta, others) = (&self.meta, &other.meta);
        self.payload == other.payload
            && meta.labels == others.labels
            && meta.annotations == others.annotations
            && meta.managed_by == others.managed_by
    }

    /// The etag of the content and the notes.
    #[must_use]
    pub fn etag(&self) -> Etag {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[self.resource.key().kind.number()]);
        hasher.update(&self.payload);
        let Meta {
            labels,
            annotations,
            managed_by,
            ..
        } = &self.meta;
        for (mark, notes) in [(1, labels), (2, annotations)] {
            for text in notes.iter().flat_map(|(name, value)| [name, value]) {
                hasher.update(&[mark]);
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        hasher.update(managed_by.as_bytes());
        let hash = hasher.finalize();
        Etag(hash.to_hex().chars().take(16).collect())
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("resource", &self.resource)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

/// A resource as it travels to subscribers and rests on their disks.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// Which resource.
    pub key: ResourceKey,
    /// At which revision it last changed.
    pub revision: Revision,
    /// Its payload.
    pub payload: Bytes,
    /// Of a secret that the subscriber needs: its value.
    pub value: Option<SecretValue>,
}

impl Row {
    /// The row of an entry, with the value of a secret where that is known.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        let value = match &entry.resource {
            Resource::Secret(secret) => secret.value.clone(),
            _ => None,
        };
        Self {
            key: entry.resource.key(),
            revision: entry.meta.modify_revision,
            payload: entry.payload.clone(),
            value,
        }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("key", &self.key)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}
