//! The durable store of the configuration: a log, kept by one writer.
//!
//! [`Store::commit`] hands a plan to the one writer thread. The writer runs it against the newest snapshot,
//! applies the change set ([`tyrscale_model::apply`]), appends the record of the new revision to the log with
//! what every resource was before and after, flushes once for all writes that waited together, publishes the
//! new [`Head`] and only then answers. So what was answered is durable, what is published is durable, and
//! readers of the newest state never touch the disk. [`Store::at`] gives the content of an earlier revision by
//! undoing the log.
//!
//! Where the log rests is an [`Engine`]'s matter; [`Store::open`] keeps it in a directory, on sled, and with the feature
//! `etcd` `Store::open_etcd` in an etcd cluster that several processes share: of two that commit at once one wins, and
//! the other plans anew on what the first made. At start
//! every row's checksum is compared, the log must be dense and each of its records begin where the one before
//! ended, and the resources must have the hashes that it ends with: a store that does not prove its content is
//! refused, never served.
//!
//! [`Store::documents`] keeps small durable documents beside the configuration.

mod answers;
mod archive;
mod archiving;
mod committed;
mod documents;
mod engine;
mod error;
#[cfg(feature = "etcd")]
mod etcd_engine;
mod follower;
mod head;
mod load;
mod log;
mod past;
mod pins;
mod record;
mod retention;
mod sled_engine;
mod store;
mod table;
mod tags;
mod verify;
mod writer;

pub use answers::RequestId;
pub use archive::{Archive, ArchiveError};
pub use committed::{Committed, Outcome};
pub use documents::Documents;
pub use engine::{Append, Appended, Document, DocumentWrite, Engine, EngineError, Loaded, Stamp};
pub use error::StoreError;
#[cfg(feature = "etcd")]
pub use etcd_engine::EtcdOptions;
pub use head::{Head, History};
pub use log::{Image, LogRecord, LoggedOperation, RevisionSummary, Touched};
pub use pins::Pin;
pub use retention::Retention;
pub use store::{Store, StoreOptions};
pub use table::Table;
pub use tags::Tag;
pub use verify::Verified;
pub use writer::now;
