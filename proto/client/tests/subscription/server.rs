//! A control plane that says what the test tells it to.

use std::{pin::Pin, time::Duration};

use http::Uri;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    time::timeout,
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};
use tyrscale_model::{ResourceKey, Row, Version, wire};
use tyrscale_proto::v1::{
    self, StreamConfigRequest, StreamConfigResponse,
    discovery_service_server::{DiscoveryService, DiscoveryServiceServer},
    stream_config_request::Message as Said,
    stream_config_response::Message,
};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

type Responses = mpsc::Sender<Result<StreamConfigResponse, Status>>;
type Opened = (Streaming<StreamConfigRequest>, Responses);

struct Discovery(mpsc::Sender<Opened>);

#[tonic::async_trait]
impl DiscoveryService for Discovery {
    type StreamConfigStream =
        Pin<Box<dyn Stream<Item = Result<StreamConfigResponse, Status>> + Send + 'static>>;

    async fn stream_config(
        &self,
        request: Request<Streaming<StreamConfigRequest>>,
    ) -> Result<Response<Self::StreamConfigStream>, Status> {
        let (responses, stream) = mpsc::channel(16);
        self.0.send((request.into_inner(), responses)).await.unwrap();
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// The server; it ends with the test's runtime.
pub(crate) struct ScriptedServer {
    pub(crate) uri: Uri,
    opened: Mutex<mpsc::Receiver<Opened>>,
}

impl ScriptedServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let (sender, opened) = mpsc::channel(16);
        let service = DiscoveryServiceServer::new(Discovery(sender));
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))),
        );
        Self {
            uri,
            opened: Mutex::new(opened),
        }
    }

    /// The next stream, with its Hello.
    pub(crate) async fn accept(&self) -> ScriptedStream {
        let (mut requests, responses) = timeout(PATIENCE, self.opened.lock().await.recv())
            .await
            .expect("nobody connected")
            .unwrap();
        let hello = requests.message().await.unwrap().unwrap();
        let Some(Said::Hello(hello)) = hello.message else {
            panic!("{hello:?}")
        };
        ScriptedStream {
            hello,
            requests,
            responses,
            nonce: 0,
        }
    }

    /// The next stream, welcomed with a snapshot to come.
    pub(crate) async fn welcome(&self) -> ScriptedStream {
        let mut stream = self.accept().await;
        stream.send(welcome(None, PATIENCE)).await;
        stream
    }
}

pub(crate) struct ScriptedStream {
    pub(crate) hello: v1::Hello,
    requests: Streaming<StreamConfigRequest>,
    responses: Responses,
    nonce: u64,
}

impl ScriptedStream {
    /// The version the subscriber said to have.
    pub(crate) fn have(&self) -> Option<Version> {
        self.hello.have.first().and_then(wire::version_from_wire)
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.send_with_nonce(message, 0).await;
    }

    async fn send_with_nonce(&mut self, message: Message, nonce: u64) {
        let response = StreamConfigResponse {
            message: Some(message),
            nonce,
        };
        self.responses.send(Ok(response)).await.unwrap();
    }

    /// Sends what wants an answer that never comes.
    pub(crate) async fn send_unanswered(&mut self, message: Message) {
        self.nonce += 1;
        self.send_with_nonce(message, self.nonce).await;
    }

    /// Sends what wants an answer and gives the answer.
    pub(crate) async fn ask(&mut self, message: Message) -> Said {
        self.nonce += 1;
        self.send_with_nonce(message, self.nonce).await;
        let answer = timeout(PATIENCE, self.requests.message())
            .await
            .expect("no answer");
        let answer = answer.unwrap().unwrap().message.unwrap();
        let nonce = match &answer {
            Said::Ack(ack) => ack.nonce,
            Said::Nack(nack) => nack.nonce,
            Said::Hello(_) => panic!("second hello"),
        };
        assert_eq!(nonce, self.nonce, "answers another message");
        answer
    }

    pub(crate) async fn ask_for_ack(&mut self, message: Message) -> v1::Ack {
        match self.ask(message).await {
            Said::Ack(ack) => ack,
            answer => panic!("{answer:?}"),
        }
    }

    pub(crate) async fn ask_for_nack(&mut self, message: Message) -> v1::Nack {
        match self.ask(message).await {
            Said::Nack(nack) => nack,
            answer => panic!("{answer:?}"),
        }
    }

    /// Waits until the subscriber has gone.
    pub(crate) async fn closed(mut self) {
        let ended = timeout(PATIENCE, self.requests.message())
            .await
            .expect("still there");
        assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
    }
}

/// `in_sync`: nothing is sent, and this is the version now.
pub(crate) fn welcome(in_sync: Option<&Version>, heartbeat: Duration) -> Message {
    let plan = v1::LanePlan {
        lane: v1::Lane::Config.into(),
        resume: match in_sync {
            Some(_) => v1::Resume::InSync.into(),
            None => v1::Resume::Snapshot.into(),
        },
        target: in_sync.map(wire::version_to_wire),
        why: String::new(),
    };
    Message::Welcome(v1::Welcome {
        protocol: 1,
        lanes: vec![plan],
        heartbeat: Some(heartbeat.try_into().unwrap()),
        ..v1::Welcome::default()
    })
}

pub(crate) fn chunk(
    base: Option<&Version>,
    target: &Version,
    index: u32,
    count: u32,
    rows: &[Row],
) -> Message {
    Message::Chunk(v1::UpdateChunk {
        base: base.map(wire::version_to_wire),
        target: Some(wire::version_to_wire(target)),
        index,
        count,
        upserts: rows.iter().map(wire::row_to_wire).collect(),
        removals: Vec::new(),
        ..v1::UpdateChunk::default()
    })
}

pub(crate) fn delta(base: &Version, target: &Version, rows: &[Row], removals: &[ResourceKey]) -> Message {
    Message::Delta(v1::Delta {
        base: Some(wire::version_to_wire(base)),
        target: Some(wire::version_to_wire(target)),
        upserts: rows.iter().map(wire::row_to_wire).collect(),
        removals: removals.iter().map(wire::key_to_wire).collect(),
    })
}
