//! A scripted subscriber: says what the test says, keeps what it is sent, proves it by its own digest.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};
use tyrscale_model::{ContentDigest, Feature, Kind, Lane, View, wire};
use tyrscale_proto::v1::{
    self, discovery_service_client::DiscoveryServiceClient, stream_config_request as request,
    stream_config_response::Message,
};

use crate::plane::LIMIT;

/// The two ends of a stream, without any rule.
pub(crate) struct Wire {
    out: mpsc::Sender<v1::StreamConfigRequest>,
    inbox: Streaming<v1::StreamConfigResponse>,
}

impl Wire {
    pub(crate) async fn open(channel: &Channel) -> Self {
        let (out, messages) = mpsc::channel(16);
        let mut client = DiscoveryServiceClient::new(channel.clone());
        let answer = client.stream_config(ReceiverStream::new(messages));
        let inbox = timeout(LIMIT, answer).await.unwrap().unwrap().into_inner();
        Self { out, inbox }
    }

    pub(crate) async fn say(&self, message: request::Message) {
        let message = Some(message);
        self.out.send(v1::StreamConfigRequest { message }).await.unwrap();
    }

    /// The next message, heartbeats included.
    pub(crate) async fn raw(&mut self) -> Result<v1::StreamConfigResponse, Status> {
        let message = timeout(LIMIT, self.inbox.message())
            .await
            .expect("a message in time");
        message?.ok_or_else(|| Status::ok("the stream ended"))
    }

    /// The next message that is no heartbeat.
    pub(crate) async fn next(&mut self) -> Result<v1::StreamConfigResponse, Status> {
        loop {
            let response = self.raw().await?;
            if !matches!(response.message, Some(Message::Heartbeat(_))) {
                return Ok(response);
            }
        }
    }

    /// Nothing but heartbeats comes, for three of them.
    pub(crate) async fn stays_quiet(&mut self) {
        for _ in 0..3 {
            let response = self.raw().await.unwrap();
            let is_heartbeat = matches!(response.message, Some(Message::Heartbeat(_)));
            assert!(is_heartbeat, "{response:?}");
        }
    }

    /// How the server ends the stream.
    pub(crate) async fn ends(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }

    pub(crate) async fn welcome(&mut self) -> v1::Welcome {
        match self.next().await.unwrap().message {
            Some(Message::Welcome(welcome)) => welcome,
            other => panic!("no welcome: {other:?}"),
        }
    }
}

pub(crate) fn hello(node: &str, boot: &str) -> v1::Hello {
    v1::Hello {
        node: Some(v1::Node {
            id: node.to_owned(),
            boot_id: boot.to_owned(),
            role: v1::NodeRole::Gateway.into(),
            ..Default::default()
        }),
        protocol_min: 1,
        protocol_max: 1,
        features: Feature::ALL.map(|feature| feature.as_str().to_owned()).into(),
        ..Default::default()
    }
}

/// An update, its chunks put together.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) base: Option<v1::Version>,
    pub(crate) target: v1::Version,
    pub(crate) upserts: Vec<v1::DiscoveryResource>,
    pub(crate) removals: Vec<v1::ResourceRef>,
    pub(crate) nonce: u64,
    /// Encoded size of each message.
    pub(crate) sizes: Vec<usize>,
}

fn unfolded(mut chunk: v1::UpdateChunk) -> v1::UpdateChunk {
    if chunk.codec() == v1::Codec::Zstd {
        let bytes = zstd::bulk::decompress(&chunk.data, 64 << 20).unwrap();
        let part = v1::UpdatePart::decode(bytes.as_slice()).unwrap();
        chunk.upserts = part.upserts;
        chunk.removals = part.removals;
    }
    chunk
}

/// A subscriber that keeps its content.
pub(crate) struct Follower {
    pub(crate) wire: Wire,
    pub(crate) rows: BTreeMap<(i32, String), Vec<u8>>,
    digest: ContentDigest,
    pub(crate) running: Option<v1::Version>,
}

impl Follower {
    /// Connects with nothing and takes the welcome.
    pub(crate) async fn connect(channel: &Channel, node: &str) -> (Self, v1::LanePlan) {
        Self::greet(channel, hello(node, "boot")).await
    }

    /// Connects with this hello and takes the welcome.
    pub(crate) async fn greet(channel: &Channel, hello: v1::Hello) -> (Self, v1::LanePlan) {
        let mut wire = Wire::open(channel).await;
        let running = hello.have.first().cloned();
        wire.say(request::Message::Hello(hello)).await;
        let mut welcome = wire.welcome().await;
        let follower = Self {
            wire,
            rows: BTreeMap::new(),
            digest: ContentDigest::default(),
            running,
        };
        (follower, welcome.lanes.pop().unwrap())
    }

    /// Whether a hello is taken at all.
    pub(crate) async fn try_greet(channel: &Channel, node: &str) -> Result<(), Status> {
        let mut client = DiscoveryServiceClient::new(channel.clone());
        let message = Some(request::Message::Hello(hello(node, "boot")));
        let hello = tokio_stream::once(v1::StreamConfigRequest { message });
        let mut inbox = client.stream_config(hello).await?.into_inner();
        inbox.message().await.map(drop)
    }

    /// Leaves, and comes back with what it has.
    pub(crate) async fn reconnect(&mut self, channel: &Channel, node: &str) -> v1::LanePlan {
        let hello = v1::Hello {
            have: self.running.iter().cloned().collect(),
            ..hello(node, "boot")
        };
        let (fresh, plan) = Self::greet(channel, hello).await;
        self.wire = fresh.wire;
        if plan.resume() == v1::Resume::InSync {
            self.running.clone_from(&plan.target);
        }
        plan
    }

