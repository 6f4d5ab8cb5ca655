//! `AccessService`: tokens, revoked nodes, the audit log.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status};
use tyrscale_access::{Audit, Caller, Guard, NewToken, Role, Scope, Tokens, Who, caller, note, unix_now};
use tyrscale_proto::v1::{self, access_service_server::AccessService};

use super::words;

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: u32 = 1000;
/// Records that may wait for one who watches.
const OUTBOX: usize = 64;
/// How often records of other control planes are looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The service.
pub(crate) struct Access {
    guard: Guard,
    tokens: Tokens,
    streams: TaskTracker,
    shutdown: CancellationToken,
}

impl Access {
    /// Streams are tasks of `streams` and end at `shutdown`.
    pub(crate) const fn new(
        guard: Guard,
        tokens: Tokens,
        streams: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            guard,
            tokens,
            streams,
            shutdown,
        }
    }
}

/// Who calls; outside of the layer nobody does.
fn current() -> Result<Caller, Status> {
    caller().ok_or_else(|| Status::internal("the caller is not known"))
}

fn tell(summary: String) {
    note(|note| note.summary = summary);
}

fn read_scope(scope: Option<v1::AccessScope>) -> Result<Scope, Status> {
    let v1::AccessScope { networks, labels } = scope.unwrap_or_default();
    let scope = Scope::of(networks.iter().map(String::as_str));
    scope
        .and_then(|scope| scope.with_labels(labels))
        .map_err(words::status)
}

fn read_new(request: v1::CreateTokenRequest) -> Result<NewToken, Status> {
    let role = Role::from_wire(request.role());
    let role = role.ok_or_else(|| words::invalid("role", "must be viewer, operator, editor or admin"))?;
    let lifetime = match request.lifetime {
        None => NewToken::LIFETIME,
        Some(lifetime) => Duration::try_from(lifetime)
            .map_err(|_| words::invalid("lifetime", "must be one minute to 365 days"))?,
    };
    Ok(NewToken {
        subject: request.subject,
        role,
        scope: read_scope(request.scope)?,
        lifetime,
    })
}

#[tonic::async_trait]
impl AccessService for Access {
    type WatchAuditStream = ReceiverStream<Result<v1::WatchAuditResponse, Status>>;

