//! Updates as messages: what changed between two versions, cut to the subscriber's message size, built once for
//! all subscribers that are in step.

use std::{collections::HashMap, sync::Arc};

use prost::Message as _;
use tokio::sync::Mutex;
use tyrscale_model::{Kind, ResourceKey, Row, Version, View, wire};
use tyrscale_proto::v1::{self, stream_config_response::Message};
use tyrscale_store::Head;

use super::{packing, resume::Difference};

/// The largest message sent unless the subscriber wants smaller ones, in bytes.
pub(crate) const MAX_MESSAGE: usize = 1024 * 1024;
/// The smallest limit a subscriber may set, in bytes.
pub(crate) const MIN_MESSAGE: usize = 64 * 1024;
/// Room for what a message holds besides resources: two versions, counts, the nonce.
const ENVELOPE: usize = 512;
/// Room for the tag and length of a resource in its message.
const ITEM_HEADER: usize = 8;
/// Updates to one target kept for other subscribers.
const MAX_SHARED: usize = 64;
/// A difference of more than this many hundredths of the whole is sent as the whole.
const LARGE_PERCENT: usize = 60;

/// Why there is no update.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    /// A resource alone does not fit a message of the subscriber's size.
    #[error("{0} does not fit a message of the size the subscriber takes")]
    TooLarge(ResourceKey),
    /// A resource does not fit one even when it is compressed.
    #[error("a resource does not fit a message of the size the subscriber takes")]
    TooLargePacked,
    /// It could not be compressed.
    #[error("the update could not be compressed")]
    Pack(#[from] std::io::Error),
    /// The history no longer reaches back to the base.
    #[error("the history does not reach back")]
    Compacted,
}

/// The messages of one update, without nonce.
pub(crate) type Messages = Arc<[Message]>;

/// How a version of the subscriber differs from the head.
pub(crate) fn difference(head: &Head, view: View, have: &Version) -> Difference {
    let known = head.history.hashes_at(have.revision);
    if known.is_none_or(|hashes| hashes.digest(have.lane, view) != have.digest) {
        return Difference::Unknown;
    }
    let Some(changed) = head.history.changed_since(have.revision) else {
        return Difference::Unknown;
    };
    let changed = changed.iter().filter(|key| view.contains(key.kind)).count();
    // Counted no further than needed: the work is that of the change, not of the whole.
    let enough = changed.saturating_mul(100).div_ceil(LARGE_PERCENT);
    let seen = view.kinds().flat_map(|kind| head.snapshot.of_kind(kind));
    if seen.take(enough).count() < enough {
        Difference::Large
    } else {
        Difference::Small
    }
}

/// What a subscriber takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Format {
    /// The largest message, in bytes.
    pub(crate) max_message: usize,
    /// Whether chunks may be compressed.
    pub(crate) packed: bool,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Range {
    view: View,
    base: Option<Version>,
    format: Format,
}

#[derive(Debug, Default)]
struct Shared {
    target: Option<Version>,
    ranges: HashMap<Range, Messages>,
}

/// Updates to the newest version, made once and shared.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    shared: Mutex<Shared>,
}

impl Updates {
    /// The messages that lead from `base`, or from nothing, to the head.
    pub(crate) async fn lead(
        &self,
        head: &Head,
        view: View,
        base: Option<Version>,
        format: Format,
    ) -> Result<Messages, UpdateError> {
        let newest = head.snapshot.version(View::ALL);
        let range = Range { view, base, format };
        let mut shared = self.shared.lock().await;
        if shared
            .target
            .is_none_or(|target| target.revision < newest.revision)
        {
            shared.target = Some(newest);
            shared.ranges.clear();
        }
        // A stream may be a moment behind; what it needs is of no use to others.
        let is_newest = shared.target == Some(newest);
        if let Some(messages) = shared.ranges.get(&range).filter(|_| is_newest) {
            return Ok(Arc::clone(messages));
        }
        let messages: Messages = build(head, view, base, format)?.into();
        if is_newest && shared.ranges.len() < MAX_SHARED {
            shared.ranges.insert(range, Arc::clone(&messages));
        }
        Ok(messages)
    }
}

/// One step of an update.
enum Item {
    Upsert(v1::DiscoveryResource),
    Removal(v1::ResourceRef),
}

impl Item {
    fn size(&self) -> usize {
        ITEM_HEADER
            + match self {
                Self::Upsert(resource) => resource.encoded_len(),
                Self::Removal(key) => key.encoded_len(),
            }
    }

    fn key(&self) -> ResourceKey {
        let (kind, id) = match self {
            Self::Upsert(resource) => (resource.kind, &resource.id),
            Self::Removal(key) => (key.kind, &key.id),
        };
        ResourceKey::new(Kind::from_number(kind).unwrap_or(Kind::Network), id.as_str())
    }
}

fn build(
    head: &Head,
    view: View,
    base: Option<Version>,
    format: Format,
) -> Result<Vec<Message>, UpdateError> {
    let items = match &base {
        None => whole(head, view),
        Some(base) => changed(head, view, base).ok_or(UpdateError::Compacted)?,
    };
    let room = format.max_message.saturating_sub(ENVELOPE);
    let size: usize = items.iter().map(Item::size).sum();
    let target = Some(wire::version_to_wire(&head.snapshot.version(view)));
    let base = base.as_ref().map(wire::version_to_wire);
    let chunk = v1::UpdateChunk {
        base: base.clone(),
        target: target.clone(),
        ..v1::UpdateChunk::default()
    };
    if format.packed && size >= packing::WORTH {
        return packed(cut(items, packing::PART.max(room))?, &chunk, room);
    }
    let mut parts = cut(items, room)?;
    if base.is_some() && parts.len() == 1 {
        let delta = parts.pop().map(|part| v1::Delta {
            base,
            target,
            upserts: part.upserts,
            removals: part.removals,
        });
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

fn whole(head: &Head, view: View) -> Vec<Item> {
    let seen = view.kinds().flat_map(|kind| head.snapshot.of_kind(kind));
    seen.map(|(key, entry)| Item::Upsert(upsert(key, entry)))
        .collect()
}

fn changed(head: &Head, view: View, base: &Version) -> Option<Vec<Item>> {
    let keys = head.history.changed_since(base.revision)?;
    let seen = keys.iter().filter(|key| view.contains(key.kind));
    let items = seen.map(|key| match head.snapshot.get(key) {
        Some(entry) => Item::Upsert(upsert(key, entry)),
        None => Item::Removal(wire::key_to_wire(key)),
    });
    Some(items.collect())
}

fn upsert(key: &ResourceKey, entry: &tyrscale_model::Entry) -> v1::DiscoveryResource {
    wire::row_to_wire(&Row {
        key: key.clone(),
        revision: entry.meta.modify_revision,
        payload: entry.payload.clone(),
    })
}

/// Cuts items into parts of at most `limit` bytes each; at least one part.
fn cut(items: Vec<Item>, limit: usize) -> Result<Vec<v1::UpdatePart>, UpdateError> {
    let mut parts = Vec::new();
    let mut part = v1::UpdatePart::default();
    let mut used = 0;
    for item in items {
        let size = item.size();
        if size > limit {
            return Err(UpdateError::TooLarge(item.key()));
        }
        if used + size > limit {
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
