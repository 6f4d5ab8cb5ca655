//! A control plane in this process, and documents for it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::Channel};
use tyrscale_control_plane::{
    AccessArgs, BackupArgs, ControlPlaneConfig, ControlPlaneError, Listeners, SecretsArgs, WeightRails, run,
};
use tyrscale_model::RolloutPolicy;
use tyrscale_proto::v1::{self, apply_request::Part, resource::Resource as Wire};

/// The longest any awaited event may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Plane {
    pub(crate) channel: Channel,
    pub(crate) grpc: SocketAddr,
    pub(crate) rest: SocketAddr,
    pub(crate) admin: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ControlPlaneError>>,
    dir: TempDir,
}

pub(crate) fn config(dir: &TempDir) -> ControlPlaneConfig {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    ControlPlaneConfig {
        grpc_listen: any,
        rest_listen: any,
        admin_listen: Some(any),
        data_dir: dir.path().join("store"),
        history: 1000,
        history_days: 0,
        heartbeat_ms: 40,
        ack_deadline_ms: 10_000,
        take_over: false,
        rollout: RolloutPolicy::at_once(),
        backups: BackupArgs {
            backup_interval_ms: 0,
            ..BackupArgs::default()
        },
        access: AccessArgs::default(),
        stream_age_ms: 86_400_000,
        snapshot_room: 256 * 1024 * 1024,
        hello_deadline_ms: 1500,
        #[cfg(feature = "etcd")]
        etcd: tyrscale_control_plane::EtcdArgs::default(),
        secrets: SecretsArgs::default(),
        telemetry_interval_ms: 200,
        weights: WeightRails::default(),
    }
}

impl Plane {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut ControlPlaneConfig)) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = config(&dir);
        change(&mut config);
        Self::over(dir, config).await
    }

    /// Stops it and starts another one over the same store, with the defaults of these tests.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// The same with some of it changed.
    pub(crate) async fn restart_with(self, change: impl FnOnce(&mut ControlPlaneConfig)) -> Self {
        self.stop.cancel();
        timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
        let mut config = config(&self.dir);
        change(&mut config);
        Self::over(self.dir, config).await
    }

    /// Stops it and sees why no other one starts over its store after `damage`.
    pub(crate) async fn fails_to_restart(self, damage: impl FnOnce(&Path)) -> ControlPlaneError {
        self.stop.cancel();
        timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
        let config = config(&self.dir);
        damage(&config.data_dir);
        let listeners = Listeners::bind(&config).await.unwrap();
        let running = run(config, listeners, CancellationToken::new());
        timeout(LIMIT, running).await.unwrap().unwrap_err()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        config(&self.dir).data_dir
    }

    async fn over(dir: TempDir, config: ControlPlaneConfig) -> Self {
        let listeners = Listeners::bind(&config).await.unwrap();
        let address = |listener: &TcpListener| listener.local_addr().unwrap();
        let (grpc, rest) = (address(&listeners.grpc), address(&listeners.rest));
        let admin = address(listeners.admin.as_ref().unwrap());
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(config, listeners, stop.clone()));
        Self {
            channel: connect(grpc).await,
            grpc,
            rest,
            admin,
            stop,
            task,
            dir,
        }
    }

    /// Stops it and sees that it ends by itself.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
        drop(self.dir);
    }

    pub(crate) async fn apply(&self, parts: Vec<Part>) -> Result<v1::ApplyResponse, Status> {
        let count = u32::try_from(parts.len()).unwrap();
        let mut all = vec![Part::Header(v1::ApplyHeader::default())];
        all.extend(parts);
        all.push(Part::Commit(v1::ApplyCommit { count }));
        apply_parts(&self.channel, all).await
    }

    /// Puts resources and gives the version that holds them.
    pub(crate) async fn put(&self, resources: Vec<Wire>) -> v1::Version {
        let parts = resources.into_iter().map(upsert).collect();
        self.apply(parts).await.unwrap().version.unwrap()
    }

    /// Puts one network, so that every call makes one revision.
    pub(crate) async fn put_network(&self, name: &str, chain_id: u64) -> v1::Version {
        self.put(vec![network(name, chain_id)]).await
    }

    pub(crate) async fn delete_network(&self, name: &str) -> v1::Version {
        let deletion = deletion(v1::Kind::Network, name);
        self.apply(vec![deletion]).await.unwrap().version.unwrap()
    }

    pub(crate) async fn metrics(&self) -> String {
        get(self.admin, "/metrics").await
    }
}

