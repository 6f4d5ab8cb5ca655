//! Sealed values that came to a store without the keys that open them: they count as unset until they are set again.
//!
//! They stay as they are, since they are part of the digest by which a gateway that has the values is in sync.

use std::collections::HashSet;

use bytes::Bytes;
use prost::Message as _;
use tyrscale_model::{Kind, Resource, Snapshot};

use super::SecretsError;

/// The document that tells them.
pub(super) const UNSET: &str = "unset";

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct UnsetRecord {
    /// Hashes of sealed values.
    #[prost(bytes = "vec", repeated, tag = "1")]
    sealed: Vec<Vec<u8>>,
}

/// Which sealed values nothing opens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unset(HashSet<[u8; 32]>);

impl Unset {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, SecretsError> {
        let damaged = || SecretsError::Damaged("the list of unset secrets".to_owned());
        let record = UnsetRecord::decode(bytes).map_err(|_| damaged())?;
        let hashes = record.sealed.into_iter();
        let hashes = hashes.map(|hash| hash.try_into().map_err(|_| damaged()));
        Ok(Self(hashes.collect::<Result<_, _>>()?))
    }

    pub(super) fn holds(&self, sealed: &[u8]) -> bool {
        !self.0.is_empty() && self.0.contains(blake3::hash(sealed).as_bytes())
    }
}

/// The secrets of a content that comes without its keyring.
pub(crate) struct Keyless {
    /// Their names.
    pub(crate) names: Vec<String>,
    /// The document of [`Table::Secrets`](tyrscale_store::Table) that is to come with them: its name and what it holds.
    pub(crate) document: (&'static str, Bytes),
}

impl Keyless {
    /// None when there is no secret.
    pub(crate) fn of(snapshot: &Snapshot) -> Option<Self> {
        let secrets = snapshot.of_kind(Kind::Secret);
        let secrets = secrets.filter_map(|(_, entry)| match &entry.resource {
            Resource::Secret(secret) => Some(secret),
            _ => None,
        });
        let (names, sealed): (Vec<_>, _) = secrets
            .map(|secret| {
                let hash = blake3::hash(&secret.sealed).as_bytes().to_vec();
                (secret.name.to_string(), hash)
            })
            .unzip();
        let document = (UNSET, UnsetRecord { sealed }.encode_to_vec().into());
        (!names.is_empty()).then_some(Self { names, document })
    }
}
