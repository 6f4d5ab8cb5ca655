//! An etcd of this test, control planes over it, and subscribers.

use std::{
    fs::Permissions,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use clap::Parser;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tyrscale_client::{
    ClientTls, ControlPlane, Credentials, NodeIdentity, NodeRole, SubscriptionConfig, SubscriptionStatus,
    Timing, Update,
};
use tyrscale_control_plane::{
    ControlPlaneConfig, ControlPlaneError, Listeners, run,
    store_command::{StoreReport, StoreVerb},
};
use tyrscale_model::{Network, Operation, Resource, View, wire};
use tyrscale_proto::v1::{self, status_service_client::StatusServiceClient};

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Etcd {
    child: Child,
    pub(crate) endpoint: String,
    /// The master key of secrets, which all control planes need.
    pub(crate) key: PathBuf,
    _data: TempDir,
}

impl Etcd {
    pub(crate) async fn start() -> Self {
        let data = TempDir::new().unwrap();
        let key = data.path().join("master.key");
        std::fs::write(&key, "5a".repeat(32)).unwrap();
        std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        let (client, peer) = (free_address().await, free_address().await);
        let (endpoint, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let child = Command::new("etcd")
            .args(["--data-dir", data.path().join("etcd").to_str().unwrap()])
            .args([
                "--listen-client-urls",
                &endpoint,
                "--advertise-client-urls",
                &endpoint,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd must be installed");
        Self {
            child,
            endpoint,
            key,
            _data: data,
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: ControlPlaneConfig,
}

#[derive(Parser)]
struct StoreCli {
    #[command(subcommand)]
    verb: StoreVerb,
}

/// `store WORDS`.
pub(crate) async fn store_command(words: &[&str]) -> StoreReport {
    store_verb(words).unwrap().run().await.unwrap()
}

/// `store WORDS`, not run yet.
pub(crate) fn store_verb(words: &[&str]) -> Result<StoreVerb, clap::Error> {
    let words = ["store"].into_iter().chain(words.iter().copied());
    Ok(StoreCli::try_parse_from(words)?.verb)
}

pub(crate) struct Replica {
    pub(crate) grpc: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ControlPlaneError>>,
    dir: TempDir,
}

impl Replica {
    pub(crate) async fn start(etcd: &Etcd) -> Self {
        Self::start_over(etcd, &etcd.endpoint).await
    }

    /// One that reaches etcd at an address of its own.
    pub(crate) async fn start_over(etcd: &Etcd, endpoint: &str) -> Self {
        let key = etcd.key.to_str().unwrap();
        let words = ["--etcd", endpoint, "--secrets-key-file", key];
        Self::start_at("127.0.0.1:0", &words).await
    }

    /// With these flags, over its own directory unless they say otherwise.
    pub(crate) async fn start_at(grpc: &str, words: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("data");
        let own = [
            "test",
            "--grpc-listen",
            grpc,
            "--rest-listen",
            "127.0.0.1:0",
            "--backup-interval-ms",
            "0",
            "--data-dir",
            data.to_str().unwrap(),
        ];
        let words = own.into_iter().chain(words.iter().copied());
        let config = Cli::try_parse_from(words).unwrap().config;
        let listeners = Listeners::bind(&config).await.unwrap();
        let grpc = listeners.grpc.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(config, listeners, stop.clone()));
        let replica = Self {
            grpc,
            stop,
            task,
            dir,
        };
        timeout(LIMIT, replica.loaded()).await.unwrap();
        replica
    }

    /// Until then it tells callers to come again.
    async fn loaded(&self) {
        let mut client = StatusServiceClient::new(self.channel().await);
        while client.list_nodes(v1::ListNodesRequest {}).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn client(&self) -> ControlPlane {
        let uri = format!("http://{}", self.grpc).parse().unwrap();
        ControlPlane::connect(&uri, &Credentials::default())
            .await
            .unwrap()
    }

    pub(crate) async fn put(&self, name: &str, chain_id: u64) -> u64 {
        self.put_by(name, chain_id, None).await
    }

    /// Puts a network, to be rolled out by a policy.
    pub(crate) async fn put_by(&self, name: &str, chain_id: u64, policy: Option<&str>) -> u64 {
        let policy = policy.map(|policy| wire::rollout_policy_to_wire(&policy.parse().unwrap()));
        let header = v1::ApplyHeader {
            rollout: policy,
            ..Default::default()
        };
        let operation = Operation::put(Resource::Network(Network {
            name: name.parse().unwrap(),
            blockchain: "ethereum".parse().unwrap(),
            chain_id: chain_id.try_into().unwrap(),
        }));
        let applied = self.client().await.apply(header, &[operation]).await;
        applied.unwrap().version.unwrap().revision
    }

    /// Puts resources.
    pub(crate) async fn apply(&self, resources: Vec<v1::resource::Resource>) {
        let operations = resources.into_iter().map(|resource| {
            Operation::put(
                wire::resource_from_wire(&v1::Resource {
                    resource: Some(resource),
                })
                .unwrap(),
            )
        });
        let operations: Vec<_> = operations.collect();
        let client = self.client().await;
        client
            .apply(v1::ApplyHeader::default(), &operations)
            .await
            .unwrap();
    }

    /// A channel to its gRPC port.
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.grpc)).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// Ends it at once: it says goodbye to nobody.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// Stops it; its data stays as long as what is returned.
    pub(crate) async fn stop(self) -> TempDir {
        self.stop.cancel();
        timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
        self.dir
    }
}

pub(crate) fn subscribe(
    id: &str,
    replicas: &[&Replica],
    stop: &CancellationToken,
) -> watch::Receiver<SubscriptionStatus> {
    subscribe_as(id, &[], replicas, stop)
}

/// Subscribes with labels.
pub(crate) fn subscribe_as(
    id: &str,
    labels: &[(&str, &str)],
    replicas: &[&Replica],
    stop: &CancellationToken,
) -> watch::Receiver<SubscriptionStatus> {
    let labels = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let endpoints = replicas
        .iter()
        .map(|replica| format!("http://{}", replica.grpc).parse().unwrap());
    let config = SubscriptionConfig {
        endpoints: endpoints.collect(),
        tls: ClientTls::default(),
        node: NodeIdentity {
            id: id.to_owned(),
            group: String::new(),
            zone: String::new(),
            role: NodeRole::Gateway,
            labels: labels.collect(),
            build: "test".to_owned(),
        },
        view: View::ALL,
        selection: tyrscale_model::Selection::default(),
        weights: false,
        last_good: None,
        timing: Timing::default(),
        max_message_bytes: 0,
    };
    let (status, seen) = watch::channel(SubscriptionStatus::default());
    tokio::spawn(tyrscale_client::subscription::run(
        config,
        |_: &Update| Ok(Vec::new()),
        status,
        stop.clone(),
    ));
    seen
}

pub(crate) async fn runs(status: &mut watch::Receiver<SubscriptionStatus>, revision: u64) {
    let reached = status.wait_for(|status| {
        status
            .running
            .is_some_and(|version| version.revision.0 == revision)
    });
    timeout(LIMIT, reached).await.unwrap().unwrap();
}
