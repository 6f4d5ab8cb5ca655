//! Two control planes over one store in etcd. Needs the program `etcd` on the path.
#![cfg(test)]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use clap::Parser;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tyrscale_client::{
    ClientTls, ControlPlane, Credentials, NodeIdentity, NodeRole, SubscriptionConfig, SubscriptionStatus,
    Timing, Update,
};
use tyrscale_control_plane::{ControlPlaneConfig, ControlPlaneError, Listeners, run};
use tyrscale_model::{Expectation, Network, Operation, Resource, View};
use tyrscale_proto::v1;

const LIMIT: Duration = Duration::from_secs(30);

struct Etcd {
    child: Child,
    endpoint: String,
    _data: TempDir,
}

impl Etcd {
    async fn start() -> Self {
        let data = TempDir::new().unwrap();
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

async fn free_address() -> SocketAddr {
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

struct Replica {
    grpc: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ControlPlaneError>>,
    _dir: TempDir,
}

impl Replica {
    async fn start(etcd: &Etcd) -> Self {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("data");
        let words = [
            "test",
            "--etcd",
            &etcd.endpoint,
            "--data-dir",
            data.to_str().unwrap(),
        ];
        let words = words
            .into_iter()
            .chain(["--grpc-listen", "127.0.0.1:0", "--rest-listen", "127.0.0.1:0"]);
        let config = Cli::try_parse_from(words).unwrap().config;
        let listeners = Listeners::bind(&config).await.unwrap();
        let grpc = listeners.grpc.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(config, listeners, stop.clone()));
        Self {
            grpc,
            stop,
            task,
            _dir: dir,
        }
    }

    async fn client(&self) -> ControlPlane {
        let uri = format!("http://{}", self.grpc).parse().unwrap();
        ControlPlane::connect(&uri, &Credentials::default())
            .await
            .unwrap()
    }

    async fn put(&self, name: &str, chain_id: u64) -> u64 {
        let operation = Operation::Upsert {
            resource: Resource::Network(Network {
                name: name.parse().unwrap(),
                blockchain: "ethereum".parse().unwrap(),
                chain_id: chain_id.try_into().unwrap(),
            }),
            expectation: Expectation::Any,
            etag: None,
        };
        let applied = self
            .client()
            .await
            .apply(v1::ApplyHeader::default(), &[operation])
            .await;
        applied.unwrap().version.unwrap().revision
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
    }
}

fn subscribe(replicas: &[&Replica], stop: &CancellationToken) -> watch::Receiver<SubscriptionStatus> {
    let endpoints = replicas
        .iter()
        .map(|replica| format!("http://{}", replica.grpc).parse().unwrap());
    let config = SubscriptionConfig {
        endpoints: endpoints.collect(),
        tls: ClientTls::default(),
        node: NodeIdentity {
            id: "subscriber".to_owned(),
            group: String::new(),
            zone: String::new(),
            role: NodeRole::Gateway,
            labels: BTreeMap::new(),
            build: "test".to_owned(),
        },
        view: View::ALL,
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

async fn runs(status: &mut watch::Receiver<SubscriptionStatus>, revision: u64) {
    let reached = status.wait_for(|status| {
        status
            .running
            .is_some_and(|version| version.revision.0 == revision)
    });
    timeout(LIMIT, reached).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_goes_on_with_another_replica_when_its_own_ends() {
    let etcd = Etcd::start().await;
    let (one, two) = (Replica::start(&etcd).await, Replica::start(&etcd).await);
    assert_eq!(one.put("a", 1).await, 1);
    let stop = CancellationToken::new();
    let mut status = subscribe(&[&one, &two], &stop);
    runs(&mut status, 1).await;
    // What another replica commits comes over the stream of this one.
    assert_eq!(two.put("b", 2).await, 2);
    runs(&mut status, 2).await;
    one.stop().await;
    assert_eq!(two.put("c", 3).await, 3);
    runs(&mut status, 3).await;
    assert_eq!(status.borrow().updates_refused, 0);
    stop.cancel();
    two.stop().await;
}
