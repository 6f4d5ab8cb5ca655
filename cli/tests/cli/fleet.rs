//! Two gateways and one control plane.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Args, Command, FromArgMatches};
use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tyrscale_control_plane::{ControlPlaneConfig, ControlPlaneError};
use tyrscale_gateway::GatewayError;
use tyrscale_simnode::{SimNode, SimNodeConfig};

use crate::harness::{Answer, Ended, ask, eventually, tyrctl, tyrctl_fed};

pub(crate) const ROUTE: &str = "22222222-2222-4222-8222-222222222222";
const UPSTREAM: &str = "33333333-3333-4333-8333-333333333333";

pub(crate) struct ControlPlane {
    pub(crate) grpc: SocketAddr,
    admin: SocketAddr,
    data_dir: PathBuf,
    task: JoinHandle<Result<(), ControlPlaneError>>,
}

pub(crate) fn defaults<T: Args + FromArgMatches>() -> T {
    let command = T::augment_args(Command::new("test").no_binary_name(true));
    let matches = command.try_get_matches_from(std::iter::empty::<&str>()).unwrap();
    T::from_arg_matches(&matches).unwrap()
}

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

impl ControlPlane {
    pub(crate) async fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, false).await
    }

    async fn start_with(data_dir: &Path, take_over: bool) -> Self {
        let ((grpc_listener, grpc), (rest, _), (admin_listener, admin)) =
            (bind().await, bind().await, bind().await);
        let config = ControlPlaneConfig {
            data_dir: data_dir.to_owned(),
            take_over,
            ..defaults()
        };
        let listeners = tyrscale_control_plane::Listeners {
            grpc: grpc_listener,
            rest,
            admin: Some(admin_listener),
        };
        let run = tyrscale_control_plane::run(config, listeners, CancellationToken::new());
        Self {
            grpc,
            admin,
            data_dir: data_dir.to_owned(),
            task: tokio::spawn(run),
        }
    }

    pub(crate) fn tyrctl(&self, words: &[&str]) -> Ended {
        tyrctl(
            &[
                &["-o", "json", "--server", &format!("http://{}", self.grpc)],
                words,
            ]
            .concat(),
        )
    }

    pub(crate) fn apply(&self, resources: &serde_json::Value) -> Ended {
        let server = format!("http://{}", self.grpc);
        tyrctl_fed(&["--server", &server, "apply", "-f", "-"], &resources.to_string())
    }

    /// Waits until `gateways` of them are connected and all run the newest revision.
    pub(crate) fn settle(&self, gateways: usize) {
        eventually("the gateways", || {
            let ended = self.tyrctl(&["status", "--wait"]);
            assert_eq!(ended.code, 0, "{ended:?}");
            let status = ended.json();
            let nodes = status["nodes"].as_array().unwrap();
            let synced = nodes.iter().filter(|node| node["state"] == "synced");
            (synced.count() == gateways).then_some(())
        });
    }

    /// How many updates of this form were sent.
    pub(crate) async fn sent(&self, form: &str) -> f64 {
        let metrics = get(self.admin, "/metrics").await;
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("tyrscale_discovery_updates_total{"));
        let own = lines.filter(|line| line.contains(&format!("\"{form}\"")));
        own.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
        // Comes once the store is let go of, so that the next one can open it.
        let database = File::open(self.data_dir.join("db")).unwrap();
        tokio::task::spawn_blocking(move || database.lock())
            .await
            .unwrap()
            .unwrap();
    }
}

async fn get(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

pub(crate) struct Gateway {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), GatewayError>>,
}

impl Gateway {
    pub(crate) async fn start(data_dir: &Path, control_plane: SocketAddr) -> Self {
        Self::selecting(data_dir, control_plane, &[]).await
    }

