//! The keyring of a store, in use.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use tyrscale_model::{
    ChangeSet, Expectation, Kind, Operation, Rejection, Resource, Secret, SecretValue, Snapshot, Violation,
    ViolationCode,
};
use tyrscale_store::{Document, Documents, RequestId, Stamp, Store, StoreError, Table};

use super::{
    SecretsError,
    keyring::Keyring,
    master::{MasterKeys, Source},
    unset::{UNSET, Unset},
};

/// The document that holds the keyring.
const KEYRING: &str = "keyring";
/// How often a write is tried that other control planes get in the way of.
const TRIES: usize = 5;

/// Seals and opens values; clones share the keys.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    documents: Documents,
    masters: Arc<MasterKeys>,
    ring: Arc<RwLock<Arc<Keyring>>>,
    unset: Arc<Unset>,
    /// Why no value is sealed or opened, where that is so.
    locked: Option<Arc<str>>,
}

impl Vault {
    /// Opens the keyring of a store, or makes one for a store that has none; one that is sealed with a master key that is
    /// not in use any more is sealed with the one that is. One whose master key is lost is replaced while nothing was
    /// sealed with it. A backup that is served in the place of its store is served without it, too: its values stay closed.
    ///
    /// # Errors
    /// [`SecretsError`]: without its keys a store must not be served, or new values would be sealed with keys that open
    /// nothing else.
    pub(crate) async fn open(store: &Store, source: Source) -> Result<Self, SecretsError> {
        let documents = store.documents(Table::Secrets);
        let unset = documents.get(UNSET).await?;
        let unset = Unset::decode(unset.as_ref().map_or(&[], |document| &document.value))?;
        // It takes no writes.
        let is_backup = store.is_ready().is_err();
        for _ in 0..TRIES {
            let stored = documents.get(KEYRING).await?;
            let is_replaceable = !is_backup && !store.is_shared() && holds_no_secret(store);
            let unlocked = match (unlock(&source, stored.as_ref(), is_replaceable).await, &stored) {
                (Err(error), Some(_)) if is_backup => Unlocked::not(&error)?,
                (unlocked, _) => unlocked?,
            };
            let vault = Self {
                documents: documents.clone(),
                masters: Arc::new(unlocked.masters),
                ring: Arc::new(RwLock::new(Arc::new(unlocked.ring.clone()))),
                unset: Arc::new(unset.clone()),
                locked: unlocked.locked,
            };
            let stamp = stored.map(|stored| stored.stamp).unwrap_or_default();
            if !unlocked.is_stale || is_backup || vault.write(&unlocked.ring, stamp).await? {
                return Ok(vault);
            }
        }
        Err(StoreError::outpaced().into())
    }

    /// Why no value is sealed or opened, where that is so.
    pub(crate) fn locked(&self) -> Option<&str> {
        self.locked.as_deref()
    }

    fn unlocked(&self) -> Result<(), SecretsError> {
        match self.locked() {
            Some(reason) => Err(SecretsError::Locked(reason.to_owned())),
            None => Ok(()),
        }
    }

