//! The durable store of the configuration: one writer over sled.
//!
//! [`Store::commit`] hands a plan to the one writer thread. The writer runs it against the newest snapshot,
//! applies the change set ([`tyrscale_model::apply`]), writes the rows and the log record of the new revision in
//! one sled transaction, flushes and fsyncs once for all commits that waited together, publishes the new
//! [`Head`] and only then answers. So what was answered is durable, what is published is durable, and readers
//! never touch the disk.
//!
//! At start every row's checksum is compared, the rows' digest is compared with the one stored with the head,
//! and the log must be dense: a store that does not prove its content is refused, never served.

mod files;
mod head;
mod open;
mod record;
mod rows;
mod store;
mod writer;

pub use head::{Head, History};
pub use store::{Committed, Store, StoreError, StoreOptions};
