//! Writing one resource: how it is asked for, and what it answers.

use std::collections::BTreeMap;

use tonic::{Request, Status};
use tyrscale_model::{ChangeAction, Notes, ResourceKey, Violation, ViolationCode, wire};
use tyrscale_proto::v1;
use tyrscale_store::{Committed, RequestId};

use super::{Message, version_of};
use crate::grpc::{Origin, refused};

/// How to write.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    /// Who, and from where.
    pub(super) origin: Origin,
    /// Check everything, change nothing.
    pub(super) validate_only: bool,
    /// The request, when the client gave it an id.
    pub(super) request: Option<RequestId>,
}

impl Write {
    /// How the caller of `method` wants it.
    pub(crate) fn of<T: prost::Message>(
        request: &Request<T>,
        method: &str,
        (request_id, validate_only): (&str, bool),
    ) -> Result<Self, Status> {
        let fingerprint = || {
            let mut hasher = blake3::Hasher::new();
            hasher.update(method.as_bytes());
            hasher.update(&request.get_ref().encode_to_vec());
            *hasher.finalize().as_bytes()
        };
        Ok(Self {
            origin: Origin::of(request),
            validate_only,
            request: request_id_of(request_id, fingerprint)?,
        })
    }
}

/// The longest request id, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// The id of a request and what proves that it is the same request; `None` when it has no id.
pub(crate) fn request_id_of(
    id: &str,
    fingerprint: impl FnOnce() -> [u8; 32],
) -> Result<Option<RequestId>, Status> {
    if id.is_empty() {
        return Ok(None);
    }
    if id.len() > MAX_REQUEST_ID || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = "must be 1 to 128 printable characters";
        return Err(refused(Violation::new(
            "request_id",
            ViolationCode::Invalid,
            message,
        )));
    }
    Ok(Some(RequestId {
        id: id.to_owned(),
        fingerprint: fingerprint(),
    }))
}

/// What a write answers, kept for when the request comes again.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Answer {
    #[prost(message, optional, tag = "1")]
    pub(super) resource: Option<v1::Resource>,
    #[prost(message, optional, tag = "2")]
    pub(super) version: Option<v1::Version>,
    #[prost(message, repeated, tag = "3")]
    pub(super) deleted: Vec<v1::ResourceRef>,
}

impl Answer {
    pub(super) fn of(committed: &Committed, key: &ResourceKey) -> Self {
        let changed = committed.changes.iter().find(|change| change.key == *key);
        let entry = changed
            .and_then(|change| change.entry.as_ref())
            .or_else(|| committed.head.snapshot.get(key));
        let deleted = committed
            .changes
            .iter()
            .filter(|change| change.action == ChangeAction::Deleted);
        Self {
            resource: entry.map(|entry| wire::entry_to_wire(entry)),
            version: Some(version_of(committed)),
            deleted: deleted.map(|change| wire::key_to_wire(&change.key)).collect(),
        }
    }

    pub(super) fn into_written<M: Message>(self) -> Result<(M, v1::Version), Status> {
        let message = self.resource.and_then(M::unwrap);
        message
            .zip(self.version)
            .ok_or_else(|| Status::internal("what was written is not there"))
    }
}

/// The paths of what is noted with a resource.
pub(super) const NOTES: [&str; 3] = ["meta", "meta.labels", "meta.annotations"];

/// What a message notes with its resource: what is given, and what is `forced` by its path even when it is empty.
pub(crate) fn notes_of(meta: Option<&v1::ObjectMeta>, forced: impl Fn(&str) -> bool) -> Option<Notes> {
    let meta = meta.cloned().unwrap_or_default();
    let given = |notes: BTreeMap<String, String>, path| (!notes.is_empty() || forced(path)).then_some(notes);
    let notes = Notes {
        labels: given(meta.labels, "meta.labels"),
        annotations: given(meta.annotations, "meta.annotations"),
        managed_by: None,
    };
    (notes != Notes::default()).then_some(notes)
}
