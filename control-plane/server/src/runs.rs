//! The records of the recommender's runs, kept bounded and durable.

mod book;

use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message as _;
use tyrscale_model::RouteId;
use tyrscale_proto::v1::RecommendationRun;
use tyrscale_store::{DocumentWrite, Documents, Store, StoreError, Table};

pub(crate) use book::{RecordError, RunBook};

/// Documents read at once.
const PAGE: usize = 500;

/// The records, in memory and in the store.
#[derive(Debug)]
pub(crate) struct RunRecords {
    book: Mutex<RunBook>,
    store: Store,
    documents: Documents,
}

impl RunRecords {
    /// Those that the store keeps. One that cannot be read is left out.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub(crate) async fn open(store: &Store) -> Result<Self, StoreError> {
        let documents = store.documents(Table::Explanations);
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let page = documents.list("", &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.key);
            found.extend(page.into_iter().filter_map(|document| {
                let run = RecommendationRun::decode(document.value).ok()?;
                Some((document.stamp, run.route_id.parse().ok()?, run))
            }));
        }
        found.sort_unstable_by_key(|(stamp, _, _)| *stamp);
        let runs = found.into_iter().map(|(_, route, run)| (route, run));
        Ok(Self {
            book: Mutex::new(RunBook::of(runs)),
            store: store.clone(),
            documents,
        })
    }

    /// What is kept.
    pub(crate) fn book(&self) -> MutexGuard<'_, RunBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes runs durable, and takes those away that are gone.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was written.
    pub(crate) async fn keep(
        &self,
        runs: &[RecommendationRun],
        gone: &[(RouteId, String)],
    ) -> Result<(), StoreError> {
        let kept = runs.iter().map(|run| {
            let key = key(&run.route_id, &run.id);
            self.documents.write(&key, Some(run.encode_to_vec().into()), None)
        });
        let gone = gone.iter().map(|(route, id)| {
            let key = key(&route.to_string(), id);
            self.documents.write(&key, None, None)
        });
        let writes: Vec<DocumentWrite> = kept.chain(gone).collect();
        self.store.write_documents(writes).await.map(|_| ())
    }
}

fn key(route_id: &str, run_id: &str) -> String {
    format!("{route_id}/{run_id}")
}