    /// One that serves the routes with these labels alone.
    pub(crate) async fn selecting(
        data_dir: &Path,
        control_plane: SocketAddr,
        labels: &[(&str, &str)],
    ) -> Self {
        let ((data, address), (admin, _)) = (bind().await, bind().await);
        let labels = labels.iter();
        let args = tyrscale_gateway::Args {
            control_planes: vec![format!("http://{control_plane}").parse().unwrap()],
            data_dir: data_dir.to_owned(),
            select_labels: labels
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..defaults()
        };
        let config = tyrscale_gateway::Config::try_from(args).unwrap();
        let stop = CancellationToken::new();
        let listeners = tyrscale_gateway::Listeners {
            data,
            tls: None,
            admin,
        };
        let task = tokio::spawn(tyrscale_gateway::run(config, listeners, stop.clone()));
        Self { address, stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    pub(crate) fn ask(&self) -> Answer {
        ask(self.address, "a.example", "/eth")
    }

    #[track_caller]
    pub(crate) fn serves_from(&self, node: &str) {
        let expected = Answer {
            status: 200,
            node: Some(node.to_owned()),
        };
        assert_eq!(self.ask(), expected);
    }
}

/// The route and its one upstream, at `node`.
pub(crate) fn resources(node: &SimNode) -> serde_json::Value {
    json!([
        {"kind": "route", "id": ROUTE, "host": "a.example", "path": "/eth", "load_balancer": "weight-round-robin"},
        {"kind": "upstream", "id": UPSTREAM, "route_id": ROUTE, "weight": 50,
         "address": {"scheme": "http", "host": "127.0.0.1", "port": node.addr().port(), "path": "/"}},
    ])
}

/// Compatibility case 167. Scenarios N11, 118.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_reach_both_gateways_and_both_outlive_the_control_plane() {
    let (store, first_dir, second_dir) = (
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
    );
    let (old, new) = (
        SimNode::start(SimNodeConfig::named("old")).await.unwrap(),
        SimNode::start(SimNodeConfig::named("new")).await.unwrap(),
    );
    let control_plane = ControlPlane::start(store.path()).await;
    let first = Gateway::start(first_dir.path(), control_plane.grpc).await;
    let second = Gateway::start(second_dir.path(), control_plane.grpc).await;

    // Every change reaches both.
    assert_eq!(control_plane.apply(&resources(&old)).code, 0);
    control_plane.settle(2);
    first.serves_from("old");
    second.serves_from("old");

    // A gateway that was away gets only the difference.
    second.stop().await;
    assert_eq!(control_plane.apply(&resources(&new)).code, 0);
    control_plane.settle(1);
    let (snapshots, deltas) = (
        control_plane.sent("snapshot").await,
        control_plane.sent("delta").await,
    );
    let second = Gateway::start(second_dir.path(), control_plane.grpc).await;
    control_plane.settle(2);
    first.serves_from("new");
    second.serves_from("new");
    let sent = (
        control_plane.sent("snapshot").await - snapshots,
        control_plane.sent("delta").await - deltas,
    );
    assert_eq!(
        sent,
        (0.0, 1.0),
        "snapshots and deltas sent to the gateway that came back"
    );

    // An invalid resource is refused by name, and the old configuration serves on.
    let refused = control_plane.tyrctl(&["upstream", "update", UPSTREAM, "--weight", "101"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.talk.contains(&format!("upstream/{UPSTREAM}: weight")),
        "{refused:?}"
    );
    first.serves_from("new");
    second.serves_from("new");

    // Without the control plane both serve, restart, and serve again from disk.
    let grpc = control_plane.grpc;
    control_plane.kill().await;
    first.serves_from("new");
    second.serves_from("new");
    first.stop().await;
    second.stop().await;
    for dir in [&first_dir, &second_dir] {
        let gateway = Gateway::start(dir.path(), grpc).await;
        eventually("the last good content", || {
            (gateway.ask().status == 200).then_some(())
        });
        gateway.serves_from("new");
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_made_anew_takes_nothing_away_until_told_to_take_over() {
    let (lost, anew, gateway_dir) = (
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
    );
    let node = SimNode::start(SimNodeConfig::named("kept")).await.unwrap();
    let control_plane = ControlPlane::start(lost.path()).await;
    let gateway = Gateway::start(gateway_dir.path(), control_plane.grpc).await;
    assert_eq!(control_plane.apply(&resources(&node)).code, 0);
    control_plane.settle(1);
    gateway.stop().await;
    control_plane.kill().await;

    let network = json!([{"kind": "network", "name": "eth", "blockchain": "ethereum", "chain_id": 1}]);
    let control_plane = ControlPlane::start(anew.path()).await;
    assert_eq!(control_plane.apply(&network).code, 0);
    let gateway = Gateway::start(gateway_dir.path(), control_plane.grpc).await;
    eventually("the gateway to be held", || {
        let status = control_plane.tyrctl(&["status"]).json();
        (status["nodes"][0]["state"] == "held").then_some(())
    });
    gateway.serves_from("kept");
    gateway.stop().await;
    control_plane.kill().await;

    let control_plane = ControlPlane::start_with(anew.path(), true).await;
    let gateway = Gateway::start(gateway_dir.path(), control_plane.grpc).await;
    control_plane.settle(1);
    assert_eq!(gateway.ask().status, 404);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recommended_weights_steer_a_gateway_until_they_end_or_an_operator_speaks() {
    const OTHER: &str = "44444444-4444-4444-8444-444444444444";
    let (store, gateway_dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (one, two) = (
        SimNode::start(SimNodeConfig::named("one")).await.unwrap(),
        SimNode::start(SimNodeConfig::named("two")).await.unwrap(),
    );
    let upstream = |id: &str, node: &SimNode, weight: u32| {
        json!({"kind": "upstream", "id": id, "route_id": ROUTE, "weight": weight,
            "address": {"scheme": "http", "host": "127.0.0.1", "port": node.addr().port(), "path": "/"}})
    };
    let control_plane = ControlPlane::start(store.path()).await;
    let gateway = Gateway::start(gateway_dir.path(), control_plane.grpc).await;
    let resources = json!([
        {"kind": "route", "id": ROUTE, "host": "a.example", "path": "/eth", "load_balancer": "failover-priority"},
        upstream(UPSTREAM, &one, 50), upstream(OTHER, &two, 40),
    ]);
    assert_eq!(control_plane.apply(&resources).code, 0);
    control_plane.settle(1);
    gateway.serves_from("one");
    let serves = |node: &str| {
        eventually(node, || {
            (gateway.ask().node.as_deref() == Some(node)).then_some(())
        });
    };
    let set = |weight: &str, ttl: &str| {
        let ended = control_plane.tyrctl(&["weights", "set", ROUTE, weight, "--ttl", ttl]);
        assert_eq!(ended.code, 0, "{ended:?}");
    };

    // It counts, and is shown.
    set(&format!("{OTHER}=80"), "10m");
    serves("two");
    let listed = control_plane.tyrctl(&["weights", "list", ROUTE]).json();
    let row = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["upstream"] == OTHER)
        .unwrap();
    assert_eq!(
        (&row["operator"], &row["effective"]),
        (&json!(40.0), &json!(80.0))
    );
    assert_eq!(row["standing"], "recommended");
    let status = control_plane.tyrctl(&["status"]).json();
    assert_eq!(status["nodes"][0]["weights"]["state"], "synced");

    // The control plane goes; the gateway's own clock ends what it was told, also after a restart.
    let cleared = control_plane.tyrctl(&["weights", "clear", ROUTE]).json();
    assert_eq!(cleared["cleared"], 1);
    serves("one");

    // An operator who drains is obeyed at once, whatever is recommended.
    let drained = control_plane.tyrctl(&["upstream", "update", UPSTREAM, "--weight", "0"]);
    assert_eq!(drained.code, 0, "{drained:?}");
    serves("two");
    gateway.stop().await;
}