    async fn who_am_i(
        &self,
        _request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let caller = current()?;
        let (role, identity) = match &caller.who {
            Who::Anonymous => (v1::AccessRole::Admin, String::new()),
            Who::User { role, .. } => (role.to_wire(), String::new()),
            Who::Node(identity) => (v1::AccessRole::Unspecified, identity.to_string()),
        };
        Ok(Response::new(v1::WhoAmIResponse {
            subject: caller.subject().to_owned(),
            role: role.into(),
            scope: words::scope(&caller.scope()),
            identity,
            expire_time: caller.expires.map(words::time),
            credential_id: caller.credential,
        }))
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let new = read_new(request.into_inner())?;
        tell(format!("role {} for {}", new.role, new.subject));
        let created = self.tokens.create(new, current()?.subject(), unix_now()).await;
        let (token, text) = created.map_err(words::status)?;
        tell(format!("{}: role {} for {}", token.id, token.role, token.subject));
        Ok(Response::new(v1::CreateTokenResponse {
            token: Some(words::token(&token)),
            text: text.reveal(),
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let tokens = self.tokens.list(unix_now(), request.into_inner().include_dead);
        Ok(Response::new(v1::ListTokensResponse {
            tokens: tokens.iter().map(words::token).collect(),
        }))
    }

    async fn rotate_token(
        &self,
        request: Request<v1::RotateTokenRequest>,
    ) -> Result<Response<v1::RotateTokenResponse>, Status> {
        let id = request.into_inner().id;
        let rotated = self.tokens.rotate(&id, current()?.subject(), unix_now()).await;
        let (token, text) = rotated.map_err(words::status)?;
        tell(format!("{id} is followed by {} for {}", token.id, token.subject));
        Ok(Response::new(v1::RotateTokenResponse {
            token: Some(words::token(&token)),
            text: text.reveal(),
        }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let id = request.into_inner().id;
        let token = self.tokens.revoke(&id, unix_now()).await.map_err(words::status)?;
        tell(format!("{} of {}", token.id, token.subject));
        Ok(Response::new(v1::RevokeTokenResponse {
            token: Some(words::token(&token)),
        }))
    }

    async fn revoke_node(
        &self,
        request: Request<v1::RevokeNodeRequest>,
    ) -> Result<Response<v1::RevokeNodeResponse>, Status> {
        let v1::RevokeNodeRequest { node_id, reason } = request.into_inner();
        let nodes = self.guard.gate().nodes();
        let by = current()?;
        let revoked = nodes.revoke(&node_id, &reason, by.subject(), unix_now()).await;
        let node = revoked.map_err(words::status)?;
        tell(format!("node {}: {}", node.node, node.reason));
        Ok(Response::new(v1::RevokeNodeResponse {
            node: Some(words::node(&node)),
        }))
    }

    async fn list_revoked_nodes(
        &self,
        _request: Request<v1::ListRevokedNodesRequest>,
    ) -> Result<Response<v1::ListRevokedNodesResponse>, Status> {
        let nodes = self.guard.gate().nodes().list();
        Ok(Response::new(v1::ListRevokedNodesResponse {
            nodes: nodes.iter().map(words::node).collect(),
        }))
    }

    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        let request = request.into_inner();
        let size = match request.page_size {
            0 => DEFAULT_PAGE,
            size @ 1..=MAX_PAGE => usize::try_from(size).unwrap_or(DEFAULT_PAGE),
            _ => return Err(words::invalid("page_size", "must be at most 1000")),
        };
        let first = match request.page_token.as_str() {
            "" => request.from_sequence,
            token => token
                .parse()
                .map_err(|_| words::invalid("page_token", "is not one this server gave"))?,
        };
        let records = self
            .guard
            .audit()
            .list(first, size)
            .await
            .map_err(words::status)?;
        let last = records.last().map_or(0, |record| record.sequence);
        let is_whole = records.len() < size || last >= self.guard.audit().newest();
        Ok(Response::new(v1::ListAuditResponse {
            records,
            next_page_token: match is_whole {
                true => String::new(),
                false => last.saturating_add(1).to_string(),
            },
        }))
    }

    async fn watch_audit(
        &self,
        request: Request<v1::WatchAuditRequest>,
    ) -> Result<Response<Self::WatchAuditStream>, Status> {
        let audit = self.guard.audit().clone();
        let next = match request.into_inner().from_sequence {
            0 => audit.newest().saturating_add(1),
            first => first,
        };
        let (outbox, records) = mpsc::channel(OUTBOX);
        let shutdown = self.shutdown.clone();
        self.streams.spawn(async move {
            let watching = watch(audit, next, outbox.clone());
            if let Some(Err(status)) = shutdown.run_until_cancelled(watching).await {
                // Nobody is there to be told when this fails.
                outbox.send(Err(status)).await.ok();
            }
        });
        Ok(Response::new(ReceiverStream::new(records)))
    }

    async fn verify_audit(
        &self,
        request: Request<v1::VerifyAuditRequest>,
    ) -> Result<Response<v1::VerifyAuditResponse>, Status> {
        let request = request.into_inner();
        let known = match (request.known_sequence, request.known_hash.as_ref()) {
            (0, []) => None,
            (sequence, hash) => {
                let hash = hash.try_into();
                let hash = hash.map_err(|_| words::invalid("known_hash", "must have 32 bytes"))?;
                Some((sequence, hash))
            }
        };
        let verdict = self.guard.audit().verify(known).await.map_err(words::status)?;
        let (broken_sequence, reason) = verdict.broken.clone().unwrap_or_default();
        Ok(Response::new(v1::VerifyAuditResponse {
            intact: verdict.broken.is_none(),
            records: verdict.records,
            head_hash: match verdict.records {
                0 => Vec::new().into(),
                _ => verdict.hash.to_vec().into(),
            },
            broken_sequence,
            reason,
            head_sequence: verdict.sequence,
        }))
    }
}

/// Sends records from `next` on until nobody reads them.
async fn watch(
    audit: Audit,
    mut next: u64,
    outbox: mpsc::Sender<Result<v1::WatchAuditResponse, Status>>,
) -> Result<(), Status> {
    loop {
        for record in audit.list(next, DEFAULT_PAGE).await.map_err(words::status)? {
            next = record.sequence.saturating_add(1);
            let response = v1::WatchAuditResponse { record: Some(record) };
            if outbox.send(Ok(response)).await.is_err() {
                return Ok(());
            }
        }
        tokio::select! {
            () = outbox.closed() => return Ok(()),
            () = audit.newer_than(next.saturating_sub(1)) => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}
