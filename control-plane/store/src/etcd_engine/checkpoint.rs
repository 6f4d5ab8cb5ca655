//! All resources of one revision, written down, so that a start need not replay the whole log.

use std::collections::BTreeMap;

use prost::Message as _;
use tyrscale_etcd::{KeyValue, TxnRequest};
use tyrscale_model::{Entry, Kind, ResourceKey, Revision};

use super::{
    EtcdEngine, PIECE,
    keys::{self, CheckpointRecord, ResourceRecord, ResourcesRecord},
    token,
};
use crate::{
    engine::{Engine as _, EngineError},
    log::Image,
    record::ImageRecord,
};

/// How many records are replayed at once.
const CHUNK: u64 = 256;

impl EtcdEngine {
    /// The resources of the newest checkpoint; of an empty cluster, none at revision 0.
    pub(super) fn checkpointed(&self) -> Result<(Revision, Vec<Entry>), EngineError> {
        let (revision, images) = match self.checkpoint_record()? {
            Some((_, record)) => (Revision(record.revision), self.images(&record)?),
            None => (Revision(0), BTreeMap::new()),
        };
        let unfit = |key: &ResourceKey| EngineError::Damaged(format!("{key} is no resource of its kind"));
        let entries = images
            .into_iter()
            .map(|(key, image)| image.into_entry(&key).ok_or_else(|| unfit(&key)));
        Ok((revision, entries.collect::<Result<_, _>>()?))
    }

    fn checkpoint_record(&self) -> Result<Option<(KeyValue, CheckpointRecord)>, EngineError> {
        let found = self.members.range(keys::get(self.keys.checkpoint()))?.kvs.pop();
        found
            .map(|kv| keys::open(&kv.key, &kv.value).map(|record| (kv, record)))
            .transpose()
    }

    fn images(&self, record: &CheckpointRecord) -> Result<BTreeMap<ResourceKey, Image>, EngineError> {
        let mut images = BTreeMap::new();
        for part in 0..record.parts as usize {
            let key = self
                .keys
                .resource_part(Revision(record.revision), &record.token, part);
            let part: ResourcesRecord = self.required(key)?;
            for resource in part.resources {
                let kind = i32::try_from(resource.kind).ok().and_then(Kind::from_number);
                let (kind, image) = kind
                    .zip(resource.image)
                    .ok_or_else(|| EngineError::Damaged("the checkpoint holds what is no resource".into()))?;
                images.insert(ResourceKey::new(kind, resource.id), image.into_image());
            }
        }
        Ok(images)
    }

    /// Writes down the resources of the head, unless another process does.
    pub(super) fn write_checkpoint(&self) -> Result<(), EngineError> {
        let before = self.checkpoint_record()?;
        let (mut at, mut images, seen) = match &before {
            Some((kv, record)) => (Revision(record.revision), self.images(record)?, kv.mod_revision),
            None => (Revision(0), BTreeMap::new(), 0),
        };
        let head = self.head()?;
        while at < head {
            let last = Revision(at.0.saturating_add(CHUNK)).min(head);
            for operation in self
                .read_log(at.next(), last)?
                .into_iter()
                .flat_map(|record| record.operations)
            {
                match operation.after {
                    Some(image) => images.insert(operation.key, image),
                    None => images.remove(&operation.key),
                };
            }
            at = last;
        }
        let token = token();
        let parts = self.write_resources(head, &token, images)?;
        let record = CheckpointRecord {
            revision: head.0,
            token,
            parts,
        };
        let key = self.keys.checkpoint();
        self.members.repeatable(TxnRequest {
            compare: vec![keys::written_at(key.clone(), seen)],
            success: vec![keys::put(key, &record)],
            failure: Vec::new(),
        })?;
        // Of the earlier ones nothing is read any more, but by a start that then begins again.
        self.forget(self.keys.resources(Revision(0)), self.keys.resources(head))
    }

    pub(super) fn write_resources(
        &self,
        revision: Revision,
        token: &[u8],
        images: BTreeMap<ResourceKey, Image>,
    ) -> Result<u32, EngineError> {
        let mut parts: u32 = 0;
        let mut part = ResourcesRecord::default();
        let mut size = 0;
        let mut write = |part: &mut ResourcesRecord| {
            let key = self.keys.resource_part(revision, token, parts as usize);
            parts += 1;
            let written = self.put(key, part);
            *part = ResourcesRecord::default();
            written
        };
        for (key, image) in images {
            let resource = ResourceRecord {
                kind: key.kind.number().into(),
                id: key.id.to_string(),
                image: Some(ImageRecord::of(&image)),
            };
            size += resource.encoded_len();
            part.resources.push(resource);
            if size >= PIECE {
                write(&mut part)?;
                size = 0;
            }
        }
        if !part.resources.is_empty() {
            write(&mut part)?;
        }
        Ok(parts)
    }
}
