//! `chaos`: control planes over etcd while everything that may fail fails, and what is true at the end.
//!
//! Three control planes and three members of etcd are killed, suspended and cut off from gateways, by a plan that
//! follows from one seed, while changes are made through whichever control plane answers. In the end every gateway must
//! run the revision and digest of an oracle that applied the changes that were acknowledged; and of the requests that
//! clients sent through the real gateways meanwhile, whose upstreams are well, none may have failed.

mod cluster;
mod oracle;
mod proxy;
mod traffic;
mod watched;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use fastrand::Rng;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::cluster::{Cluster, Fault};
use self::oracle::Oracle;
use self::traffic::Traffic;
use self::watched::Watched;

/// Gateways that are programs of their own and serve clients; the others are the same client in this process.
const REAL: usize = 2;
/// Between two faults, at most.
const FAULT_EVERY_MS: u64 = 2_000;
/// Between two changes, at most.
const CHANGE_EVERY_MS: u64 = 200;
/// Within so long everything must be level once nothing fails any more.
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
}

#[derive(Debug, Serialize)]
struct Report {
    seed: u64,
    seconds: u64,
    gateways: usize,
    acknowledged: u64,
    tries: u64,
    revision: u64,
    faults: cluster::Counts,
    requests: u64,
    failed: u64,
    backwards: u64,
    settled_ms: u128,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(chaos(args))
}

async fn chaos(args: &Args) -> anyhow::Result<()> {
    let mut rng = Rng::with_seed(args.seed);
    let gateways = usize::from(args.gateways);
    let mut cluster = Cluster::start(&args.control_plane, gateways).await?;
    let stop = CancellationToken::new();
    let nodes = traffic::nodes().await?;
    let ports: Vec<u16> = nodes.iter().map(|node| node.addr().port()).collect();
    let mut oracle = Oracle::begin(&cluster, rng.fork(), &ports).await?;
    let traffic = Traffic::start(&args.gateway, &cluster, REAL).await?;
    let watched = Watched::start(&cluster, REAL..gateways, &stop);
    watched.reach(&oracle.version(), SETTLE).await?;
    traffic.serves(SETTLE).await?;
    let asking = traffic.ask(&stop);
    storm(
        &mut cluster,
        &mut oracle,
        &mut rng,
        Duration::from_secs(args.seconds),
    )
    .await?;
    cluster.recover().await?;
    let calm = Instant::now();
    // A last change, so that who lags must move.
    oracle.step(&cluster, calm + SETTLE).await?;
    watched.reach(&oracle.version(), SETTLE).await?;
    cluster.all_run(&oracle.versions(), gateways, SETTLE).await?;
    let settled_ms = calm.elapsed().as_millis();
    oracle.is_what_they_hold(&cluster).await?;
    stop.cancel();
    let tally = asking.await?;
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
        backwards: watched.went_backwards(),
        settled_ms,
    };
    crate::tell(&report)?;
    ensure!(tally.failed == 0, "requests failed: {:?}", tally.first_failure);
    ensure!(report.backwards == 0, "a gateway was sent backwards");
    Ok(())
}

/// Makes changes while things fail.
async fn storm(
    cluster: &mut Cluster,
    oracle: &mut Oracle,
    rng: &mut Rng,
    time: Duration,
) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut fault_at = Duration::ZERO;
    while start.elapsed() < time {
        cluster.mend(start.elapsed()).await?;
        if start.elapsed() >= fault_at {
            let fault = Fault::any(rng, cluster.gateways());
            cluster.befall(fault, start.elapsed(), rng).await?;
            fault_at = start.elapsed() + Duration::from_millis(rng.u64(200..=FAULT_EVERY_MS));
        }
        let pause = Duration::from_millis(rng.u64(0..=CHANGE_EVERY_MS));
        tokio::time::sleep(pause).await;
        let end = start + time + SETTLE;
        oracle
            .step(cluster, end)
            .await
            .context("a change that no control plane takes")?;
    }
    Ok(())
}
