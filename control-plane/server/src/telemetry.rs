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
mod trial;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tyrscale_model::{Name, RouteId, RpcId, UpstreamId};
use tyrscale_proto::v1;
use tyrscale_store::{Stamp, Store};

pub use self::{
    comparison::{Comparison, Served},
    report::Process,
};
pub(crate) use self::{service::TelemetryReader, trial::Told};

use self::{
    ledger::{Ledger, LedgerFull, RpcSight},
    picture::Picture,
    report::Report,
    steering::Steering,
    trial::Trial,
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
    trials: Mutex<Trials>,
}

/// The change on trial here, and what other control planes told of theirs.
#[derive(Debug, Default)]
struct Trials {
    own: Option<Arc<Trial>>,
    heard: Vec<Arc<Told>>,
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
                trials: Mutex::default(),
            }),
        }
    }

    /// What each gateway that reports has counted up to now. Two of them tell what was served between:
    /// [`Served::compare`].
    #[must_use]
    pub fn served(&self) -> Served {
        self.ledger().served(Instant::now())
    }

    /// A change is on trial since the stage that was kept at `stage` began, on these gateways; or none is.
    pub(crate) fn try_out(&self, stage: Option<(Stamp, &BTreeSet<String>)>) {
        let own = &mut self.trials().own;
        if own.as_ref().map(|trial| trial.stage()) != stage.map(|(stage, _)| stage) {
            let trial =
                |(stage, members): (_, &BTreeSet<_>)| Trial::new(stage, members.clone(), self.served());
            *own = stage.map(trial).map(Arc::new);
        }
    }

    /// How the change on trial fares on the gateways that report here.
    pub(crate) fn told(&self) -> Option<Told> {
        let trial = self.trials().own.clone()?;
        Some(Told {
            stage: trial.stage(),
            routes: trial.compare(&self.served()),
        })
    }

    /// Takes in what all other control planes tell now.
    pub(crate) fn hear(&self, told: Vec<Arc<Told>>) {
        self.trials().heard = told;
    }

    /// How the change on trial fares on all gateways, by route.
    pub(crate) fn compared(&self) -> BTreeMap<RouteId, Comparison> {
        let Some(Told { stage, mut routes }) = self.told() else {
            return BTreeMap::new();
        };
        let heard = self.trials().heard.clone();
        for told in heard.iter().filter(|told| told.stage == stage) {
            for (route, comparison) in &told.routes {
                routes.entry(*route).or_default().merge(comparison);
            }
        }
        routes
    }

    fn trials(&self) -> MutexGuard<'_, Trials> {
        self.shared.trials.lock().unwrap_or_else(PoisonError::into_inner)
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