    /// Writes the keyring unless another control plane did; tells whether it was written.
    async fn write(&self, ring: &Keyring, expected: Stamp) -> Result<bool, SecretsError> {
        let bytes = ring.encode(&self.masters)?;
        match self.documents.put_if(KEYRING, bytes, expected).await {
            Ok(_) => Ok(true),
            Err(StoreError::DocumentMoved { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn ring(&self) -> Arc<Keyring> {
        // It holds nothing that a panic could leave half done.
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, ring: Keyring) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    /// Takes over the keys that another control plane made: before values are sealed, so that a retired key seals none,
    /// and when one does not open.
    ///
    /// # Errors
    /// [`SecretsError`]; the keys stay what they were.
    pub(crate) async fn reload(&self) -> Result<(), SecretsError> {
        self.unlocked()?;
        if let Some(stored) = self.documents.get(KEYRING).await? {
            self.keep(Keyring::decode(&stored.value, &self.masters)?.0);
        }
        Ok(())
    }

    /// Makes a new data key, which seals from now on.
    ///
    /// # Errors
    /// [`SecretsError`]; the keys stay what they were.
    pub(crate) async fn rotate(&self) -> Result<(), SecretsError> {
        self.unlocked()?;
        for _ in 0..TRIES {
            let stored = self.documents.get(KEYRING).await?;
            let stored = stored.ok_or_else(|| SecretsError::Damaged("the keyring".to_owned()))?;
            let next = Keyring::decode(&stored.value, &self.masters)?.0.rotated()?;
            if self.write(&next, stored.stamp).await? {
                self.keep(next);
                return Ok(());
            }
        }
        Err(StoreError::outpaced().into())
    }

    /// The value of a stored secret; none when it came without its key and was not set since.
    ///
    /// # Errors
    /// [`SecretsError::UnknownKey`] until [`Vault::reload`]; [`SecretsError::Damaged`]; [`SecretsError::Locked`].
    pub(crate) fn value_of(&self, secret: &Secret) -> Result<Option<SecretValue>, SecretsError> {
        if self.unset.holds(&secret.sealed) {
            return Ok(None);
        }
        self.unlocked()?;
        self.ring().open(&secret.name, &secret.sealed).map(Some)
    }

    /// Seals the values in a change set. A secret without one keeps what is stored; a value that is stored already is not
    /// sealed anew, so that the same change twice is none.
    ///
    /// # Errors
    /// A [`Rejection`] naming the secrets that cannot be sealed.
    pub(crate) fn seal_in(&self, snapshot: &Snapshot, change_set: &mut ChangeSet) -> Result<(), Rejection> {
        let mut violations = Vec::new();
        for operation in &mut change_set.operations {
            let Operation::Upsert {
                resource: Resource::Secret(secret),
                ..
            } = operation
            else {
                continue;
            };
            let stored = match snapshot.get(&secret.key()).map(|entry| &entry.resource) {
                Some(Resource::Secret(stored)) => Some(stored),
                _ => None,
            };
            if let Err(error) = self.seal_over(stored, secret) {
                let violation = Violation::new("value", ViolationCode::Invalid, error.to_string());
                violations.push(violation.of(secret.key()));
            }
        }
        if violations.is_empty() {
            Ok(())
        } else {
            Err(violations.into())
        }
    }

    fn seal_over(&self, stored: Option<&Secret>, secret: &mut Secret) -> Result<(), SecretsError> {
        let kept = match (&secret.value, stored) {
            (None, stored) => stored,
            (Some(value), Some(stored)) => Some(stored).filter(|stored| {
                self.value_of(stored)
                    .is_ok_and(|known| known.as_ref() == Some(value))
            }),
            (Some(_), None) => None,
        };
        let value = secret.value.take();
        (secret.sealed, secret.fingerprint) = match (kept, value) {
            (Some(kept), _) => (kept.sealed.clone(), kept.fingerprint.clone()),
            (None, Some(value)) => {
                self.unlocked()?;
                let ring = self.ring();
                (ring.seal(&secret.name, &value)?.into(), ring.fingerprint(&value))
            }
            (None, None) => (Bytes::new(), String::new()),
        };
        Ok(())
    }

    /// The change that seals every value with the newest data key.
    ///
    /// # Errors
    /// A [`Rejection`] naming a secret that does not open.
    pub(crate) fn sealed_anew(&self, snapshot: &Snapshot) -> Result<ChangeSet, Rejection> {
        let ring = self.ring();
        let mut change_set = ChangeSet::default();
        for (key, entry) in snapshot.of_kind(Kind::Secret) {
            let Resource::Secret(secret) = &entry.resource else {
                continue;
            };
            if ring.is_newest(&secret.sealed) || self.unset.holds(&secret.sealed) {
                continue;
            }
            let value = ring.open(&secret.name, &secret.sealed);
            let sealed = value.and_then(|value| ring.seal(&secret.name, &value));
            let sealed = sealed.map_err(|error| {
                Violation::new("value", ViolationCode::Invalid, error.to_string()).of(key.clone())
            })?;
            change_set.operations.push(Operation::Upsert {
                resource: Resource::Secret(Secret {
                    sealed: sealed.into(),
                    ..secret.clone()
                }),
                expectation: Expectation::Present,
                etag: None,
            });
        }
        Ok(change_set)
    }

    /// The request as one of `caller`'s: another's with the same id is another request. What is stored of it says nothing
    /// of values in it.
    pub(crate) fn request_of(&self, caller: &str, request: RequestId) -> RequestId {
        let said = [request.fingerprint.as_slice(), caller.as_bytes()].concat();
        RequestId {
            fingerprint: self.ring().keyed("request", &said),
            ..request
        }
    }
}

/// What a store is opened with.
struct Unlocked {
    masters: MasterKeys,
    ring: Keyring,
    /// Whether the keyring is to be written.
    is_stale: bool,
    locked: Option<Arc<str>>,
}

impl Unlocked {
    /// Without the keys that are stored.
    fn not(why: &SecretsError) -> Result<Self, SecretsError> {
        tracing::error!(error = %why, "values of secrets stay closed");
        Ok(Self {
            masters: MasterKeys::none(),
            ring: Keyring::make()?,
            is_stale: false,
            locked: Some(why.to_string().into()),
        })
    }
}

async fn unlock(
    source: &Source,
    stored: Option<&Document>,
    is_replaceable: bool,
) -> Result<Unlocked, SecretsError> {
    let may_make = stored.is_none() || is_replaceable;
    let from = source.clone();
    let read = tokio::task::spawn_blocking(move || from.read(may_make)).await;
    let masters = read.map_err(std::io::Error::other).flatten()?;
    let decoded = stored.map(|stored| Keyring::decode(&stored.value, &masters));
    let (ring, is_stale) = match decoded {
        None => (Keyring::make()?, true),
        Some(Err(SecretsError::AnotherMaster { wanted })) if is_replaceable => {
            tracing::warn!(
                wanted,
                "the master key of secrets is another one; nothing was sealed with the one before"
            );
            (Keyring::make()?, true)
        }
        Some(decoded) => decoded?,
    };
    Ok(Unlocked {
        masters,
        ring,
        is_stale,
        locked: None,
    })
}

/// Whether neither the newest content nor one that it can be rolled back to has a secret.
fn holds_no_secret(store: &Store) -> bool {
    let head = store.head();
    let touched = head
        .history
        .range(..)
        .any(|revision| revision.touches_kind(Kind::Secret));
    !touched && head.snapshot.of_kind(Kind::Secret).next().is_none()
}

#[cfg(test)]
mod tests;
