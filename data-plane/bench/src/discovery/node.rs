//! A subscriber that believes what it is sent: it costs next to nothing, so that many fit beside the server.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use prost::Message as _;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tyrscale_proto::v1::{
    self, discovery_service_client::DiscoveryServiceClient, stream_config_request::Message as Out,
    stream_config_response::Message as In,
};

use super::connection::{Received, connect};

/// Answers that may wait to be sent.
const WAITING: usize = 4;

/// What is known of a subscriber from outside.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The revision acknowledged last.
    revision: AtomicU64,
    /// When, in nanoseconds after the fleet's start.
    at: AtomicU64,
    /// Bytes of messages received, without gRPC's and HTTP/2's.
    pub(crate) payload: AtomicU64,
    pub(crate) updates: AtomicU64,
    /// Whether the server said Welcome on the newest stream.
    pub(crate) welcomed: AtomicBool,
    /// Whether to stop reading.
    pub(crate) stopped: AtomicBool,
}

impl Progress {
    /// The revision acknowledged last, and when, in nanoseconds after the fleet's start.
    pub(crate) fn acknowledged(&self) -> (u64, u64) {
        // The time is written first, so one that is read after the revision is at least as new.
        let revision = self.revision.load(Ordering::Acquire);
        (revision, self.at.load(Ordering::Relaxed))
    }
}

/// What all subscribers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) to: SocketAddr,
    pub(crate) began: Instant,
    /// Told after each acknowledgement.
    pub(crate) moved: Notify,
    pub(crate) received: Received,
}

/// Follows one stream until it ends; goes on from `have` and leaves there what it has at the end.
pub(crate) async fn follow(
    shared: &Shared,
    progress: &Arc<Progress>,
    number: u32,
    have: &mut Option<v1::Version>,
) -> anyhow::Result<()> {
    let channel = connect(shared.to, &shared.received).await?;
    let mut client = DiscoveryServiceClient::new(channel).max_decoding_message_size(64 * 1024 * 1024);
    let (out, outgoing) = mpsc::channel(WAITING);
    out.send(request(Out::Hello(hello(number, have.clone())))).await?;
    let mut incoming = client
        .stream_config(ReceiverStream::new(outgoing))
        .await?
        .into_inner();
    while let Some(response) = incoming.message().await? {
        if progress.stopped.load(Ordering::Relaxed) {
            // Reads no more; the connection stays.
            std::future::pending::<()>().await;
        }
        progress
            .payload
            .fetch_add(response.encoded_len() as u64, Ordering::Relaxed);
        let nonce = response.nonce;
        let target = match response.message {
            Some(In::Welcome(welcome)) => {
                progress.welcomed.store(true, Ordering::Relaxed);
                note_in_sync(shared, progress, &welcome);
                continue;
            }
            Some(In::Delta(delta)) => {
                anyhow::ensure!(delta.base == *have, "the base is not what runs");
                delta.target
            }
            // Of chunks only the last wants an answer.
            Some(In::Chunk(chunk)) if nonce > 0 => chunk.target,
            _ => continue,
        };
        let target = target.ok_or_else(|| anyhow::anyhow!("an update without target"))?;
        let ack = v1::Ack {
            nonce,
            running: Some(target.clone()),
            persisted: true,
            ..Default::default()
        };
        out.send(request(Out::Ack(ack))).await?;
        progress.updates.fetch_add(1, Ordering::Relaxed);
        note(shared, progress, target.revision);
        *have = Some(target);
    }
    Ok(())
}

fn note_in_sync(shared: &Shared, progress: &Progress, welcome: &v1::Welcome) {
    let in_sync = welcome
        .lanes
        .iter()
        .find(|plan| plan.lane() == v1::Lane::Config && plan.resume() == v1::Resume::InSync);
    if let Some(target) = in_sync.and_then(|plan| plan.target.as_ref()) {
        note(shared, progress, target.revision);
    }
}

fn note(shared: &Shared, progress: &Progress, revision: u64) {
    let nanos = u64::try_from(shared.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    progress.at.store(nanos, Ordering::Relaxed);
    progress.revision.store(revision, Ordering::Release);
    shared.moved.notify_waiters();
}

fn request(message: Out) -> v1::StreamConfigRequest {
    v1::StreamConfigRequest {
        message: Some(message),
    }
}

fn hello(number: u32, have: Option<v1::Version>) -> v1::Hello {
    v1::Hello {
        node: Some(v1::Node {
            id: format!("bench-{number}"),
            boot_id: "1".to_owned(),
            role: v1::NodeRole::Gateway.into(),
            build: "tyrscale-bench".to_owned(),
            ..Default::default()
        }),
        protocol_min: 1,
        protocol_max: 1,
        have: have.into_iter().collect(),
        ..Default::default()
    }
}
