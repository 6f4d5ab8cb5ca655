//! What every handler holds.

use std::{collections::BTreeMap, sync::Arc};

use tyrscale_access::{Guard, Who, caller, note};
use tyrscale_model::{ChangeSet, Entry, HttpUrl, Kind, Name, Operation, PluginType, Snapshot, Violation};
use tyrscale_store::{Committed, Head, Store};

use crate::error::{ApiError, refusal};

/// The store the shim reads and writes, and the plugins it lists. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RestState {
    store: Store,
    plugins: Arc<BTreeMap<Name, PluginType>>,
    guard: Option<Guard>,
}

impl RestState {
    /// The shim over `store`. `plugins` are the ones gateways have loaded: those of the store's policy.
    #[must_use]
    pub fn new(store: Store, plugins: BTreeMap<Name, PluginType>) -> Self {
        Self {
            store,
            plugins: Arc::new(plugins),
            guard: None,
        }
    }

    /// The same for those whom `guard` lets in.
    #[must_use]
    pub fn guarded(self, guard: Guard) -> Self {
        Self {
            guard: Some(guard),
            ..self
        }
    }

    pub(crate) const fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn plugins(&self) -> &BTreeMap<Name, PluginType> {
        &self.plugins
    }

    pub(crate) fn head(&self) -> Arc<Head> {
        self.store.head()
    }

    /// Commits the operations that `plan` makes of the newest snapshot. `reason` goes into the log.
    pub(crate) async fn commit<P>(&self, reason: &str, plan: P) -> Result<Committed, ApiError>
    where
        P: Fn(&Snapshot) -> Result<Vec<Operation>, Violation> + Send + 'static,
    {
        self.commit_url(reason, None, plan).await
    }

    /// The same for a change of an rpc's URL, whose host a refusal names.
    pub(crate) async fn commit_url<P>(
        &self,
        reason: &str,
        url: Option<&HttpUrl>,
        plan: P,
    ) -> Result<Committed, ApiError>
    where
        P: Fn(&Snapshot) -> Result<Vec<Operation>, Violation> + Send + 'static,
    {
        let message = reason.to_owned();
        let author = match caller() {
            Some(caller) if caller.who != Who::Anonymous => caller.subject().to_owned(),
            _ => "rest".to_owned(),
        };
        let plan = move |snapshot: &Snapshot| {
            Ok(ChangeSet {
                operations: plan(snapshot)?,
                author: author.clone(),
                message: message.clone(),
                ..ChangeSet::default()
            })
        };
        note(|note| note.summary = reason.to_owned());
        let committed = self.store.commit(plan).await;
        if let Ok(committed) = &committed {
            note(|note| note.revision = committed.head.snapshot.revision().0);
        }
        committed.map_err(|error| refusal(error, url))
    }
}

/// The entries of a kind in the order they were created.
pub(crate) fn in_order(snapshot: &Snapshot, kind: Kind) -> Vec<&Arc<Entry>> {
    let mut entries: Vec<_> = snapshot.of_kind(kind).map(|(_, entry)| entry).collect();
    // The sort is stable and the entries come by id, so one revision's entries stay in the order of ids.
    entries.sort_by_key(|entry| entry.meta.create_revision);
    entries
}
