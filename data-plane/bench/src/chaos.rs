//! `chaos`: control planes over etcd while everything that may fail fails, and what is true at the end.
//!
//! Three control planes and three members of etcd are killed, suspended and cut off from gateways and from each other,
//! by a plan that follows from one seed, while changes are made through whichever control plane answers. In the end every
//! gateway must run the revision and digest of an oracle that applied the changes that were acknowledged; and of the
//! requests that clients sent through the real gateways meanwhile, whose upstreams are well, none may have failed.

mod change;
mod cluster;
mod oracle;
mod planes;
mod program;
mod proxy;
pub(crate) mod replicas;
pub(crate) mod traffic;
mod watched;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use fastrand::Rng;
use serde::Serialize;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tyrscale_model::Selection;

use self::change::{LABEL, TEAMS};
use self::cluster::{Cluster, Counts};
use self::oracle::Oracle;
use self::traffic::Traffic;
use self::watched::Watched;

/// Gateways that are programs of their own and serve clients; the others are the same client in this process.
const REAL: usize = 2;
/// Within so long everything must be level before anything fails, and once nothing fails any more.
const SETTLE: Duration = Duration::from_secs(90);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long things fail, in seconds.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// What the course of events follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Gateways, two of them programs of their own.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=100))]
    gateways: u16,
    /// The control plane, built with the feature `etcd`.
    #[arg(long, value_name = "PROGRAM")]
    control_plane: PathBuf,
    /// The gateway.
    #[arg(long, value_name = "PROGRAM")]
    gateway: PathBuf,
    /// Keeps the data and logs of all programs there; it must be empty. Without it they are gone in the end.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    seed: u64,
    seconds: u64,
    gateways: usize,
    acknowledged: u64,
    tries: u64,
    revision: u64,
    faults: Counts,
    requests: u64,
    failed: u64,
    backwards: u64,
    settled_ms: u128,
}

/// Every second gateway sees everything, the others the routes of a team.
fn selection_of(gateway: usize) -> Selection {
    let team = TEAMS.get(gateway / 2 % TEAMS.len()).filter(|_| gateway % 2 == 1);
    let labels = team.map(|team| (LABEL.to_owned(), (*team).to_owned()));
    Selection::of(labels.into_iter().collect())
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(chaos(args))
}

async fn chaos(args: &Args) -> anyhow::Result<()> {
    let gone = TempDir::new()?;
    let dir = args.keep.as_deref().unwrap_or_else(|| gone.path());
    std::fs::create_dir_all(dir)?;
    let is_empty = std::fs::read_dir(dir)?.next().is_none();
    ensure!(is_empty, "{} is not empty", dir.display());
    let mut rng = Rng::with_seed(args.seed);
    let gateways = usize::from(args.gateways);
    let mut cluster = Cluster::start(&args.control_plane, gateways, dir).await?;
    let planes = cluster.addresses.clone();
    let stop = CancellationToken::new();
    let nodes = traffic::nodes().await?;
    let ports: Vec<u16> = nodes.iter().map(|node| node.addr().port()).collect();
    let mut oracle = Oracle::begin(&planes, rng.fork(), &ports).await?;
    let mut traffic = Traffic::start(&args.gateway, &cluster, REAL, dir).await?;
    let ways = |gateway| cluster.ways_of(gateway);
    let watched = Watched::start(ways, selection_of, REAL..gateways, &stop);
    watched
        .reach(|selection| oracle.version_of(selection), SETTLE)
        .await?;
    traffic.serves(SETTLE).await?;
    let asking = traffic.ask(&stop);
    let time = Duration::from_secs(args.seconds);
    tokio::try_join!(cluster.storm(&mut rng, time), oracle.work(&planes, time, SETTLE))?;
    let calm = Instant::now();
    // A last change, so that who lags must move.
    oracle.step(&planes, calm + SETTLE).await?;
    watched
        .reach(|selection| oracle.version_of(selection), SETTLE)
        .await?;
    let parts = watched.selections().map(|selection| oracle.version_of(selection));
    let parts = parts.chain([Ok(oracle.version_of_programs())]);
    let versions = parts.collect::<anyhow::Result<Vec<_>>>()?;
    planes
        .level(&oracle.version(), &versions, gateways, SETTLE)
        .await?;
    let settled_ms = calm.elapsed().as_millis();
    cluster.mend(Duration::MAX).await?;
    traffic.is_well().await?;
    stop.cancel();
    let tally = asking.await.context("a client")?;
    let report = Report {
        seed: args.seed,
        seconds: args.seconds,
        gateways,
        acknowledged: oracle.acknowledged,
        tries: oracle.tries,
        revision: oracle.version().revision.0,
        faults: cluster.counts.clone(),
        requests: tally.requests,
        failed: tally.failed,
        backwards: watched.went_backwards() + tally.backwards,
        settled_ms,
    };
    crate::tell(&report)?;
    ensure!(tally.failed == 0, "requests failed: {:?}", tally.first_failure);
    ensure!(report.backwards == 0, "a gateway went backwards");
    Ok(())
}
