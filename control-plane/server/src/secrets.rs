//! Values of secrets: sealed before they are stored, opened only to be sent to a subscriber that needs them.
//!
//! Two layers of keys: values are sealed with data keys, which rest in the store, sealed themselves with a master key
//! that does not ([`master`]). So a master key is replaced without touching a value, and the log, backups and whoever
//! reads the database hold nothing that opens without it.

mod cipher;
mod keyring;
mod master;
mod unset;
mod vault;

use std::io;

use tyrscale_store::StoreError;

pub(crate) use self::master::MasterKeysError;
pub(crate) use self::{master::Source, unset::Keyless, vault::Vault};

/// Why values cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The master keys could not be read or made.
    #[error("master keys of secrets: {0}")]
    Master(#[from] io::Error),
    /// None of the master keys is the one that the store's data keys are sealed with.
    #[error(
        "secrets of this store were sealed with the master key {wanted}, which is not given: give the file or variable \
         that holds it (--secrets-key-file), or restore secrets.key in the data directory"
    )]
    AnotherMaster {
        /// Tells the key that is wanted; says nothing of it.
        wanted: String,
    },
    /// A value was sealed with a data key that another control plane made a moment ago.
    #[error("a secret was sealed with the data key {0}, which is not known here yet")]
    UnknownKey(u32),
    /// A backup is served, and its keys are not there.
    #[error("values of secrets stay closed: {0}")]
    Locked(String),
    /// It is not what was sealed.
    #[error("{0} does not open")]
    Damaged(String),
    /// There are too many data keys.
    #[error("there are {0} data keys already; those of forgotten revisions are never removed")]
    TooManyKeys(usize),
    /// The system has no random bytes.
    #[error("no random bytes can be had")]
    Random,
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}
