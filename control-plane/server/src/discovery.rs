//! `DiscoveryService`: pushes every change to every subscriber.
//!
//! One task a stream ([`stream`]) feeds a pure state machine per lane ([`session`]) with what happens, and sends what
//! they decide. There is no queue: a slow subscriber gets the newest version once it answers.

mod ageing;
#[cfg(test)]
mod bytes;
mod content;
mod gate;
mod hello;
mod lanes;
mod needs;
mod packing;
mod parts;
mod resume;
mod scrub;
mod session;
mod stream;
mod update;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};
use tyrscale_access::Guard;
use tyrscale_model::Lane;
use tyrscale_proto::v1;
use tyrscale_store::Store;

pub(crate) use self::hello::PROTOCOL;
use self::{gate::Gate, parts::Parts, update::Updates};
use crate::{
    access::Admission, fleet::Fleet, grpc::peer_of, metrics::DiscoveryMetrics, rollout::Rollouts,
    secrets::Vault, weights::Book,
};

/// What is asked for, in the audit log.
const METHOD: &str = "/tyrscale.v1.DiscoveryService/StreamConfig";
/// Messages that may wait for the transport, per stream.
const OUTBOX: usize = 2;

/// How long things may take on a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) hello_deadline: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) ack_deadline: Duration,
    /// How long a stream lives, more or less.
    pub(crate) stream_age: Duration,
}

/// The other end of a stream.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) address: String,
    /// Who it may be.
    pub(crate) admission: Option<Admission>,
}

/// A message, or how the stream ends. Boxed, as a channel has room for dozens of what it is made for at any time.
type Said = Box<Result<v1::StreamConfigResponse, Status>>;

/// What the other end of a stream is sent.
#[derive(Debug)]
pub(crate) struct Outgoing(mpsc::Receiver<Said>);

impl Stream for Outgoing {
    type Item = Result<v1::StreamConfigResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|said| said.map(|said| *said))
    }
}

/// What all streams share.
pub(crate) struct Hub {
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    /// Who is to run what.
    pub(crate) rollouts: Rollouts,
    pub(crate) weights: Book,
    pub(crate) fleet: Fleet,
    pub(crate) metrics: DiscoveryMetrics,
    pub(crate) timing: Timing,
    /// Whether subscribers of other lineages are taken over.
    pub(crate) takes_over: bool,
    pub(crate) shutdown: CancellationToken,
    /// Who may subscribe; none: everybody.
    pub(crate) guard: Option<Guard>,
    gate: Gate,
    updates: LaneUpdates,
    parts: Parts,
}

/// The updates that streams share, by lane.
#[derive(Debug, Default)]
struct LaneUpdates {
    config: Updates,
    weights: Updates,
}

impl Hub {
    pub(crate) fn new(
        (store, vault): (Store, Vault),
        (book, fleet, rollouts): (Book, Fleet, Rollouts),
        metrics: DiscoveryMetrics,
        timing: Timing,
        (takes_over, snapshot_room): (bool, usize),
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            store,
            vault,
            rollouts,
            weights: book,
            fleet,
            metrics,
            timing,
            takes_over,
            shutdown,
            guard: None,
            gate: Gate::new(snapshot_room),
            updates: LaneUpdates::default(),
            parts: Parts::default(),
        }
    }

    const fn updates(&self, lane: Lane) -> &Updates {
        match lane {
            Lane::Config => &self.updates.config,
            Lane::Weights => &self.updates.weights,
        }
    }

    /// The same for those whom `guard` lets in.
    pub(crate) fn guarded(self, guard: Guard) -> Self {
        Self {
            guard: Some(guard),
            ..self
        }
    }
}

/// The service.
pub(crate) struct Discovery {
    hub: Arc<Hub>,
    streams: TaskTracker,
}

impl Discovery {
    /// Serves streams as tasks of `streams`, which end at the hub's shutdown.
    pub(crate) const fn new(hub: Arc<Hub>, streams: TaskTracker) -> Self {
        Self { hub, streams }
    }
}

#[tonic::async_trait]
impl v1::discovery_service_server::DiscoveryService for Discovery {
    type StreamConfigStream = Outgoing;

    async fn stream_config(
        &self,
        request: Request<Streaming<v1::StreamConfigRequest>>,
    ) -> Result<Response<Self::StreamConfigStream>, Status> {
        let peer = Subject {
            address: peer_of(&request),
            admission: self
                .hub
                .guard
                .as_ref()
                .map(|guard| Admission::of_call(guard, METHOD)),
        };
        let (outbox, messages) = mpsc::channel(OUTBOX);
        self.streams.spawn(stream::serve(
            Arc::clone(&self.hub),
            request.into_inner(),
            peer,
            outbox,
        ));
        Ok(Response::new(Outgoing(messages)))
    }
}
