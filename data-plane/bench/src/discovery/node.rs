//! A subscriber that believes what it is sent: it costs next to nothing, so that many fit beside the server.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::Context as _;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tyrscale_model::{Lane, wire};
use tyrscale_proto::v1::{
    self, discovery_service_client::DiscoveryServiceClient, stream_config_request::Message as Out,
    stream_config_response::Message as In,
};

use super::connection::{Received, Way};

/// Answers that may wait to be sent.
const WAITING: usize = 4;

/// How far a subscriber has come in a lane.
#[derive(Debug, Default)]
struct Acknowledged {
    /// The revision acknowledged last.
    revision: AtomicU64,
    /// When, in nanoseconds after the fleet's start.
    at: AtomicU64,
}

/// What is known of a subscriber from outside.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    config: Acknowledged,
    weights: Acknowledged,
    /// Bytes of messages received, without gRPC's and HTTP/2's.
    pub(crate) payload: AtomicU64,
    pub(crate) updates: AtomicU64,
    /// Whether the server said Welcome on the newest stream.
    pub(crate) welcomed: AtomicBool,
    /// Whether to stop reading.
    pub(crate) stopped: AtomicBool,
}

impl Progress {
    const fn of(&self, lane: Lane) -> &Acknowledged {
        match lane {
            Lane::Config => &self.config,
            Lane::Weights => &self.weights,
        }
    }

    /// The revision acknowledged last in a lane, and when, in nanoseconds after the fleet's start.
    pub(crate) fn acknowledged(&self, lane: Lane) -> (u64, u64) {
        let of_lane = self.of(lane);
        // The time is written first, so one that is read after the revision is at least as new.
        let revision = of_lane.revision.load(Ordering::Acquire);
        (revision, of_lane.at.load(Ordering::Relaxed))
    }
}

/// What all subscribers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) began: Instant,
    pub(crate) received: Received,
}

/// What a subscriber runs, by lane.
pub(crate) type Have = BTreeMap<i32, v1::Version>;

/// Follows one stream until it ends; goes on from `have` and leaves there what it has at the end.
pub(crate) async fn follow(
    shared: &Shared,
    progress: &Arc<Progress>,
    (id, way): (&str, &Way),
    have: &mut Have,
) -> anyhow::Result<()> {
    let channel = way.connect(&shared.received).await?;
    let mut client = DiscoveryServiceClient::new(channel).max_decoding_message_size(64 * 1024 * 1024);
    let (out, outgoing) = mpsc::channel(WAITING);
    out.send(request(Out::Hello(hello(id, have)))).await?;
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
                note_in_sync(shared, progress, &welcome);
                progress.welcomed.store(true, Ordering::Relaxed);
                continue;
            }
            Some(In::Delta(delta)) => target_of(delta, have)?,
            // Of chunks only the last wants an answer.
            Some(In::Chunk(chunk)) if nonce > 0 => chunk.target.context("an update without target")?,
            _ => continue,
        };
        let ack = v1::Ack {
            nonce,
            running: Some(target.clone()),
            persisted: true,
            ..Default::default()
        };
        out.send(request(Out::Ack(ack))).await?;
        progress.updates.fetch_add(1, Ordering::Relaxed);
        note(shared, progress, &target);
        have.insert(target.lane, target);
    }
    Ok(())
}

/// What a delta leads to. It leaves out what follows from what runs.
fn target_of(delta: v1::Delta, have: &Have) -> anyhow::Result<v1::Version> {
    let (base, target) = delta
        .base
        .zip(delta.target)
        .context("an update without versions")?;
    let running = have.get(&base.lane).context("a difference from nothing")?;
    anyhow::ensure!(base.revision == running.revision, "the base is not what runs");
    let lineage = if target.lineage.is_empty() {
        running.lineage.clone()
    } else {
        target.lineage
    };
    Ok(v1::Version { lineage, ..target })
}

fn note_in_sync(shared: &Shared, progress: &Progress, welcome: &v1::Welcome) {
    let in_sync = welcome
        .lanes
        .iter()
        .filter(|plan| plan.resume() == v1::Resume::InSync);
    for target in in_sync.filter_map(|plan| plan.target.as_ref()) {
        note(shared, progress, target);
    }
}

fn note(shared: &Shared, progress: &Progress, version: &v1::Version) {
    let Some(version) = wire::version_from_wire(version) else {
        return;
    };
    let of_lane = progress.of(version.lane);
    let nanos = u64::try_from(shared.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    of_lane.at.store(nanos, Ordering::Relaxed);
    of_lane.revision.store(version.revision.0, Ordering::Release);
}

fn request(message: Out) -> v1::StreamConfigRequest {
    v1::StreamConfigRequest {
        message: Some(message),
    }
}

/// As a gateway says it.
fn hello(id: &str, have: &Have) -> v1::Hello {
    let kinds = [
        v1::Kind::Network,
        v1::Kind::Rpc,
        v1::Kind::Plugin,
        v1::Kind::Upstream,
        v1::Kind::Route,
        v1::Kind::Weight,
    ];
    v1::Hello {
        node: Some(v1::Node {
            id: id.to_owned(),
            boot_id: "1".to_owned(),
            role: v1::NodeRole::Gateway.into(),
            build: "tyrscale-bench".to_owned(),
            ..Default::default()
        }),
        protocol_min: 1,
        protocol_max: 1,
        have: have.values().cloned().collect(),
        selector: Some(v1::Selector {
            kinds: kinds.into_iter().map(i32::from).collect(),
            ..v1::Selector::default()
        }),
        features: vec!["terse".to_owned()],
        codecs: vec![v1::Codec::Zstd.into()],
        ..Default::default()
    }
}
