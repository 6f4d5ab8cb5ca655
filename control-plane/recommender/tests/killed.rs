//! The recommender as a process that dies at any moment, over a real control plane: it leaves nothing half done, and one
//! that is started goes on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use clap::{Args, FromArgMatches};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::{interval, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tyrscale_client::{ControlPlane, Credentials};
use tyrscale_control_plane::{ControlPlaneConfig, Listeners};
use tyrscale_proto::v1::{self, RunState, apply_request::Part, resource::Resource as Wire};

/// How often it dies; `KILL_ROUNDS` says otherwise. Each waits for a lease of ten seconds to end.
const ROUNDS: usize = 2;
/// Longer than any awaited event takes.
const LIMIT: Duration = Duration::from_secs(60);
const ROUTE: usize = 1;
const UPSTREAMS: [usize; 3] = [11, 12, 13];

fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

async fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A control plane in this process.
struct Plane {
    address: SocketAddr,
    client: ControlPlane,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Plane {
    async fn start(data: &TempDir) -> Self {
        let command = ControlPlaneConfig::augment_args(clap::Command::new("test").no_binary_name(true));
        let directory = data.path().join("store");
        let words = [
            "--data-dir",
            directory.to_str().unwrap(),
            "--weights-min-interval-ms=0",
            "--weights-max-step=100",
            "--telemetry-interval-ms=100",
        ];
        let config = ControlPlaneConfig::from_arg_matches(&command.try_get_matches_from(words).unwrap());
        let ((grpc, address), (rest, _)) = (bound().await, bound().await);
        let listeners = Listeners {
            grpc,
            rest,
            admin: None,
        };
        let stop = CancellationToken::new();
        let running = tyrscale_control_plane::run(config.unwrap(), listeners, stop.clone());
        let task = tokio::spawn(async move { running.await.unwrap() });
        let uri = format!("http://{address}").parse().unwrap();
        let client = ControlPlane::connect(&uri, &Credentials::default())
            .await
            .unwrap();
        Self {
            address,
            client,
            stop,
            task,
        }
    }

    async fn configure(&self) {
        let all = resources();
        let count = u32::try_from(all.len()).unwrap();
        let upsert = |resource| {
            Part::Upsert(v1::ApplyUpsert {
                resource: Some(v1::Resource {
                    resource: Some(resource),
                }),
                ..v1::ApplyUpsert::default()
            })
        };
        let mut parts = vec![Part::Header(v1::ApplyHeader::default())];
        parts.extend(all.into_iter().map(upsert));
        parts.push(Part::Commit(v1::ApplyCommit { count }));
        let requests = parts
            .into_iter()
            .map(|part| v1::ApplyRequest { part: Some(part) });
        let requests: Vec<_> = requests.collect();
        let applied = self
            .client
            .configuration()
            .apply(tokio_stream::iter(requests))
            .await;
        applied.unwrap();
    }

    async fn runs(&self) -> Vec<v1::RecommendationRun> {
        let request = v1::ListRunsRequest {
            route_id: id(ROUTE),
            limit: 1000,
        };
        let listed = self.client.recommendation_runs().list_runs(request).await;
        listed.unwrap().into_inner().runs
    }

    /// How many runs have written weights.
    async fn applied(&self) -> usize {
        let runs = self.runs().await;
        runs.iter().filter(|run| run.state() == RunState::Applied).count()
    }

    /// Waits until more than `before` runs have.
    async fn more_than(&self, before: usize) -> usize {
        let limit = Instant::now() + LIMIT;
        loop {
            let applied = self.applied().await;
            if applied > before {
                return applied;
            }
            assert!(Instant::now() < limit, "{:?}", self.runs().await);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Weights are those of one run, all of them; no run has been made twice; those that are open died.
    async fn is_whole(&self, kills: usize) {
        let request = v1::ListWeightsRequest { route_id: id(ROUTE) };
        let weights = self.client.recommendations().list_weights(request).await;
        let weights = weights.unwrap().into_inner().weights;
        let recommended: Vec<&v1::EffectiveWeight> = weights
            .iter()
            .filter(|weight| weight.recommended.is_some())
            .collect();
        assert_eq!(recommended.len(), UPSTREAMS.len(), "{weights:?}");
        let writes: BTreeSet<String> = recommended
            .iter()
            .map(|weight| format!("{:?} {}", weight.set_time, weight.reason))
            .collect();
        assert_eq!(writes.len(), 1, "{weights:?}");
        let sum: f64 = recommended.iter().map(|weight| weight.effective).sum();
        assert!((sum - 100.0).abs() < 1e-6, "{weights:?}");
        let runs = self.runs().await;
        let names: BTreeSet<&str> = runs.iter().map(|run| run.id.as_str()).collect();
        assert_eq!(names.len(), runs.len());
        let mut revisions: BTreeMap<u64, &str> = BTreeMap::new();
        for run in runs.iter().filter(|run| run.state() == RunState::Applied) {
            assert!(run.weights_revision > 0, "{run:?}");
            assert_eq!(revisions.insert(run.weights_revision, &run.id), None);
        }
        let open = runs.iter().filter(|run| run.state() == RunState::Open);
        assert!(open.count() <= kills, "{runs:?}");
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(LIMIT, self.task).await.unwrap().unwrap();
    }
}

/// A route whose weights follow the heights of its upstreams, each second.
fn resources() -> Vec<Wire> {
    let upstream = |number| {
        Wire::Upstream(v1::Upstream {
            id: id(number),
            route_id: id(ROUTE),
            target: Some(v1::upstream::Target::Address(v1::Address {
                scheme: "http".to_owned(),
                host: "127.0.0.1".to_owned(),
                port: u32::try_from(number).unwrap(),
                path: "/".to_owned(),
            })),
            weight: 10.0,
            ..v1::Upstream::default()
        })
    };
    let route = v1::Route {
        id: id(ROUTE),
        host: "r.example".to_owned(),
        path: "/".to_owned(),
        load_balancer: v1::LoadBalancer::WeightRoundRobin.into(),
        ..v1::Route::default()
    };
    let network = v1::Network {
        name: "eth".to_owned(),
        blockchain: "ethereum".to_owned(),
        chain_id: 1,
        ..v1::Network::default()
    };
    let recommendation = v1::Recommendation {
        route_id: id(ROUTE),
        network: "eth".to_owned(),
        schedule: "@every 1s".to_owned(),
        strategy: v1::RecommendationStrategy::Custom.into(),
        expression: "height".to_owned(),
        window_s: 10,
        guards: Some(v1::RecommendationGuards {
            hysteresis: Some(0.0),
            min_dwell_s: Some(0),
            max_step: Some(100.0),
            ..v1::RecommendationGuards::default()
        }),
        ..v1::Recommendation::default()
    };
    let mut all = vec![Wire::Network(network), Wire::Route(route)];
    all.extend(UPSTREAMS.map(upstream));
    all.push(Wire::Recommendation(recommendation));
    all
}

/// Reports heights that change all the time, as a gateway does, until it is dropped.
async fn report(client: ControlPlane) {
    let (reports, requests) = mpsc::channel(1);
    let answers = client
        .telemetry()
        .stream_telemetry(ReceiverStream::new(requests))
        .await;
    let mut answers = answers.unwrap().into_inner();
    let mut ticks = interval(Duration::from_millis(100));
    for sequence in 1.. {
        ticks.tick().await;
        let sample = |number| v1::UpstreamSample {
            upstream_id: id(number),
            route_id: id(ROUTE),
            block_height: Some(fastrand::u64(10..100)),
            height_age: Some(prost_types::Duration::default()),
            healthy: true,
            ..v1::UpstreamSample::default()
        };
        let report = v1::StreamTelemetryRequest {
            node_id: "gw".to_owned(),
            boot_id: "1".to_owned(),
            sequence,
            upstreams: UPSTREAMS.map(sample).into(),
            ..v1::StreamTelemetryRequest::default()
        };
        if reports.send(report).await.is_err() || !matches!(answers.message().await, Ok(Some(_))) {
            return;
        }
    }
}

/// The program, killed when dropped.
struct Recommender {
    child: Child,
    admin: SocketAddr,
}

impl Recommender {
    async fn start(plane: SocketAddr, data: &TempDir) -> Self {
        let (free, admin) = bound().await;
        drop(free);
        let child = Command::new(env!("CARGO_BIN_EXE_tyrscale-recommender"))
            .args(["--control-plane", &format!("http://{plane}")])
            .args(["--admin", &admin.to_string(), "--log", "error", "--data-dir"])
            .arg(data.path().join("recommender"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, admin }
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn readiness(&self) -> Option<String> {
        let mut stream = TcpStream::connect(self.admin).await.ok()?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: test\r\n\r\n")
            .await
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }
}

impl Drop for Recommender {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn rounds() -> usize {
    let told = std::env::var("KILL_ROUNDS").ok();
    told.and_then(|told| told.parse().ok()).unwrap_or(ROUNDS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_leaves_nothing_half_done_and_goes_on() {
    let data = TempDir::new().unwrap();
    let plane = Plane::start(&data).await;
    plane.configure().await;
    let reporting = tokio::spawn(report(plane.client.clone()));
    let (mut applied, mut own) = (0, TempDir::new().unwrap());
    for round in 1..=rounds() {
        // A new directory each time: a content that a process dies with twice is put into quarantine.
        own = TempDir::new().unwrap();
        let mut recommender = Recommender::start(plane.address, &own).await;
        applied = plane.more_than(applied).await;
        // Anywhere in the second until the next run, or in that run.
        sleep(Duration::from_millis(fastrand::u64(800..1_100))).await;
        recommender.kill();
        plane.is_whole(round).await;
        applied = applied.max(plane.applied().await);
    }
    reporting.abort();
    plane.stop().await;

    // Without a control plane it has what it had.
    let alone = Recommender::start(([127, 0, 0, 1], 1).into(), &own).await;
    let limit = Instant::now() + LIMIT;
    loop {
        let readiness = alone.readiness().await.unwrap_or_default();
        if readiness.starts_with("HTTP/1.1 200") {
            assert!(readiness.contains("revision 1"), "{readiness}");
            break;
        }
        assert!(Instant::now() < limit, "{readiness}");
        sleep(Duration::from_millis(20)).await;
    }
}
