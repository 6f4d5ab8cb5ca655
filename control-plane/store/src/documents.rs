//! Small durable documents beside the configuration, for those who need to remember something.

use bytes::Bytes;

use crate::{
    engine::{Document, DocumentWrite, Engine, Stamp},
    error::StoreError,
    store::Store,
    table::Table,
};

/// The documents of one table.
#[derive(Debug, Clone)]
pub struct Documents {
    store: Store,
    table: Table,
}

impl Documents {
    /// The longest key, in bytes.
    pub const MAX_KEY: usize = 512;
    /// The largest document, in bytes.
    pub const MAX_VALUE: usize = 1024 * 1024;

    pub(crate) const fn new(store: Store, table: Table) -> Self {
        Self { store, table }
    }

    /// A document, if it is there. It may be a moment ahead of the disk.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it does not prove itself, [`StoreError::Unavailable`].
    pub async fn get(&self, key: &str) -> Result<Option<Document>, StoreError> {
        let (table, key) = (self.table, key.to_owned());
        self.store.read(move |engine| engine.document(table, &key)).await
    }

    /// The first `limit` documents whose keys begin with `prefix` and come after `after`, in the order of keys.
    ///
    /// # Errors
    /// As [`Documents::get`].
    pub async fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Document>, StoreError> {
        let (table, prefix, after) = (self.table, prefix.to_owned(), after.to_owned());
        self.store
            .read(move |engine: &dyn Engine| engine.documents(table, &prefix, &after, limit))
            .await
    }

    /// Writes a document, whatever was there. Once this returns it is durable.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::BadDocument`] for a key or value outside its bounds.
    pub async fn put(&self, key: &str, value: impl Into<Bytes>) -> Result<Stamp, StoreError> {
        let write = self.write(key, Some(value.into()), None);
        self.store.write_documents(vec![write]).await
    }

    /// Writes a document if its stamp is still `expected`; [`Stamp`] 0 for one that must not be there.
    ///
    /// # Errors
    /// [`StoreError::DocumentMoved`] when it is not, else as [`Documents::put`].
    pub async fn put_if(
        &self,
        key: &str,
        value: impl Into<Bytes>,
        expected: Stamp,
    ) -> Result<Stamp, StoreError> {
        let write = self.write(key, Some(value.into()), Some(expected));
        self.store.write_documents(vec![write]).await
    }

    /// Removes a document, if it is there.
    ///
    /// # Errors
    /// As [`Documents::put`].
    pub async fn delete(&self, key: &str) -> Result<Stamp, StoreError> {
        let write = self.write(key, None, None);
        self.store.write_documents(vec![write]).await
    }

    /// A write of this table, for [`Store::write_documents`].
    #[must_use]
    pub fn write(&self, key: &str, value: Option<Bytes>, expected: Option<Stamp>) -> DocumentWrite {
        DocumentWrite {
            table: self.table,
            key: key.to_owned(),
            value,
            expected,
        }
    }
}

/// Whether the key and value of a write are within their bounds.
pub(crate) fn check(write: &DocumentWrite) -> Result<(), StoreError> {
    let bad = |rule| {
        Err(StoreError::BadDocument {
            table: write.table,
            rule,
        })
    };
    if write.key.is_empty() || write.key.len() > Documents::MAX_KEY {
        return bad("its key must have 1 to 512 bytes");
    }
    if write
        .value
        .as_ref()
        .is_some_and(|value| value.len() > Documents::MAX_VALUE)
    {
        return bad("it must have at most 1048576 bytes");
    }
    Ok(())
}