/// A plain HTTP GET.
pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(LIMIT, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer
}

pub(crate) async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    timeout(LIMIT, endpoint.connect()).await.unwrap().unwrap()
}

pub(crate) async fn apply_parts(channel: &Channel, parts: Vec<Part>) -> Result<v1::ApplyResponse, Status> {
    let mut client = v1::configuration_service_client::ConfigurationServiceClient::new(channel.clone())
        .max_decoding_message_size(64 * 1024 * 1024);
    let requests = parts
        .into_iter()
        .map(|part| v1::ApplyRequest { part: Some(part) });
    let answer = client.apply(tokio_stream::iter(requests.collect::<Vec<_>>()));
    let answer = timeout(Duration::from_secs(60), answer).await.unwrap();
    answer.map(tonic::Response::into_inner)
}

pub(crate) fn upsert(resource: Wire) -> Part {
    Part::Upsert(v1::ApplyUpsert {
        resource: Some(v1::Resource {
            resource: Some(resource),
        }),
        expectation: v1::Expectation::Unspecified.into(),
    })
}

pub(crate) fn deletion(kind: v1::Kind, id: &str) -> Part {
    Part::Deletion(v1::ApplyDeletion {
        resource: Some(v1::ResourceRef {
            kind: kind.into(),
            id: id.to_owned(),
        }),
        ..Default::default()
    })
}

pub(crate) fn network(name: &str, chain_id: u64) -> Wire {
    Wire::Network(v1::Network {
        name: name.to_owned(),
        blockchain: "evm".to_owned(),
        chain_id,
        meta: None,
    })
}

/// A UUID of a number.
pub(crate) fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

pub(crate) fn rpc(number: usize, network: &str) -> v1::Rpc {
    v1::Rpc {
        id: id(number),
        network: network.to_owned(),
        provider: "own".to_owned(),
        visibility: v1::Visibility::Private.into(),
        url: format!("https://node-{number}.example/v2/abcdefghijklmnopqrstuvwxyz{number:06}"),
        collectors: vec![v1::Collector::EthBlockNumber.into()],
        ..Default::default()
    }
}

pub(crate) fn route(number: usize) -> v1::Route {
    v1::Route {
        id: id(number),
        host: format!("route-{number}.example"),
        path: "/".to_owned(),
        load_balancer: v1::LoadBalancer::WeightRoundRobin.into(),
        ..Default::default()
    }
}

pub(crate) fn upstream(number: usize, route: usize, weight: f64) -> v1::Upstream {
    v1::Upstream {
        id: id(number),
        route_id: id(route),
        target: Some(v1::upstream::Target::Address(v1::Address {
            scheme: "https".to_owned(),
            host: format!("up-{number}.example"),
            port: 443,
            path: "/".to_owned(),
        })),
        weight,
        ..Default::default()
    }
}

/// A channel whose windows hold little, so that a subscriber that does not read holds up its stream.
pub(crate) async fn narrow(plane: &Plane) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", plane.grpc)).unwrap();
    let endpoint = endpoint
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535);
    timeout(LIMIT, endpoint.connect()).await.unwrap().unwrap()
}

/// Routes that take some room.
pub(crate) fn routes(count: usize, path: &str) -> Vec<Wire> {
    let route = |number| v1::Route {
        path: format!("/{path}/{}", "x".repeat(200)),
        ..route(number)
    };
    (0..count).map(|number| Wire::Route(route(number))).collect()
}
