//! A scripted control plane: pushes one content, deals out one share, keeps the reports.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};
use tyrscale_model::{
    ChainId, ChangeSet, Collector, Kind, Lineage, Network, Operation, Policy, Resource, Row, Rpc, RpcId,
    Secret, Snapshot, UnixMillis, UpstreamHeaders, View, Visibility, apply, wire,
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
    /// The revision that is on the exporter's disk.
    kept: watch::Sender<u64>,
}

#[tonic::async_trait]
impl discovery::DiscoveryService for Script {
    type StreamConfigStream = Answers<v1::StreamConfigResponse>;

    async fn stream_config(
        &self,
        request: Request<Streaming<v1::StreamConfigRequest>>,
    ) -> Result<Response<Self::StreamConfigStream>, Status> {
        let (outbox, answers) = mpsc::channel(4);
        let (mut content, kept, mut inbox) = (self.content.clone(), self.kept.clone(), request.into_inner());
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
                            said = inbox.message() => match said {
                                Ok(Some(said)) => drop(kept.send_replace(kept_of(&said))),
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
}

/// The revision that an acknowledgement says is on disk; 0 when it says nothing of the kind.
fn kept_of(said: &v1::StreamConfigRequest) -> u64 {
    match &said.message {
        Some(v1::stream_config_request::Message::Ack(ack)) if ack.persisted => {
            ack.running.as_ref().map_or(0, |running| running.revision)
        }
        _ => 0,
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
    let rows = content.iter().map(|(_, entry)| Row::of(entry));
    Message::Chunk(v1::UpdateChunk {
        target: Some(wire::version_to_wire(&content.version(View::of(&[
            Kind::Network,
            Kind::Secret,
            Kind::Rpc,
        ])))),
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
    kept: watch::Receiver<u64>,
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
        let (kept, keeping) = watch::channel(0);
        let script = Script {
            content: contents,
            share: shares,
            reports,
            left,
            kept,
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
            kept: keeping,
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
        self.change(Operation::put(resource));
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

    /// Sets a secret.
    pub(crate) fn secret(&self, name: &str, value: &str) {
        self.put(Resource::Secret(Secret {
            name: name.parse().unwrap(),
            sealed: value.bytes().map(|byte| byte ^ 0x55).collect::<Vec<_>>().into(),
            fingerprint: String::new(),
            value: Some(value.parse().unwrap()),
        }));
    }

    /// Adds an rpc behind a proxy, and deals it out.
    pub(crate) fn proxied(&self, number: u32, node: &SimNode, proxy: &str) -> RpcId {
        let id = self.node(number, node, &[Collector::EthBlockNumber]);
        self.put(Resource::Rpc(Rpc {
            egress_proxy: Some(proxy.parse().unwrap()),
            ..rpc(number, &node.url(), &[Collector::EthBlockNumber])
        }));
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

    /// The revision that the exporter has on its disk, as it says.
    pub(crate) fn newest_kept(&self) -> u64 {
        *self.kept.borrow()
    }

    /// Until the exporter says that it has a newer revision on its disk.
    pub(crate) async fn kept_beyond(&self, revision: u64) {
        let mut kept = self.kept.clone();
        let newer = timeout(LIMIT, kept.wait_for(|kept| *kept > revision)).await;
        newer.unwrap().unwrap();
    }

    /// The rpcs that are dealt out, in the order they came.
    pub(crate) fn rpcs(&self) -> Vec<RpcId> {
        self.share.borrow().clone().unwrap_or_default()
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
        egress_proxy: None,
        headers: UpstreamHeaders::default(),
    }
}
