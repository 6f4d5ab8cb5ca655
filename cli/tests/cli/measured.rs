//! What is measured: in the demo, and by several exporters over one control plane.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::{Args, Command, FromArgMatches};
use http::Uri;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tyrscale_client::{ControlPlane, Credentials};
use tyrscale_control_plane::ControlPlaneConfig;
use tyrscale_exporter::{ExporterConfig, Listeners};
use tyrscale_model::{Collector, Network, Operation, Resource, Rpc, UpstreamHeaders, Visibility};
use tyrscale_proto::v1;
use tyrscale_simnode::{SimNode, SimNodeConfig};

use crate::harness::{System, eventually};

const RPCS: usize = 1_000;
const NODES: usize = 10;
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn the_demo_is_measured_and_shown() {
    let data_dir = TempDir::new().unwrap();
    let system = System::start(&data_dir, &["--demo"]);
    let seen = eventually("telemetry of the demo", || {
        let seen = system.json(&["telemetry"]);
        let rpcs = seen["rpcs"].as_array()?;
        let is_whole = rpcs.len() == 3
            && rpcs
                .iter()
                .all(|rpc| rpc["height"].is_u64() && rpc["healthy"] == true);
        let upstreams = seen["upstreams"].as_array()?;
        let served: u64 = upstreams
            .iter()
            .filter_map(|upstream| upstream["requests"].as_u64())
            .sum();
        (is_whole && upstreams.len() == 3 && served >= 10).then_some(seen)
    });
    let network = &seen["networks"][0];
    assert_eq!(
        (network["rpcs"].as_u64(), network["healthy_rpcs"].as_u64()),
        (Some(3), Some(3))
    );
    assert!(seen["upstreams"][0]["p95_ms"].is_f64(), "{seen}");
    let live = system.json(&["top", "--count", "1", "--interval", "1s", "--kind", "upstream"]);
    assert_eq!(live["upstreams"].as_array().unwrap().len(), 3);
    assert!(live["upstreams"][0]["per_second"].is_f64(), "{live}");
    assert_eq!(system.stop(), 0);
}

fn parsed<T: Args + FromArgMatches>(words: &[&str]) -> T {
    let command = T::augment_args(Command::new("test").no_binary_name(true));
    T::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
}

async fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An exporter of its own in this process.
struct Exporter {
    admin: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Exporter {
    async fn start(name: &str, control_plane: &str) -> Self {
        let (admin, address) = bound().await;
        let words = [
            "--control-plane",
            control_plane,
            "--node-id",
            name,
            "--interval-ms",
            "500",
        ];
        let more = ["--membership-timeout-ms", "2000", "--calls-per-minute", "600"];
        let config: ExporterConfig = parsed(&[&words[..], &more].concat());
        let stop = CancellationToken::new();
        let running = tyrscale_exporter::run(config, Listeners { admin }, stop.clone());
        let task = tokio::spawn(async move { Box::pin(running).await.unwrap() });
        Self {
            admin: address,
            stop,
            task,
        }
    }

    /// The rpcs that it has a height of.
    async fn measured(&self) -> BTreeSet<String> {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let heights = answer
            .lines()
            .filter(|line| line.starts_with("tyrscale_rpc_block_height{"));
        let id = |line: &str| Some(line.split("rpc_uuid=\"").nth(1)?.split('"').next()?.to_owned());
        heights.filter_map(id).collect()
    }
}

/// What each of them measures, once all together measure each rpc exactly once.
async fn settled(exporters: &[&Exporter]) -> Vec<BTreeSet<String>> {
    let limit = Instant::now() + LIMIT;
    loop {
        let mut shares = Vec::new();
        for exporter in exporters {
            shares.push(exporter.measured().await);
        }
        let mut times: BTreeMap<&String, usize> = BTreeMap::new();
        shares
            .iter()
            .flatten()
            .for_each(|id| *times.entry(id).or_default() += 1);
        let doubles = times.values().filter(|times| **times > 1).count();
        if (times.len(), doubles) == (RPCS, 0) {
            return shares;
        }
        assert!(
            Instant::now() < limit,
            "{} measured, {doubles} twice",
            times.len()
        );
        tokio::task::yield_now().await;
    }
}

fn resources(nodes: &[SimNode]) -> Vec<Operation> {
    let network = Resource::Network(Network {
        name: "eth".parse().unwrap(),
        blockchain: "ethereum".parse().unwrap(),
        chain_id: 1337.try_into().unwrap(),
    });
    let rpc = |number: usize| {
        Resource::Rpc(Rpc {
            id: format!("00000000-0000-4000-8000-{number:012}").parse().unwrap(),
            network: "eth".parse().unwrap(),
            provider: "own".parse().unwrap(),
            visibility: Visibility::Private,
            url: format!("{}/{number}", nodes[number % NODES].url())
                .parse()
                .unwrap(),
            collectors: vec![Collector::EthBlockNumber],
            methods: None,
            prices: None,
            egress_proxy: None,
            headers: UpstreamHeaders::default(),
        })
    };
    let all = std::iter::once(network).chain((0..RPCS).map(rpc));
    all.map(Operation::put).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_exporters_share_a_thousand_rpcs_and_take_over_from_one_that_dies() {
    let data = TempDir::new().unwrap();
    let directory = data.path().join("store");
    let config: ControlPlaneConfig = parsed(&["--data-dir", directory.to_str().unwrap()]);
    let ((grpc, address), (rest, _)) = (bound().await, bound().await);
    let listeners = tyrscale_control_plane::Listeners {
        grpc,
        rest,
        admin: None,
    };
    let stop = CancellationToken::new();
    let plane = tokio::spawn(tyrscale_control_plane::run(config, listeners, stop.clone()));
    let url = format!("http://{address}");
    let uri: Uri = url.parse().unwrap();
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(SimNode::start(SimNodeConfig::default()).await.unwrap());
    }
    let client = ControlPlane::connect(&uri, &Credentials::default())
        .await
        .unwrap();
    client
        .apply(v1::ApplyHeader::default(), &resources(&nodes))
        .await
        .unwrap();

    let one = Exporter::start("one", &url).await;
    let two = Exporter::start("two", &url).await;
    let three = Exporter::start("three", &url).await;
    let before = settled(&[&one, &two, &three]).await;
    for share in &before {
        assert!((RPCS / 4..RPCS / 2).contains(&share.len()), "{}", share.len());
    }
    // A crash: nobody is told.
    three.task.abort();
    let died = Instant::now();
    let after = settled(&[&one, &two]).await;
    let gap = died.elapsed();
    assert!(gap < Duration::from_secs(10), "{gap:?}");
    assert!(
        before[0].is_subset(&after[0]) && before[1].is_subset(&after[1]),
        "only its share moves"
    );
    // One that stops says so; the last takes all.
    two.stop.cancel();
    let all = settled(&[&one]).await;
    assert_eq!(all[0].len(), RPCS);
    one.stop.cancel();
    one.task.await.unwrap();
    stop.cancel();
    plane.await.unwrap().unwrap();
}
