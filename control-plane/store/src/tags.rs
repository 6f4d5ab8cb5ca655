//! Names of revisions. A tag keeps what it names, and everything after it, from being forgotten.

use bytes::Bytes;
use prost::Message as _;
use tyrscale_model::{Revision, UnixMillis, Violation, ViolationCode};

use crate::{
    engine::{Document, DocumentWrite, Engine, EngineError, Stamp},
    error::StoreError,
    store::Store,
    table::Table,
    writer::now,
};

/// How many tags there may be.
const MAX_TAGS: usize = 1000;
/// The longest name and message, in bytes.
const MAX_NAME: usize = 63;
const MAX_MESSAGE: usize = 1024;

/// A name of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The name.
    pub name: String,
    /// Which revision.
    pub revision: Revision,
    /// When it was given.
    pub time: UnixMillis,
    /// By whom.
    pub actor: String,
    /// Why.
    pub message: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct TagRecord {
    #[prost(uint64, tag = "1")]
    revision: u64,
    #[prost(uint64, tag = "2")]
    time_ms: u64,
    #[prost(string, tag = "3")]
    actor: String,
    #[prost(string, tag = "4")]
    message: String,
}

fn read(document: &Document) -> Result<Tag, EngineError> {
    let record = TagRecord::decode(document.value.clone())
        .map_err(|_| EngineError::Damaged(format!("tags/{} is no tag", document.key)))?;
    Ok(Tag {
        name: document.key.clone(),
        revision: Revision(record.revision),
        time: UnixMillis(record.time_ms),
        actor: record.actor,
        message: record.message,
    })
}

fn all(engine: &dyn Engine) -> Result<Vec<Tag>, EngineError> {
    let documents = engine.documents(Table::Tags, "", "", MAX_TAGS)?;
    documents.iter().map(read).collect()
}

/// The oldest revision that has a tag.
pub(crate) fn oldest(engine: &dyn Engine) -> Result<Option<Revision>, EngineError> {
    Ok(all(engine)?.into_iter().map(|tag| tag.revision).min())
}

fn refused(field: &str, code: ViolationCode, message: impl Into<String>) -> StoreError {
    StoreError::Rejected(Violation::new(field, code, message).into())
}

fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    first && name.len() <= MAX_NAME && name.bytes().all(inner)
}

impl Store {
    /// The tags, by name.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Unavailable`].
    pub async fn tags(&self) -> Result<Vec<Tag>, StoreError> {
        self.read(all).await
    }

    /// Names a revision.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] when the name is taken or not well-formed, [`StoreError::UnknownRevision`] and
    /// [`StoreError::Compacted`] when the revision cannot be had.
    pub async fn create_tag(&self, mut tag: Tag) -> Result<Tag, StoreError> {
        if !is_name(&tag.name) {
            let rule = "must be 1 to 63 letters, digits, \"-\", \"_\" and \".\", a letter first";
            return Err(refused("name", ViolationCode::Invalid, rule));
        }
        if tag.message.len() > MAX_MESSAGE {
            return Err(refused(
                "message",
                ViolationCode::OutOfRange,
                "must have at most 1024 bytes",
            ));
        }
        let _pin = self.pin(tag.revision);
        self.find(tag.revision)?;
        if self.tags().await?.len() >= MAX_TAGS {
            return Err(refused(
                "name",
                ViolationCode::LimitExceeded,
                "there are 1000 tags already",
            ));
        }
        tag.time = now();
        let record = TagRecord {
            revision: tag.revision.0,
            time_ms: tag.time.0,
            actor: tag.actor.clone(),
            message: tag.message.clone(),
        };
        let value = Bytes::from(record.encode_to_vec());
        let put = self
            .documents(Table::Tags)
            .put_if(&tag.name, value, Stamp(0))
            .await;
        match put {
            Ok(_) => Ok(tag),
            Err(StoreError::DocumentMoved { .. }) => {
                let message = format!("tag {} already exists", tag.name);
                Err(refused("name", ViolationCode::AlreadyExists, message))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a tag away; the revision stays until its time has come.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] when there is none of that name.
    pub async fn delete_tag(&self, name: &str) -> Result<(), StoreError> {
        let tags = self.documents(Table::Tags);
        let absent = || {
            refused(
                "name",
                ViolationCode::NotFound,
                format!("tag {name} does not exist"),
            )
        };
        let known = if is_name(name) {
            tags.get(name).await?
        } else {
            None
        };
        let stamp = known.ok_or_else(absent)?.stamp;
        let delete: DocumentWrite = tags.write(name, None, Some(stamp));
        match self.write_documents(vec![delete]).await {
            Ok(_) => Ok(()),
            Err(StoreError::DocumentMoved { .. }) => Err(absent()),
            Err(error) => Err(error),
        }
    }
}
