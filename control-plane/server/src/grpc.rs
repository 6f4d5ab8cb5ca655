//! The gRPC services besides discovery, and what they share: who writes, and how refusals are worded.

pub(crate) mod bounds;
pub(crate) mod configuration;
pub(crate) mod crud;
mod kind;
pub(crate) mod mask;
mod network;
mod plugin;
pub(crate) mod recommendation;
mod rollout;
mod route;
mod rpc;
pub(crate) mod runs;
mod secret;
pub(crate) mod status;
mod upstream;
mod watch;
mod weights;

use tonic::{Request, Status, metadata::MetadataMap};
use tyrscale_access::{Peer, Who, caller};
use tyrscale_client::rejection;
use tyrscale_model::{Rejection, Violation};
use tyrscale_store::StoreError;

use crate::secrets::SecretsError;

/// Metadata with which a client names itself for `meta.modified_by`.
const AUTHOR: &str = "x-tyrscale-author";
/// The longest text taken from metadata, in bytes.
const MAX_AUTHOR: usize = 128;

/// The address of the other end, for records.
pub(crate) fn peer_of<T>(request: &Request<T>) -> String {
    let peer = request.extensions().get::<Peer>();
    peer.map_or_else(|| "unknown".to_owned(), |peer| peer.address.to_string())
}

/// Who writes: whom the credential names; without one, as the client names itself in printable ASCII, else its address.
pub(crate) fn author_of<T>(request: &Request<T>) -> String {
    match caller() {
        Some(caller) if caller.who != Who::Anonymous => caller.subject().to_owned(),
        _ => text_of(request.metadata(), AUTHOR).unwrap_or_else(|| peer_of(request)),
    }
}

/// Whose requests are one caller's: of a user, a node, or of those nobody asks who they are.
pub(crate) fn caller_name() -> String {
    match caller().map(|caller| caller.who) {
        Some(Who::User { subject, .. }) => format!("user {subject}"),
        Some(Who::Node(identity)) => format!("node {identity}"),
        Some(Who::Anonymous) | None => String::new(),
    }
}

/// Who asks, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// See [`author_of`].
    pub(crate) actor: String,
    /// Its address and its program.
    pub(crate) client: String,
}

impl Origin {
    pub(crate) fn of<T>(request: &Request<T>) -> Self {
        let peer = peer_of(request);
        Self {
            actor: author_of(request),
            client: match text_of(request.metadata(), "user-agent") {
                Some(program) => format!("{peer} {program}"),
                None => peer,
            },
        }
    }
}

/// A short text in printable ASCII.
fn text_of(metadata: &MetadataMap, name: &str) -> Option<String> {
    let name = metadata.get(name)?.to_str().ok()?.trim();
    let printable = name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    (!name.is_empty() && name.len() <= MAX_AUTHOR && printable).then(|| name.to_owned())
}

/// A refusal that names one broken rule.
pub(crate) fn refused(violation: Violation) -> Status {
    rejected(&Rejection::from(violation))
}

/// The status of a refusal, with every broken rule in its details.
pub(crate) fn rejected(refusal: &Rejection) -> Status {
    rejection::to_status(refusal, rejection::code_of(refusal))
}

/// The status of a failed write.
pub(crate) fn store_status(error: StoreError) -> Status {
    match error {
        StoreError::Rejected(refusal) => rejected(&refusal),
        error @ (StoreError::UnknownRevision { .. } | StoreError::Compacted { .. }) => {
            Status::out_of_range(error.to_string())
        }
        full @ StoreError::Full(_) => Status::resource_exhausted(full.to_string()),
        other => Status::unavailable(other.to_string()),
    }
}

/// The status of keys of secrets that cannot be had.
pub(crate) fn secrets_status(error: SecretsError) -> Status {
    Status::unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_short_and_printable() {
        let named = |value: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert(AUTHOR, value.parse().unwrap());
            text_of(&metadata, AUTHOR)
        };
        assert_eq!(named(" ops team "), Some("ops team".to_owned()));
        assert_eq!(named(""), None);
        assert_eq!(named("a\tb"), None);
        assert_eq!(named(&"a".repeat(MAX_AUTHOR + 1)), None);
    }
}
