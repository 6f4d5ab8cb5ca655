//! What goes out as streams: the content of a revision, and revisions as they come.

use std::{collections::BTreeSet, collections::VecDeque, pin::Pin, sync::Arc};

use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tyrscale_model::{Difference, Kind, Revision, View, Violation, ViolationCode, wire};
use tyrscale_proto::v1;
use tyrscale_store::{Head, LogRecord, Store};

use super::{changes_to_wire, history};
use crate::grpc::{bounds::scope, crud::snapshot_at, refused, store_status};

/// How many resources one message of an export holds.
const RESOURCES: usize = 100;
/// How many revisions a watcher is read at once.
const REVISIONS: u64 = 64;
/// The order in which resources can be put without naming what is not there yet.
const ORDER: [Kind; 7] = [
    Kind::Network,
    Kind::Secret,
    Kind::Rpc,
    Kind::Route,
    Kind::Upstream,
    Kind::Plugin,
    Kind::Recommendation,
];

pub(super) type Stream<T> = Pin<Box<dyn futures_util::Stream<Item = Result<T, Status>> + Send>>;

/// Ends a stream with the server.
fn until<T: Send + 'static>(
    stop: &CancellationToken,
    stream: impl futures_util::Stream<Item = Result<T, Status>> + Send + 'static,
) -> Stream<T> {
    Box::pin(stream.take_until(stop.clone().cancelled_owned()))
}

fn kinds_of(numbers: &[i32]) -> Result<BTreeSet<Kind>, Status> {
    let kind = |number: &i32| {
        Kind::from_number(*number).ok_or_else(|| {
            let violation = Violation::new("kinds", ViolationCode::Invalid, "must be known kinds");
            refused(violation)
        })
    };
    numbers.iter().map(kind).collect()
}

pub(super) async fn export(
    store: &Store,
    stop: &CancellationToken,
    request: v1::ExportRequest,
) -> Result<Stream<v1::ExportResponse>, Status> {
    let kinds = kinds_of(&request.kinds)?;
    let snapshot = snapshot_at(store, request.at_revision).await?;
    let version = wire::version_to_wire(&snapshot.version(View::ALL));
    let scope = scope();
    let chosen = ORDER
        .into_iter()
        .filter(|kind| kinds.is_empty() || kinds.contains(kind));
    let entries: Vec<_> = chosen
        .flat_map(|kind| {
            snapshot
                .of_kind(kind)
                .filter(|(key, _)| scope.admits(&snapshot, key))
                .map(|(_, entry)| Arc::clone(entry))
                .collect::<Vec<_>>()
        })
        .collect();
    let count = entries.len().div_ceil(RESOURCES).max(1);
    let messages = (0..count).map(move |place| {
        let part = entries.iter().skip(place * RESOURCES).take(RESOURCES);
        Ok(v1::ExportResponse {
            resources: part.map(|entry| wire::entry_to_wire(entry)).collect(),
            version: Some(version.clone()),
        })
    });
    Ok(until(stop, stream::iter(messages)))
}

/// A reader of revisions: where it is. What it has not read yet rests in the log.
struct Watcher {
    store: Store,
    heads: watch::Receiver<Arc<Head>>,
    kinds: BTreeSet<Kind>,
    at: Revision,
    ready: VecDeque<v1::WatchResponse>,
}

pub(super) fn watch(
    store: &Store,
    stop: &CancellationToken,
    request: &v1::WatchRequest,
) -> Result<Stream<v1::WatchResponse>, Status> {
    let heads = store.subscribe();
    let head = store.head();
    let watcher = Watcher {
        store: store.clone(),
        heads,
        kinds: kinds_of(&request.kinds)?,
        at: request
            .after_revision
            .map_or_else(|| head.snapshot.revision(), Revision),
        ready: VecDeque::new(),
    };
    if watcher.at > head.snapshot.revision() {
        let message = format!("the configuration is at revision {}", head.snapshot.revision());
        return Err(Status::out_of_range(message));
    }
    let next = |mut watcher: Watcher| async move {
        let next = watcher.next().await?;
        Ok(next.map(|response| (response, watcher)))
    };
    Ok(until(stop, stream::try_unfold(watcher, next)))
}

impl Watcher {
    /// The next revision that is to be shown; `None` once the store is closed.
    async fn next(&mut self) -> Result<Option<v1::WatchResponse>, Status> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(Some(ready));
            }
            let head = Arc::clone(&self.heads.borrow_and_update());
            if head.snapshot.revision() <= self.at {
                if self.heads.changed().await.is_err() {
                    return Ok(None);
                }
                continue;
            }
            let last = Revision(self.at.0.saturating_add(REVISIONS)).min(head.snapshot.revision());
            let records = self.store.log(self.at.next(), last).await.map_err(store_status)?;
            let names = history::names(&self.store).await?;
            for record in records {
                self.at = record.revision;
                let revision = history::revision_to_wire(&head, &record.summary(), &names);
                let changes = changes_of(record, &self.kinds);
                if self.kinds.is_empty() || !changes.is_empty() {
                    self.ready.push_back(v1::WatchResponse {
                        revision: Some(revision),
                        changes,
                    });
                }
            }
        }
    }
}

fn changes_of(record: LogRecord, kinds: &BTreeSet<Kind>) -> Vec<v1::Change> {
    let chosen = record
        .operations
        .into_iter()
        .filter(|operation| kinds.is_empty() || kinds.contains(&operation.key.kind));
    changes_to_wire(chosen.map(|operation| {
        let entry = |image: Option<tyrscale_store::Image>| {
            image
                .and_then(|image| image.into_entry(&operation.key))
                .map(Arc::new)
        };
        Difference {
            before: entry(operation.before),
            after: entry(operation.after),
            key: operation.key.clone(),
        }
    }))
}
