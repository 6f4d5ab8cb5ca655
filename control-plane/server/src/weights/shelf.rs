//! The recommended weights that several control planes share: documents of the store.
//!
//! A head says how far the lane has got, and each route has a document of its weights. A change replaces the head and
//! the documents of its routes as one, and only if the head is as it was read; so the lane is one line of revisions
//! for all of them. Whoever is behind reads all routes. How long a weight still holds is counted from when a control
//! plane read it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use prost::Message;
use tyrscale_model::{Lineage, Revision, RouteId, UnixMillis, UpstreamId, WeightRow};
use tyrscale_store::{Documents, Stamp, Store, StoreError, Table};

use super::head::{Head, Note};

const HEAD: &str = "head";
const ROUTES: &str = "route/";
/// Routes read at once.
const PAGE: usize = 500;
/// Routes that one change may touch.
pub(super) const MAX_ROUTES: usize = 100;

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct HeadRecord {
    #[prost(bytes = "bytes", tag = "1")]
    lineage: Bytes,
    #[prost(uint64, tag = "2")]
    revision: u64,
}

/// The weights of a route.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct RouteRecord {
    #[prost(message, repeated, tag = "1")]
    rows: Vec<RowRecord>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct RowRecord {
    #[prost(string, tag = "1")]
    upstream: String,
    #[prost(bytes = "bytes", tag = "2")]
    payload: Bytes,
    #[prost(uint64, tag = "3")]
    revision: u64,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(string, tag = "5")]
    set_by: String,
    #[prost(uint64, tag = "6")]
    set_time_ms: u64,
}

/// A weight as it is shared.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) row: WeightRow,
    pub(super) route: RouteId,
    pub(super) reason: Arc<str>,
    pub(super) set_by: Arc<str>,
    pub(super) set_time: UnixMillis,
}

/// Everything that is shared at a revision.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) lineage: Lineage,
    pub(super) revision: Revision,
    pub(super) weights: BTreeMap<UpstreamId, Shared>,
}

/// The documents, and when the head was last seen to be written.
#[derive(Debug)]
pub(super) struct Shelf {
    store: Store,
    documents: Documents,
    at: Stamp,
}

impl Shelf {
    pub(super) fn new(store: &Store) -> Self {
        Self {
            store: store.clone(),
            documents: store.documents(Table::Weights),
            at: Stamp::default(),
        }
    }

    /// What is shared, if somebody wrote since it was last read.
    pub(super) async fn read(&mut self) -> Result<Option<Content>, StoreError> {
        let found = self.documents.get(HEAD).await?;
        let Some(document) = found.filter(|found| found.stamp != self.at) else {
            return Ok(None);
        };
        let head = HeadRecord::decode(document.value).unwrap_or_default();
        let Ok(lineage) = <[u8; 16]>::try_from(head.lineage.as_ref()) else {
            return Ok(None);
        };
        let mut weights = BTreeMap::new();
        let mut after = String::new();
        loop {
            let page = self.documents.list(ROUTES, &after, PAGE).await?;
            for document in &page {
                let route = document.key.strip_prefix(ROUTES).and_then(|id| id.parse().ok());
                let record = RouteRecord::decode(document.value.clone()).unwrap_or_default();
                let rows = route.map(|route| (route, record.rows));
                weights.extend(rows.into_iter().flat_map(|(route, rows)| shared(route, rows)));
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after.clone_from(&last.key),
                _ => break,
            }
        }
        // The routes may be newer than the head; then the head is, too, and is read again.
        self.at = document.stamp;
        Ok(Some(Content {
            lineage: Lineage(lineage),
            revision: Revision(head.revision),
            weights,
        }))
    }

    /// Shares the next revision, in which these routes changed.
    ///
    /// # Errors
    /// [`StoreError::DocumentMoved`] when another control plane was faster: nothing was shared.
    pub(super) async fn keep(&mut self, next: &Head, routes: &BTreeSet<RouteId>) -> Result<(), StoreError> {
        let head = HeadRecord {
            lineage: Bytes::copy_from_slice(&next.weights.lineage().0),
            revision: next.weights.revision().0,
        };
        let value = Some(head.encode_to_vec().into());
        let mut writes = vec![self.documents.write(HEAD, value, Some(self.at))];
        for route in routes {
            let record = record(next, *route);
            let value = (!record.rows.is_empty()).then(|| record.encode_to_vec().into());
            writes.push(self.documents.write(&format!("{ROUTES}{route}"), value, None));
        }
        self.at = self.store.write_documents(writes).await?;
        Ok(())
    }
}

fn shared(route: RouteId, rows: Vec<RowRecord>) -> impl Iterator<Item = (UpstreamId, Shared)> {
    rows.into_iter().filter_map(move |row| {
        let upstream = row.upstream.parse().ok()?;
        let shared = Shared {
            row: WeightRow {
                upstream,
                revision: Revision(row.revision),
                payload: row.payload,
                remaining: None,
            },
            route,
            reason: row.reason.into(),
            set_by: row.set_by.into(),
            set_time: UnixMillis(row.set_time_ms),
        };
        Some((upstream, shared))
    })
}

fn record(head: &Head, route: RouteId) -> RouteRecord {
    let of_route = head.notes().filter(|(_, note)| note.route == route);
    let row = |(upstream, note): (UpstreamId, &Note)| {
        let entry = head.weights.get(upstream)?;
        Some(RowRecord {
            upstream: upstream.to_string(),
            payload: entry.payload.clone(),
            revision: entry.revision.0,
            reason: note.reason.to_string(),
            set_by: note.set_by.to_string(),
            set_time_ms: note.set_time.0,
        })
    };
    RouteRecord {
        rows: of_route.filter_map(row).collect(),
    }
}