    /// Connects and takes the first snapshot.
    pub(crate) async fn synced(channel: &Channel, node: &str) -> Self {
        let (mut follower, plan) = Self::connect(channel, node).await;
        assert_eq!(plan.resume(), v1::Resume::Snapshot, "{plan:?}");
        follower.follow().await;
        follower
    }

    /// Takes the next whole update without doing anything about it.
    pub(crate) async fn receive(&mut self) -> Update {
        self.try_receive().await.unwrap()
    }

    pub(crate) async fn try_receive(&mut self) -> Result<Update, Status> {
        let mut update: Option<Update> = None;
        loop {
            let response = self.wire.next().await?;
            let (size, nonce) = (response.encoded_len(), response.nonce);
            let part = match response.message.unwrap() {
                Message::Delta(delta) => v1::UpdateChunk {
                    base: Some(delta.base.unwrap()),
                    target: delta.target,
                    index: 0,
                    count: 1,
                    upserts: delta.upserts,
                    removals: delta.removals,
                    ..v1::UpdateChunk::default()
                },
                Message::Chunk(chunk) => unfolded(chunk),
                other => panic!("no update: {other:?}"),
            };
            let update = update.get_or_insert_with(|| Update {
                base: part.base.clone(),
                target: part.target.clone().unwrap(),
                upserts: Vec::new(),
                removals: Vec::new(),
                nonce: 0,
                sizes: Vec::new(),
            });
            assert_eq!(part.base, update.base);
            assert_eq!(part.target.as_ref(), Some(&update.target));
            assert_eq!(usize::try_from(part.index).unwrap(), update.sizes.len());
            update.upserts.extend(part.upserts);
            update.removals.extend(part.removals);
            update.sizes.push(size);
            let is_last = update.sizes.len() == usize::try_from(part.count).unwrap();
            assert_eq!(nonce != 0, is_last, "the nonce is on the last message alone");
            if is_last {
                let keys: Vec<_> = update.keys().collect();
                let unique: BTreeSet<_> = keys.iter().collect();
                assert_eq!(unique.len(), keys.len(), "c56: a key comes once");
                return Ok(Update {
                    nonce,
                    upserts: std::mem::take(&mut update.upserts),
                    removals: std::mem::take(&mut update.removals),
                    sizes: std::mem::take(&mut update.sizes),
                    base: update.base.take(),
                    target: update.target.clone(),
                });
            }
        }
    }

    /// Does what an update says; the content after it must have the digest it says.
    pub(crate) fn apply(&mut self, update: &Update) {
        if update.base.is_none() {
            self.rows.clear();
            self.digest = ContentDigest::default();
        } else {
            assert_eq!(update.base, self.running, "a delta starts from what runs");
        }
        for row in &update.upserts {
            self.forget(row.kind, &row.id);
            let kind = Kind::from_number(row.kind).unwrap();
            self.digest.add(kind, &row.id, &row.payload);
            self.rows.insert((row.kind, row.id.clone()), row.payload.to_vec());
        }
        for key in &update.removals {
            self.forget(key.kind, &key.id);
        }
        let own = self.digest.hashes().digest(Lane::Config, View::ALL);
        let target = wire::version_from_wire(&update.target).unwrap();
        assert_eq!(own, target.digest, "the content proves itself");
        self.running = Some(update.target.clone());
    }

    /// Has this content, which it had before it left.
    pub(crate) fn go_on_from(&mut self, rows: BTreeMap<(i32, String), Vec<u8>>) {
        for ((kind, id), payload) in &rows {
            self.digest.add(Kind::from_number(*kind).unwrap(), id, payload);
        }
        self.rows = rows;
    }

    fn forget(&mut self, kind: i32, id: &str) {
        if let Some(payload) = self.rows.remove(&(kind, id.to_owned())) {
            self.digest.remove(Kind::from_number(kind).unwrap(), id, &payload);
        }
    }

    /// Takes the next update, does what it says and acknowledges.
    pub(crate) async fn follow(&mut self) -> Update {
        let update = self.receive().await;
        self.apply(&update);
        self.ack(&update).await;
        update
    }

    /// Follows until it runs a revision.
    pub(crate) async fn follow_to(&mut self, revision: u64) {
        while self
            .running
            .as_ref()
            .is_none_or(|running| running.revision < revision)
        {
            self.follow().await;
        }
    }

    pub(crate) async fn ack(&self, update: &Update) {
        self.ack_as(update.nonce, self.running.clone()).await;
    }

    pub(crate) async fn ack_as(&self, nonce: u64, running: Option<v1::Version>) {
        let ack = v1::Ack {
            nonce,
            running,
            persisted: true,
            ..Default::default()
        };
        self.wire.say(request::Message::Ack(ack)).await;
    }

    pub(crate) async fn nack(&self, update: &Update, reason: v1::NackReason) {
        self.nack_with(update, reason, Vec::new()).await;
    }

    pub(crate) async fn nack_with(
        &self,
        update: &Update,
        reason: v1::NackReason,
        violations: Vec<v1::Violation>,
    ) {
        let nack = v1::Nack {
            nonce: update.nonce,
            rejected: Some(update.target.clone()),
            running: self.running.clone(),
            reason: reason.into(),
            violations_total: u32::try_from(violations.len()).unwrap(),
            violations,
        };
        self.wire.say(request::Message::Nack(nack)).await;
    }
}

impl Update {
    pub(crate) fn keys(&self) -> impl Iterator<Item = (i32, &str)> {
        let upserts = self.upserts.iter().map(|row| (row.kind, row.id.as_str()));
        upserts.chain(self.removals.iter().map(|key| (key.kind, key.id.as_str())))
    }
}
