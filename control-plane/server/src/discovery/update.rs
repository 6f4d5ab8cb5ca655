//! Updates as messages: what changed between two versions, cut to the subscriber's message size, built once for
//! all subscribers that are in step.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::Mutex;
use tyrscale_model::{Digest, Lineage, Revision, Version, View, wire};
use tyrscale_proto::v1::{self, stream_config_response::Message};

use super::{
    content::{Content, Item},
    packing,
};
use crate::secrets::SecretsError;

/// The largest message sent unless the subscriber wants smaller ones, in bytes.
pub(crate) const MAX_MESSAGE: usize = 1024 * 1024;
/// The smallest limit a subscriber may set, in bytes.
pub(crate) const MIN_MESSAGE: usize = 64 * 1024;
/// Room for what a message holds besides resources: two versions, counts, the nonce.
const ENVELOPE: usize = 512;
/// Updates to one target kept for other subscribers.
const MAX_SHARED: usize = 64;

/// Why there is no update.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    /// A resource alone does not fit a message of the subscriber's size.
    #[error("{0} does not fit a message of the size the subscriber takes")]
    TooLarge(String),
    /// A resource does not fit one even when it is compressed.
    #[error("a resource does not fit a message of the size the subscriber takes")]
    TooLargePacked,
    /// It could not be compressed.
    #[error("the update could not be compressed")]
    Pack(#[from] std::io::Error),
    /// A value that the subscriber needs does not open.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The history no longer reaches back to the base.
    #[error("the history does not reach back")]
    Compacted,
}

impl UpdateError {
    /// What is told of it.
    pub(crate) const fn why(&self) -> &'static str {
        match self {
            Self::TooLarge(_) | Self::TooLargePacked => "a resource does not fit the messages it takes",
            Self::Pack(_) => "the update could not be compressed",
            Self::Secrets(SecretsError::UnknownKey(_)) => {
                "the value of a secret was sealed with a key that is not known here yet"
            }
            Self::Secrets(SecretsError::Locked(_)) => {
                "a backup is served without the keys that the values of its secrets were sealed with"
            }
            Self::Secrets(_) => "the value of a secret does not open",
            Self::Compacted => "the history does not reach back",
        }
    }

    /// Whether it may be gone though the content is the same.
    pub(crate) const fn passes(&self) -> bool {
        matches!(self, Self::Secrets(SecretsError::UnknownKey(_)) | Self::Compacted)
    }
}

/// The messages of one update, without nonce.
pub(crate) type Messages = Arc<[Message]>;

/// What a subscriber takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Format {
    /// The largest message, in bytes.
    pub(crate) max_message: usize,
    /// Whether chunks may be compressed.
    pub(crate) packed: bool,
    /// Whether deltas may leave out what follows from what the subscriber runs.
    pub(crate) terse: bool,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Range {
    variant: (View, u64),
    /// Tells apart who sees different parts of one revision.
    target: Digest,
    base: Option<Version>,
    format: Format,
}

#[derive(Debug, Default)]
struct Shared {
    /// Lineage and revision, whatever a subscriber sees of it.
    target: Option<(Lineage, Revision)>,
    ranges: HashMap<Range, Messages>,
}

/// Updates to the newest version of one lane, made once and shared.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    shared: Mutex<Shared>,
}

impl Updates {
    /// The messages that lead from `base`, or from nothing, to the newest version.
    pub(crate) async fn lead(
        &self,
        content: &Content,
        base: Option<Version>,
        format: Format,
    ) -> Result<Messages, UpdateError> {
        let target = content.target();
        let newest = (target.lineage, target.revision);
        let range = Range {
            variant: content.variant(),
            target: target.digest,
            base,
            format,
        };
        let mut shared = self.shared.lock().await;
        if shared
            .target
            .is_none_or(|(_, revision)| revision < target.revision)
        {
            shared.target = Some(newest);
            shared.ranges.clear();
        }
        // A stream may be a moment behind; what it needs is of no use to others.
        let is_newest = shared.target == Some(newest);
        if let Some(messages) = shared.ranges.get(&range).filter(|_| is_newest) {
            return Ok(Arc::clone(messages));
        }
        let messages: Messages = build(content, base, format)?.into();
        if is_newest && shared.ranges.len() < MAX_SHARED {
            shared.ranges.insert(range, Arc::clone(&messages));
        }
        Ok(messages)
    }
}

