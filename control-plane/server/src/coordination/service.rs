//! The service: one task a member, and elections.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};
use tyrscale_access::Guard;
use tyrscale_model::RpcId;
use tyrscale_proto::v1;

use super::{Coordination, CoordinationError, Shares};
use crate::access::{Admission, Claim};

/// What nodes ask for, in the audit log.
const JOIN: &str = "/tyrscale.v1.CoordinationService/Join";
const CAMPAIGN: &str = "/tyrscale.v1.CoordinationService/Campaign";
/// Messages that may wait for the transport, per stream.
const OUTBOX: usize = 2;
/// The one set of members there is.
const EXPORTERS: &str = "exporters";
const DEFAULT_TTL: Duration = Duration::from_secs(10);
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
const MAX_CAPACITY: u32 = 100;
/// The longest id, in bytes.
const MAX_ID: usize = 128;
/// A lease is to be renewed so many times in its length.
const RENEWALS: u32 = 3;
/// A member that does not read is cut off.
const PATIENCE: Duration = Duration::from_secs(60);

/// The service over members and leaders.
pub(crate) struct Coordinator {
    coordination: Coordination,
    guard: Guard,
    streams: TaskTracker,
    shutdown: CancellationToken,
}

impl Coordinator {
    /// Serves streams as tasks of `streams`, which end at `shutdown`, to nodes that `guard` knows.
    pub(crate) const fn new(
        coordination: Coordination,
        guard: Guard,
        streams: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            coordination,
            guard,
            streams,
            shutdown,
        }
    }
}

#[tonic::async_trait]
impl v1::coordination_service_server::CoordinationService for Coordinator {
    type JoinStream = ReceiverStream<Result<v1::JoinResponse, Status>>;

