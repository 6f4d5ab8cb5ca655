//! A scripted control plane: pushes one content, deals out one share, keeps the reports.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Args, FromArgMatches};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};
use tyrscale_exporter::{ExporterConfig, ExporterError, Listeners, run};
use tyrscale_model::{
    ChainId, ChangeSet, Collector, Expectation, Kind, Lineage, Network, Operation, Policy, Resource, Row,
    Rpc, RpcId, Snapshot, UnixMillis, View, Visibility, apply, wire,
};
use tyrscale_proto::v1::{
    self, coordination_service_server as coordination, discovery_service_server as discovery,
    stream_config_response::Message, telemetry_service_server as telemetry,
};
use tyrscale_simnode::SimNode;

/// The longest any awaited event may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

type Answers<T> = ReceiverStream<Result<T, Status>>;

/// What the control plane tells and hears.
#[derive(Clone)]
struct Script {
    content: watch::Receiver<Snapshot>,
    share: watch::Receiver<Option<Vec<RpcId>>>,
    reports: watch::Sender<Vec<v1::RpcSample>>,
    left: watch::Sender<bool>,
}

#[tonic::async_trait]
impl discovery::DiscoveryService for Script {
    type StreamConfigStream = Answers<v1::StreamConfigResponse>;

    async fn stream_config(
        &self,
        request: Request<Streaming<v1::StreamConfigRequest>>,
    ) -> Result<Response<Self::StreamConfigStream>, Status> {
        let (outbox, answers) = mpsc::channel(4);
        let (mut content, mut inbox) = (self.content.clone(), request.into_inner());
        tokio::spawn(async move {
            let mut messages = vec![(0, welcome())];
            for nonce in 1.. {
                messages.push((nonce, whole(&content.borrow_and_update())));
                for (nonce, message) in messages.drain(..) {
                    let message = Some(message);
                    if outbox
                        .send(Ok(v1::StreamConfigResponse { message, nonce }))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                let changed = async {
                    loop {
                        tokio::select! {
                            changed = content.changed() => return changed.is_ok(),
                            said = inbox.message() => if !matches!(said, Ok(Some(_))) { return false },
                        }
                    }
                };
                if !changed.await {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

fn welcome() -> Message {
    Message::Welcome(v1::Welcome {
        protocol: 1,
        lanes: vec![v1::LanePlan {
            lane: v1::Lane::Config.into(),
            resume: v1::Resume::Snapshot.into(),
            ..v1::LanePlan::default()
        }],
        heartbeat: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..v1::Welcome::default()
    })
}

fn whole(content: &Snapshot) -> Message {
    let rows = content.iter().map(|(key, entry)| Row {
        key: key.clone(),
        revision: entry.meta.modify_revision,
        payload: entry.payload.clone(),
    });
    Message::Chunk(v1::UpdateChunk {
        target: Some(wire::version_to_wire(
            &content.version(View::of(&[Kind::Network, Kind::Rpc])),
        )),
        count: 1,
        upserts: rows.map(|row| wire::row_to_wire(&row)).collect(),
        ..v1::UpdateChunk::default()
    })
}

#[tonic::async_trait]
impl coordination::CoordinationService for Script {
    type JoinStream = Answers<v1::JoinResponse>;

    async fn join(
        &self,
        request: Request<Streaming<v1::JoinRequest>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let (outbox, answers) = mpsc::channel(4);
        let (mut share, left, mut inbox) = (self.share.clone(), self.left.clone(), request.into_inner());
        tokio::spawn(async move {
            loop {
                let own = share.borrow_and_update().clone();
                if let Some(own) = own {
                    let answer = v1::JoinResponse {
                        members: vec!["exporter".to_owned()],
                        assigned_rpc_ids: own.iter().map(RpcId::to_string).collect(),
                        ..v1::JoinResponse::default()
                    };
                    if outbox.send(Ok(answer)).await.is_err() {
                        return;
                    }
                }
                let changed = async {
                    loop {
                        tokio::select! {
                            changed = share.changed() => return changed.is_ok(),
                            said = inbox.message() => match said {
                                Ok(Some(said)) if said.leave => {
                                    left.send_replace(true);
                                    return false;
                                }
                                Ok(Some(_)) => {}
                                _ => return false,
                            },
                        }
                    }
                };
                if !changed.await {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn campaign(
        &self,
        _: Request<v1::CampaignRequest>,
    ) -> Result<Response<v1::CampaignResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }
}

#[tonic::async_trait]
impl telemetry::TelemetryService for Script {
    type StreamTelemetryStream = Answers<v1::StreamTelemetryResponse>;
    type WatchTelemetryStream = Answers<v1::WatchTelemetryResponse>;

    async fn stream_telemetry(
        &self,
        request: Request<Streaming<v1::StreamTelemetryRequest>>,
    ) -> Result<Response<Self::StreamTelemetryStream>, Status> {
        let (outbox, answers) = mpsc::channel(4);
        let (reports, mut inbox) = (self.reports.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(report)) = inbox.message().await {
                reports.send_replace(report.rpcs);
                let answer = v1::StreamTelemetryResponse {
                    interval: Some(prost_types::Duration {
                        seconds: 0,
                        nanos: 50_000_000,
                    }),
                    max_samples: 1_000,
                    networks: vec![v1::NetworkHead {
                        network: "eth".to_owned(),
                        block_height: 1_050,
                        height_age: None,
                    }],
                    ..v1::StreamTelemetryResponse::default()
                };
                if outbox.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn get_telemetry(
        &self,
        _: Request<v1::GetTelemetryRequest>,
    ) -> Result<Response<v1::GetTelemetryResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn list_telemetry(
        &self,
        _: Request<v1::ListTelemetryRequest>,
    ) -> Result<Response<v1::ListTelemetryResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn watch_telemetry(
        &self,
        _: Request<v1::WatchTelemetryRequest>,
    ) -> Result<Response<Self::WatchTelemetryStream>, Status> {
        Err(Status::unimplemented("not asked"))
    }
}

/// The control plane, as long as it is held.
pub(crate) struct Plane {
    pub(crate) address: SocketAddr,
    content: watch::Sender<Snapshot>,
    share: watch::Sender<Option<Vec<RpcId>>>,
    reports: watch::Receiver<Vec<v1::RpcSample>>,
    left: watch::Receiver<bool>,
    server: JoinHandle<()>,
}

impl Plane {
    /// With a network of chain 1337, and the share of everything.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (content, contents) = watch::channel(Snapshot::empty(Lineage([7; 16])));
        let (share, shares) = watch::channel(None);
        let (reports, reported) = watch::channel(Vec::new());
        let (left, leaving) = watch::channel(false);
        let script = Script {
            content: contents,
            share: shares,
            reports,
            left,
        };
        let server = Server::builder()
            .add_service(discovery::DiscoveryServiceServer::new(script.clone()))
            .add_service(coordination::CoordinationServiceServer::new(script.clone()))
            .add_service(telemetry::TelemetryServiceServer::new(script));
        let server = tokio::spawn(async move {
            server
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
                .unwrap();
        });
        let plane = Self {
            address,
            content,
            share,
            reports: reported,
            left: leaving,
            server,
        };
        plane.put(Resource::Network(Network {
            name: "eth".parse().unwrap(),
            blockchain: "ethereum".parse().unwrap(),
            chain_id: ChainId::try_from(1337).unwrap(),
        }));
        plane
    }

    fn put(&self, resource: Resource) {
        self.change(Operation::Upsert {
            resource,
            expectation: Expectation::Any,
            etag: None,
        });
    }

    fn change(&self, operation: Operation) {
        let change_set = ChangeSet {
            operations: vec![operation],
            ..ChangeSet::default()
        };
        self.content.send_modify(|snapshot| {
            let applied = apply(snapshot, &change_set, &Policy::default(), UnixMillis(0)).unwrap();
            *snapshot = applied.snapshot;
        });
    }

    /// Adds an rpc at `url`, and deals it out.
    pub(crate) fn rpc(&self, number: u32, url: &str, collectors: &[Collector]) -> RpcId {
        let rpc = rpc(number, url, collectors);
        let id = rpc.id;
        self.put(Resource::Rpc(rpc));
        self.share.send_modify(|share| {
            let share = share.get_or_insert_default();
            if !share.contains(&id) {
                share.push(id);
            }
        });
        id
    }

    pub(crate) fn node(&self, number: u32, node: &SimNode, collectors: &[Collector]) -> RpcId {
        self.rpc(number, &node.url(), collectors)
    }

    pub(crate) fn delete(&self, id: RpcId) {
        self.change(Operation::Delete {
            key: id.key(),
            etag: None,
            cascade: true,
        });
    }

    pub(crate) fn share(&self, rpcs: &[RpcId]) {
        self.share.send_replace(Some(rpcs.to_vec()));
    }

    /// The report of an rpc, once `holds` does.
    pub(crate) async fn reported(
        &mut self,
        id: RpcId,
        holds: impl Fn(&v1::RpcSample) -> bool,
    ) -> v1::RpcSample {
        let id = id.to_string();
        let of =
            |reports: &Vec<v1::RpcSample>| reports.iter().find(|it| it.rpc_id == id && holds(it)).cloned();
        let seen = timeout(LIMIT, self.reports.wait_for(|reports| of(reports).is_some())).await;
        of(&seen.expect("it is reported in time").unwrap()).unwrap()
    }

    /// Until the exporter says that it leaves.
    pub(crate) async fn farewell(&mut self) {
        timeout(LIMIT, self.left.wait_for(|left| *left))
            .await
            .unwrap()
            .unwrap();
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn rpc(number: u32, url: &str, collectors: &[Collector]) -> Rpc {
    Rpc {
        id: format!("00000000-0000-4000-8000-{number:012}").parse().unwrap(),
        network: "eth".parse().unwrap(),
        provider: "own".parse().unwrap(),
        visibility: Visibility::Private,
        url: url.parse().unwrap(),
        collectors: collectors.to_vec(),
        methods: None,
        prices: None,
    }
}

/// A running exporter.
pub(crate) struct Exporter {
    admin: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ExporterError>>,
}

pub(crate) fn config(arguments: &[&str]) -> ExporterConfig {
    let command = ExporterConfig::augment_args(clap::Command::new("exporter"));
    let matches = command.try_get_matches_from([&["exporter"], arguments].concat());
    ExporterConfig::from_arg_matches(&matches.unwrap()).unwrap()
}

impl Exporter {
    /// Measures every 100 ms, with calls of at most 300 ms.
    pub(crate) async fn start(plane: SocketAddr, data: Option<&TempDir>, more: &[&str]) -> Self {
        let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = admin.local_addr().unwrap();
        let url = format!("http://{plane}");
        let arguments = [
            "--control-plane",
            &url,
            "--interval-ms",
            "100",
            "--timeout-ms",
            "300",
            "--calls-per-minute",
            "6000",
            "--membership-timeout-ms",
            "1000",
        ];
        let mut config = config(&[&arguments, more].concat());
        config.data_dir = data.map(|data| data.path().to_owned());
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(config, Listeners { admin }, stop.clone()));
        Self {
            admin: address,
            stop,
            task,
        }
    }

    pub(crate) async fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        timeout(LIMIT, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        answer
    }

    /// The metrics, once `holds` does.
    pub(crate) async fn until(&self, holds: impl Fn(&str) -> bool) -> String {
        let limit = Instant::now() + LIMIT;
        loop {
            let metrics = self.metrics().await;
            if holds(&metrics) {
                return metrics;
            }
            assert!(Instant::now() < limit, "{metrics}");
            tokio::task::yield_now().await;
        }
    }

    /// Stops it and sees that it ends by itself.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(self) {
        self.task.abort();
    }
}

/// The value of a series of an rpc, if there is one.
pub(crate) fn value(metrics: &str, metric: &str, id: RpcId) -> Option<f64> {
    let (name, id) = (format!("{metric}{{"), format!("rpc_uuid=\"{id}\""));
    let line = metrics
        .lines()
        .find(|line| line.starts_with(&name) && line.contains(&id))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Shares a node between tests' closures.
pub(crate) async fn node() -> Arc<SimNode> {
    Arc::new(
        SimNode::start(tyrscale_simnode::SimNodeConfig::named("n"))
            .await
            .unwrap(),
    )
}