fn build(content: &Content, base: Option<Version>, format: Format) -> Result<Vec<Message>, UpdateError> {
    let items = content.items(base.as_ref())?;
    let room = format.max_message.saturating_sub(ENVELOPE);
    let size: usize = items.iter().map(Item::size).sum();
    let target = content.target();
    let chunk = v1::UpdateChunk {
        base: base.as_ref().map(wire::version_to_wire),
        target: Some(wire::version_to_wire(&target)),
        ..v1::UpdateChunk::default()
    };
    if format.packed && size >= packing::WORTH {
        return packed(
            cut(items, packing::PART.min(room), packing::PART.max(room))?,
            &chunk,
            room,
        );
    }
    let mut parts = cut(items, room, room)?;
    if let Some(base) = base.filter(|_| parts.len() == 1) {
        let delta = parts
            .pop()
            .map(|part| delta_of(&base, &target, part, format.terse));
        return Ok(delta.into_iter().map(Message::Delta).collect());
    }
    let chunks = parts.into_iter().map(|part| v1::UpdateChunk {
        upserts: part.upserts,
        removals: part.removals,
        ..chunk.clone()
    });
    Ok(numbered(chunks.collect()))
}

/// The parts as compressed chunks. One resource that does not fit even so is an error.
fn packed(
    parts: Vec<v1::UpdatePart>,
    chunk: &v1::UpdateChunk,
    room: usize,
) -> Result<Vec<Message>, UpdateError> {
    let mut chunks = Vec::new();
    for part in parts {
        for data in packing::pack(part)? {
            if data.len() > room {
                return Err(UpdateError::TooLargePacked);
            }
            chunks.push(v1::UpdateChunk {
                codec: v1::Codec::Zstd.into(),
                data,
                ..chunk.clone()
            });
        }
    }
    Ok(numbered(chunks))
}

fn numbered(mut chunks: Vec<v1::UpdateChunk>) -> Vec<Message> {
    let count = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
    for (chunk, index) in chunks.iter_mut().zip(0..) {
        chunk.index = index;
        chunk.count = count;
    }
    chunks.into_iter().map(Message::Chunk).collect()
}

fn delta_of(base: &Version, target: &Version, part: v1::UpdatePart, terse: bool) -> v1::Delta {
    let mut base = wire::version_to_wire(base);
    let mut target = wire::version_to_wire(target);
    if terse && base.lineage == target.lineage {
        base.lineage.clear();
        base.digest.clear();
        target.lineage.clear();
    }
    v1::Delta {
        base: Some(base),
        target: Some(target),
        upserts: part.upserts,
        removals: part.removals,
    }
}

/// Cuts items into parts of at most `limit` bytes each; at least one part. An item alone may have up to `largest`.
fn cut(items: Vec<Item>, limit: usize, largest: usize) -> Result<Vec<v1::UpdatePart>, UpdateError> {
    let mut parts = Vec::new();
    let mut part = v1::UpdatePart::default();
    let mut used = 0;
    for item in items {
        let size = item.size();
        if size > largest {
            return Err(UpdateError::TooLarge(item.name()));
        }
        if used > 0 && used + size > limit {
            parts.push(std::mem::take(&mut part));
            used = 0;
        }
        used += size;
        match item {
            Item::Upsert(resource) => part.upserts.push(resource),
            Item::Removal(key) => part.removals.push(key),
        }
    }
    parts.push(part);
    Ok(parts)
}
