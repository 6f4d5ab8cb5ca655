//! `TelemetryService`: what nodes see of upstreams and rpcs, reported upward and merged.
//!
//! Only the newest report of each node is kept, in memory: what is read here is of now, and a reader that wants a
//! history keeps one.

mod comparison;
mod ledger;
mod picture;
mod report;
mod service;
mod steering;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tyrscale_model::{Name, RpcId, UpstreamId};
use tyrscale_proto::v1;
use tyrscale_store::Store;

pub(crate) use self::service::TelemetryReader;
pub use self::{
    comparison::{Comparison, Served},
    report::Process,
};

use self::{
    ledger::{Ledger, LedgerFull, RpcSight},
    picture::Picture,
    report::Report,
    steering::Steering,
};

/// How long what was put together is good for.
const FRESH: Duration = Duration::from_millis(500);

/// What is reported; clones share it.
#[derive(Debug, Clone)]
pub struct Telemetry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    /// The shortest interval a node is told.
    base: Duration,
    ledger: Mutex<Ledger>,
    picture: Mutex<Kept<Picture>>,
    rpcs: Mutex<Kept<BTreeMap<RpcId, RpcSight>>>,
    heads: Mutex<Kept<Vec<v1::NetworkHead>>>,
    streams: AtomicU64,
}

/// What was last put together, and when.
type Kept<T> = Option<(Instant, Arc<T>)>;

impl Telemetry {
    /// Nothing is reported yet. Nodes are to report every `base`, or less often when there are many.
    pub(crate) fn new(store: Store, base: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                base,
                ledger: Mutex::new(Ledger::new(Instant::now())),
                picture: Mutex::new(None),
                rpcs: Mutex::new(None),
                heads: Mutex::new(None),
                streams: AtomicU64::new(0),
            }),
        }
    }

    /// What each gateway that reports has counted up to now. Two of them tell what was served between:
    /// [`Served::compare`].
    #[must_use]
    pub fn served(&self) -> Served {
        self.ledger().served(Instant::now())
    }

    /// How many nodes report.
    pub(crate) fn reporting(&self) -> usize {
        self.ledger().live(Instant::now())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn steering(&self) -> Steering {
        Steering::of(self.reporting(), self.shared.base)
    }

    fn next_stream(&self) -> u64 {
        self.shared.streams.fetch_add(1, Ordering::Relaxed)
    }

    fn take(&self, report: Report, stream: u64, steering: Steering) -> Result<(), LedgerFull> {
        self.ledger()
            .take(report, stream, steering.patience(), Instant::now())
    }

    fn close(&self, process: &Process, stream: u64) {
        self.ledger().close(process, stream);
    }

    /// Everything that is known, not older than half a second.
    fn picture(&self) -> Arc<Picture> {
        kept(&self.shared.picture, |now| {
            let sight = self.ledger().sight(now);
            picture::picture(sight, &self.shared.store.head().snapshot)
        })
    }

    /// What exporters see of each rpc, not older than half a second.
    fn rpcs(&self) -> Arc<BTreeMap<RpcId, RpcSight>> {
        kept(&self.shared.rpcs, |now| self.ledger().rpcs(now))
    }

    /// The heads of the rpcs behind these upstreams.
    fn upstream_heads(&self, upstreams: &[UpstreamId]) -> Vec<v1::UpstreamHead> {
        picture::upstream_heads(upstreams, &self.rpcs(), &self.shared.store.head().snapshot)
    }

    /// The heads of the networks, not older than half a second.
    fn heads(&self) -> Arc<Vec<v1::NetworkHead>> {
        kept(&self.shared.heads, |_| {
            let heads = picture::heads(&self.rpcs(), &self.shared.store.head().snapshot);
            let message = |(network, (height, age)): (Name, (u64, Duration))| v1::NetworkHead {
                network: network.to_string(),
                block_height: height,
                height_age: picture::wire(age),
            };
            heads.into_iter().map(message).collect()
        })
    }
}

/// What is kept, made anew when it is no longer fresh.
fn kept<T>(place: &Mutex<Kept<T>>, make: impl FnOnce(Instant) -> T) -> Arc<T> {
    let now = Instant::now();
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    match &*place {
        Some((at, known)) if now.duration_since(*at) < FRESH => Arc::clone(known),
        _ => {
            let made = Arc::new(make(now));
            *place = Some((now, Arc::clone(&made)));
            made
        }
    }
}
