//! `StatusService`: which node runs which revision.

use std::time::Duration;

use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tyrscale_model::{Revision, View, Violation, ViolationCode, wire};
use tyrscale_proto::v1;
use tyrscale_store::Store;

use super::{refused, rollout, watch};
use crate::{
    fleet::{Fleet, Progress},
    rollout::Rollouts,
    weights::Book,
};

const DEFAULT_WAIT: u32 = 30_000;
const MAX_WAIT: u32 = 600_000;

/// The service over the fleet.
pub(crate) struct FleetStatus {
    fleet: Fleet,
    store: Store,
    rollouts: Rollouts,
    book: Book,
    shutdown: CancellationToken,
}

impl FleetStatus {
    pub(crate) fn new(
        (fleet, store): (Fleet, Store),
        rollouts: Rollouts,
        book: Book,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            fleet,
            store,
            rollouts,
            book,
            shutdown,
        }
    }

    fn head(&self) -> v1::Version {
        wire::version_to_wire(&self.store.head().snapshot.version(View::ALL))
    }

    fn weights_head(&self) -> v1::Version {
        wire::version_to_wire(&self.book.head().weights.version())
    }

    fn progress(&self, revision: Revision) -> Progress {
        let head = self.store.head();
        let committed = head.snapshot.revision() >= revision;
        let mut progress = self.fleet.progress(head.snapshot.lineage(), revision);
        progress.reached &= committed;
        progress
    }

    /// Until every connected node runs the revision, or one has refused it.
    async fn settled(&self, revision: Revision) -> Progress {
        let mut nodes = self.fleet.subscribe();
        let mut heads = self.store.subscribe();
        loop {
            nodes.borrow_and_update();
            heads.borrow_and_update();
            let progress = self.progress(revision);
            if progress.reached || progress.refused {
                return progress;
            }
            tokio::select! {
                Ok(()) = nodes.changed() => {}
                Ok(()) = heads.changed() => {}
                else => return progress,
            }
        }
    }
}

#[tonic::async_trait]
impl v1::status_service_server::StatusService for FleetStatus {
    type WatchNodesStream = ReceiverStream<Result<v1::WatchNodesResponse, Status>>;

    async fn list_nodes(
        &self,
        _request: Request<v1::ListNodesRequest>,
    ) -> Result<Response<v1::ListNodesResponse>, Status> {
        Ok(Response::new(v1::ListNodesResponse {
            nodes: self.fleet.list(),
            foreign: self.fleet.foreign(self.store.head().snapshot.lineage()),
            head: Some(self.head()),
            weights_head: Some(self.weights_head()),
        }))
    }

    async fn get_node(
        &self,
        request: Request<v1::GetNodeRequest>,
    ) -> Result<Response<v1::GetNodeResponse>, Status> {
        let id = request.into_inner().id;
        let node = self
            .fleet
            .get(&id)
            .ok_or_else(|| Status::not_found("no node of this id was seen"))?;
        Ok(Response::new(v1::GetNodeResponse {
            node: Some(node),
            head: Some(self.head()),
            weights_head: Some(self.weights_head()),
        }))
    }

    async fn wait_for_revision(
        &self,
        request: Request<v1::WaitForRevisionRequest>,
    ) -> Result<Response<v1::WaitForRevisionResponse>, Status> {
        let request = request.into_inner();
        let wait = match request.timeout_ms {
            0 => DEFAULT_WAIT,
            wait @ 1..=MAX_WAIT => wait,
            _ => {
                let message = format!("must be at most {MAX_WAIT}");
                return Err(refused(Violation::new(
                    "timeout_ms",
                    ViolationCode::OutOfRange,
                    message,
                )));
            }
        };
        let revision = Revision(request.revision);
        let settled = timeout(Duration::from_millis(wait.into()), self.settled(revision));
        let progress = tokio::select! {
            () = self.shutdown.cancelled() => return Err(Status::unavailable("the control plane is stopping")),
            settled = settled => settled.unwrap_or_else(|_| self.progress(revision)),
        };
        Ok(Response::new(v1::WaitForRevisionResponse {
            reached: progress.reached,
            blockers: progress.blockers,
        }))
    }

    async fn watch_nodes(
        &self,
        _request: Request<v1::WatchNodesRequest>,
    ) -> Result<Response<Self::WatchNodesStream>, Status> {
        let (outbox, messages) = mpsc::channel(1);
        let (fleet, store) = (self.fleet.clone(), self.store.clone());
        tokio::spawn(watch::watch(fleet, store, outbox, self.shutdown.clone()));
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn get_rollout(
        &self,
        request: Request<v1::GetRolloutRequest>,
    ) -> Result<Response<v1::GetRolloutResponse>, Status> {
        let rollout = rollout::get(&self.rollouts, request.into_inner().id)?;
        Ok(Response::new(v1::GetRolloutResponse {
            rollout: Some(rollout),
        }))
    }

    async fn list_rollouts(
        &self,
        _request: Request<v1::ListRolloutsRequest>,
    ) -> Result<Response<v1::ListRolloutsResponse>, Status> {
        Ok(Response::new(v1::ListRolloutsResponse {
            rollouts: self.rollouts.list(),
            freeze: Some(self.rollouts.frozen()),
        }))
    }

    async fn control_rollout(
        &self,
        request: Request<v1::ControlRolloutRequest>,
    ) -> Result<Response<v1::ControlRolloutResponse>, Status> {
        let rollout = rollout::control(&self.rollouts, request.get_ref()).await?;
        Ok(Response::new(v1::ControlRolloutResponse {
            rollout: Some(rollout),
        }))
    }

    async fn set_freeze(
        &self,
        request: Request<v1::SetFreezeRequest>,
    ) -> Result<Response<v1::SetFreezeResponse>, Status> {
        let freeze = rollout::freeze(&self.rollouts, request.into_inner()).await?;
        Ok(Response::new(v1::SetFreezeResponse { freeze: Some(freeze) }))
    }
}
