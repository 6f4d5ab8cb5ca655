//! The whole service, with and without its control plane.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::Full;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::TcpIncoming};
use tonic::{Request, Response, Status, Streaming};
use tyrscale_gateway::{Config, GatewayError, Listeners, Settings, run};
use tyrscale_model::{
    Kind, PluginAttachment, PluginPriority, PluginType, Resource, Row, Snapshot, View, wire,
};
use tyrscale_proto::v1::{
    self, StreamConfigRequest, StreamConfigResponse,
    discovery_service_server::{DiscoveryService, DiscoveryServiceServer},
    stream_config_request::Message as Said,
    stream_config_response::Message,
};
use tyrscale_simnode::SimNode;

use super::harness::{Answer, Caller, Harness, bounded, eventually, node, route_id, settings};

/// Sends one content to everybody who asks, and tells what they say.
struct ControlPlane {
    content: Snapshot,
    said: mpsc::Sender<Said>,
    /// Ends every stream, and refuses new ones.
    gone: CancellationToken,
}

#[tonic::async_trait]
impl DiscoveryService for ControlPlane {
    type StreamConfigStream = Pin<Box<dyn Stream<Item = Result<StreamConfigResponse, Status>> + Send>>;

    async fn stream_config(
        &self,
        request: Request<Streaming<StreamConfigRequest>>,
    ) -> Result<Response<Self::StreamConfigStream>, Status> {
        if self.gone.is_cancelled() {
            return Err(Status::unavailable("gone"));
        }
        let mut requests = request.into_inner();
        let (responses, stream) = mpsc::channel(4);
        for (nonce, message) in [(0, welcome()), (1, whole(&self.content))] {
            let message = Some(message);
            responses
                .send(Ok(StreamConfigResponse { message, nonce }))
                .await
                .unwrap();
        }
        let (said, gone) = (self.said.clone(), self.gone.clone());
        tokio::spawn(async move {
            while let Some(Ok(Some(request))) = gone.run_until_cancelled(requests.message()).await {
                said.send(request.message.unwrap()).await.unwrap();
            }
            drop(responses);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

fn welcome() -> Message {
    let plan = v1::LanePlan {
        lane: v1::Lane::Config.into(),
        resume: v1::Resume::Snapshot.into(),
        ..v1::LanePlan::default()
    };
    Message::Welcome(v1::Welcome {
        protocol: 1,
        lanes: vec![plan],
        heartbeat: Some(Duration::from_secs(10).try_into().unwrap()),
        ..v1::Welcome::default()
    })
}

fn whole(content: &Snapshot) -> Message {
    let rows = content.iter().map(|(_, entry)| Row::of(entry));
    let view = View::of(&[
        Kind::Secret,
        Kind::Network,
        Kind::Rpc,
        Kind::Plugin,
        Kind::Upstream,
        Kind::Route,
    ]);
    Message::Chunk(v1::UpdateChunk {
        base: None,
        target: Some(wire::version_to_wire(&content.version(view))),
        index: 0,
        count: 1,
        upserts: rows.map(|row| wire::row_to_wire(&row)).collect(),
        removals: Vec::new(),
        ..v1::UpdateChunk::default()
    })
}

/// A running gateway, as operators and clients see it.
struct Running {
    data: Caller,
    admin: Caller,
    shutdown: CancellationToken,
    service: JoinHandle<Result<(), GatewayError>>,
}

impl Running {
    async fn start(control_plane: SocketAddr, data_dir: &Path) -> Self {
        let config = Config {
            control_planes: vec![format!("http://{control_plane}").parse().unwrap()],
            control_plane_tls: Default::default(),
            data_dir: data_dir.to_owned(),
            node_id: None,
            group: "default".to_owned(),
            labels: std::collections::BTreeMap::new(),
            selection: tyrscale_model::Selection::default(),
            zone: String::new(),
            tls: None,
            settings: Settings {
                workers: NonZeroUsize::new(2).unwrap(),
                ..settings()
            },
        };
        let listeners = Listeners {
            data: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            tls: None,
            admin: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        };
        let shutdown = CancellationToken::new();
        Self {
            data: Caller::new(listeners.data.local_addr().unwrap()),
            admin: Caller::new(listeners.admin.local_addr().unwrap()),
            service: tokio::spawn(run(config, listeners, shutdown.clone())),
            shutdown,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        let request = self.admin.request(path).method(Method::GET).body(Full::default());
        self.admin.send(request.unwrap()).await
    }

    async fn scraped(&self, line: &str) -> bool {
        String::from_utf8_lossy(&self.get("/metrics").await.body)
            .lines()
            .any(|it| it == line)
    }

    async fn stop(self) {
        self.shutdown.cancel();
        bounded(self.service).await.unwrap().unwrap();
    }
}

/// A route to `node`, with a plugin attached.
async fn content(node: &SimNode) -> Snapshot {
    let mut harness = Harness::in_front_of(&[node]).await;
    harness.put([Resource::Plugin(PluginAttachment {
        route_id: route_id(1),
        name: "audit".parse().unwrap(),
        plugin_type: PluginType::Middleware,
        priority: PluginPriority::try_from(1).unwrap(),
        description: String::new(),
        config_json: "{}".to_owned(),
    })]);
    harness.snapshot().clone()
}

/// An address where nobody listens.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Scenario 123.
#[tokio::test]
async fn without_a_configuration_it_lives_but_is_not_ready() {
    let directory = tempfile::tempdir().unwrap();
    let gateway = Running::start(nowhere().await, directory.path()).await;
    assert_eq!(gateway.get("/livez").await.status, StatusCode::OK);
    assert_eq!(
        gateway.get("/readyz").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(gateway.get("/debug/config").await.json()["routes"], 0);
    assert!(gateway.scraped("tyrscale_control_plane_connected 0").await);
    assert_eq!(
        gateway.data.call("eth_chainId").await.status,
        StatusCode::NOT_FOUND
    );
    gateway.stop().await;
}

/// Scenarios N11, 118.
#[tokio::test]
async fn it_serves_what_it_is_sent_and_goes_on_without_its_control_plane() {
    let node = node("n").await;
    let content = content(&node).await;
    let revision = content.revision().0;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (said, mut heard) = mpsc::channel(16);
    let gone = CancellationToken::new();
    let service = DiscoveryServiceServer::new(ControlPlane {
        content,
        said,
        gone: gone.clone(),
    });
    let incoming = TcpIncoming::from(listener);
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming),
    );

    let directory = tempfile::tempdir().unwrap();
    let gateway = Running::start(address, directory.path()).await;
    let Said::Hello(hello) = bounded(heard.recv()).await.unwrap() else {
        panic!("hello comes first")
    };
    let Said::Ack(ack) = bounded(heard.recv()).await.unwrap() else {
        panic!("the content is refused")
    };
    assert_eq!(ack.running.unwrap().revision, revision);
    assert_eq!(ack.warnings.len(), 1, "a plugin that is not run is told of");
    assert_eq!(gateway.get("/readyz").await.status, StatusCode::OK);
    assert_eq!(gateway.data.call("eth_chainId").await.node(), "n");
    let page = gateway.get("/debug/config").await.json();
    assert_eq!(
        (&page["version"]["revision"], &page["routes"]),
        (&revision.into(), &1.into())
    );
    assert!(
        gateway
            .scraped(&format!("tyrscale_gateway_config_revision {revision}"))
            .await
    );
    assert!(
        gateway
            .scraped("tyrscale_config_updates_total{outcome=\"applied\"} 1")
            .await
    );

    gone.cancel();
    eventually(async || gateway.scraped("tyrscale_control_plane_connected 0").await).await;
    assert_eq!(gateway.data.call("eth_chainId").await.node(), "n");
    gateway.stop().await;

    let restarted = Running::start(nowhere().await, directory.path()).await;
    eventually(async || restarted.get("/readyz").await.status == StatusCode::OK).await;
    assert_eq!(restarted.data.call("eth_chainId").await.node(), "n");
    let kept = std::fs::read_to_string(directory.path().join("node-id")).unwrap();
    assert_eq!(kept.trim(), hello.node.unwrap().id);
    restarted.stop().await;
}