    async fn join(
        &self,
        request: Request<Streaming<v1::JoinRequest>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let (outbox, answers) = mpsc::channel(OUTBOX);
        let (coordination, shutdown) = (self.coordination.clone(), self.shutdown.clone());
        let admission = Admission::of_call(&self.guard, JOIN);
        let mut inbox = request.into_inner();
        self.streams.spawn(async move {
            let served = tokio::select! {
                () = shutdown.cancelled() => Err(Status::unavailable("the control plane is stopping")),
                served = serve(&coordination, &admission, &mut inbox, &outbox) => served,
            };
            if let Err(status) = served {
                // Nobody is there to be told when this fails.
                outbox.send_timeout(Err(status), PATIENCE).await.ok();
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn campaign(
        &self,
        request: Request<v1::CampaignRequest>,
    ) -> Result<Response<v1::CampaignResponse>, Status> {
        let request = request.into_inner();
        check_id("election", &request.election)?;
        check_id("candidate_id", &request.candidate_id)?;
        let claim = Claim::of_candidate(&request.candidate_id);
        Admission::of_call(&self.guard, CAMPAIGN).admit(claim).await?;
        let ttl = ttl(request.ttl.as_ref())?;
        let (election, candidate) = (&request.election, &request.candidate_id);
        let leadership = match request.resign {
            true => self.coordination.resign(election, candidate).await,
            false => self.coordination.campaign(election, candidate, ttl).await?,
        };
        Ok(Response::new(v1::CampaignResponse {
            leader: leadership.is_own,
            fencing_token: leadership.token,
            leader_id: leadership.leader.unwrap_or_default(),
            renew_within: (ttl / RENEWALS).try_into().ok(),
        }))
    }
}

/// A member, as it introduces itself.
struct Member {
    id: String,
    ttl: Duration,
    capacity: u32,
}

fn read(request: v1::JoinRequest) -> Result<Member, Status> {
    if request.member_set != EXPORTERS {
        return Err(Status::invalid_argument(format!(
            "member_set must be {EXPORTERS:?}"
        )));
    }
    check_id("member_id", &request.member_id)?;
    if request.capacity > MAX_CAPACITY {
        return Err(Status::invalid_argument(format!(
            "capacity must be at most {MAX_CAPACITY}"
        )));
    }
    Ok(Member {
        id: request.member_id,
        ttl: ttl(request.ttl.as_ref())?,
        capacity: request.capacity.max(1),
    })
}

/// Serves one member until it leaves or its stream ends; then it stays in for what is left of its lease, so that it may
/// come back without moving anything.
async fn serve(
    coordination: &Coordination,
    admission: &Admission,
    inbox: &mut Streaming<v1::JoinRequest>,
    outbox: &mpsc::Sender<Result<v1::JoinResponse, Status>>,
) -> Result<(), Status> {
    let first = tokio::time::timeout(PATIENCE, inbox.message())
        .await
        .map_err(|_| Status::deadline_exceeded("no message came in time"))??;
    let Some(request) = first else { return Ok(()) };
    let id = read(request.clone())?.id;
    admission.admit(Claim::of_id(&id)).await?;
    let served = serve_member(coordination, request, inbox, outbox).await;
    coordination.lose(&id).await;
    served
}

async fn serve_member(
    coordination: &Coordination,
    mut request: v1::JoinRequest,
    inbox: &mut Streaming<v1::JoinRequest>,
    outbox: &mpsc::Sender<Result<v1::JoinResponse, Status>>,
) -> Result<(), Status> {
    let own = request.member_id.clone();
    let mut shares = coordination.subscribe();
    let mut told: Option<v1::JoinResponse> = None;
    loop {
        let leaves = request.leave;
        let member = read(request)?;
        if own != member.id {
            return Err(Status::invalid_argument("member_id must not change on a stream"));
        }
        if leaves {
            coordination.leave(&member.id).await;
            return Ok(());
        }
        coordination
            .renew(&member.id, member.capacity, member.ttl)
            .await?;
        request = loop {
            tell(&mut shares, &member, &mut told, outbox).await?;
            tokio::select! {
                message = inbox.message() => match message? {
                    Some(message) => break message,
                    None => return Ok(()),
                },
                changed = shares.changed() => {
                    changed.map_err(|_| Status::unavailable("the control plane is stopping"))?;
                }
            }
        };
    }
}

/// Tells a member its share, unless it knows.
async fn tell(
    shares: &mut watch::Receiver<Arc<Shares>>,
    member: &Member,
    told: &mut Option<v1::JoinResponse>,
    outbox: &mpsc::Sender<Result<v1::JoinResponse, Status>>,
) -> Result<(), Status> {
    let now = Arc::clone(&shares.borrow_and_update());
    // Its lease has run out under this stream: it is told again once it renews it.
    let Some(own) = now.of.get(&member.id) else {
        return Ok(());
    };
    let answer = v1::JoinResponse {
        membership_revision: now.revision,
        members: now.members.clone(),
        assigned_rpc_ids: own.iter().map(RpcId::to_string).collect(),
        renew_within: (member.ttl / RENEWALS).try_into().ok(),
    };
    if told.as_ref() == Some(&answer) {
        return Ok(());
    }
    *told = Some(answer.clone());
    let sent = tokio::time::timeout(PATIENCE, outbox.send(Ok(answer))).await;
    match sent {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Status::cancelled("the member is gone")),
        Err(_) => Err(Status::unavailable("the member does not read")),
    }
}

fn ttl(message: Option<&prost_types::Duration>) -> Result<Duration, Status> {
    let Some(message) = message else {
        return Ok(DEFAULT_TTL);
    };
    let ttl = Duration::try_from(*message).ok().filter(|ttl| TTL.contains(ttl));
    ttl.ok_or_else(|| Status::invalid_argument("ttl must be 1 to 300 seconds"))
}

fn check_id(field: &str, id: &str) -> Result<(), Status> {
    let is_id = (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    if is_id {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "{field} must be 1 to {MAX_ID} printable ASCII characters without blanks"
    )))
}

impl From<CoordinationError> for Status {
    fn from(error: CoordinationError) -> Self {
        match error {
            CoordinationError::Full(full) => Self::resource_exhausted(full.to_string()),
            CoordinationError::Store(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "who is in or leads could not be kept"
                );
                Self::unavailable("the store could not keep it")
            }
        }
    }
}
