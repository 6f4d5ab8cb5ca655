//! `replicas`: what a change costs in time over three control planes and three members of etcd, and how long gateways are
//! behind when a control plane ends.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tyrscale_model::{
    Address, LoadBalancer, Operation, Rejection, Resource, Route, Scheme, Target, Upstream, Version, Weight,
    wire,
};
use tyrscale_proto::v1;

use super::cluster::{Cluster, Fault};
use super::oracle::id;
use super::planes::Planes;
use super::watched::Watched;
use crate::histogram::{Histogram, Quantiles};

/// Until everything runs, and until everybody has a change.
const LIMIT: Duration = Duration::from_secs(90);
/// Before each change.
const PAUSE: Duration = Duration::from_millis(30);
/// A stream that held so long is a good one, which its gateway tries again before another; with a margin.
const GOOD: Duration = Duration::from_secs(12);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Gateways, spread over the control planes.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(3..=5_000))]
    gateways: u16,
    /// Routes.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    routes: u32,
    /// Upstreams of each route.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    upstreams: u32,
    /// Changes of one weight, one after the other.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    changes: u32,
    /// How often a control plane is killed, and how often one is suspended.
    #[arg(long, default_value_t = 3)]
    failovers: u8,
    /// The control plane, built with the feature `etcd`.
    #[arg(long, value_name = "PROGRAM")]
    control_plane: PathBuf,
}

#[derive(Debug, Serialize)]
struct Report {
    gateways: u16,
    resources: u32,
    changes: u32,
    /// Until the change was acknowledged.
    written: Quantiles,
    /// Until the last gateway ran it.
    to_last: Quantiles,
    /// From the end of a control plane until all gateways ran a change that was made at once after it.
    killed_ms: Vec<f64>,
    /// The same of one that is suspended, noticed by its heartbeats, one each 2 s.
    suspended_ms: Vec<f64>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let report = runtime.block_on(measure(args))?;
    crate::tell(&report)
}

async fn measure(args: &Args) -> anyhow::Result<Report> {
    let dir = TempDir::new()?;
    let mut cluster = Cluster::start(&args.control_plane, 0, dir.path()).await?;
    let planes = cluster.addresses.clone();
    let mut writer = Writer::new(&planes);
    writer.fill(args.routes, args.upstreams).await?;
    let stop = CancellationToken::new();
    let watched = Watched::start(
        |gateway| planes.urls_from(gateway),
        |_| tyrscale_model::Selection::default(),
        0..args.gateways.into(),
        &stop,
    );
    let version = writer.change(0).await?;
    watched.reach(|_| Ok(version), LIMIT).await?;
    let (mut written, mut to_last) = (Histogram::default(), Histogram::default());
    for number in 0..args.changes {
        tokio::time::sleep(PAUSE).await;
        let start = Instant::now();
        let version = writer.change(usize::try_from(number)?).await?;
        written.record(start.elapsed());
        watched.reach(|_| Ok(version), LIMIT).await?;
        to_last.record(start.elapsed());
    }
    let (mut killed_ms, mut suspended_ms) = (Vec::new(), Vec::new());
    for number in 0..2 * usize::from(args.failovers) {
        tokio::time::sleep(GOOD).await;
        // Where the gateways are: those of one that fails go to the next.
        let which = number % planes.count();
        let start = Instant::now();
        let (fault, times) = if number % 2 == 0 {
            (Fault::Kill(which), &mut killed_ms)
        } else {
            (Fault::Pause(which), &mut suspended_ms)
        };
        cluster.befall(fault, Duration::MAX).await?;
        let version = writer.change(which + 1).await?;
        watched.reach(|_| Ok(version), LIMIT).await?;
        times.push(millis(start.elapsed()));
        cluster.mend(Duration::MAX).await?;
    }
    stop.cancel();
    Ok(Report {
        gateways: args.gateways,
        resources: args.routes * (1 + args.upstreams),
        changes: args.changes,
        written: (&written).into(),
        to_last: (&to_last).into(),
        killed_ms,
        suspended_ms,
    })
}

/// Makes changes of the weight of one upstream.
struct Writer<'a> {
    planes: &'a Planes,
    upstream: Option<Upstream>,
    weight: u32,
}

impl<'a> Writer<'a> {
    const fn new(planes: &'a Planes) -> Self {
        Self {
            planes,
            upstream: None,
            weight: 0,
        }
    }

    /// Puts everything, once a control plane answers.
    async fn fill(&mut self, routes: u32, upstreams: u32) -> anyhow::Result<()> {
        let mut operations = Vec::new();
        for number in 0..routes {
            let (route, own) = route(number, upstreams)?;
            self.upstream = self.upstream.take().or_else(|| own.first().cloned());
            operations.push(Operation::put(Resource::Route(route)));
            operations.extend(own.into_iter().map(Resource::Upstream).map(Operation::put));
        }
        let end = Instant::now() + LIMIT;
        while let Err(error) = self.apply(0, &operations).await {
            anyhow::ensure!(
                Instant::now() < end,
                "no control plane takes the configuration: {error:#}"
            );
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Gives it another weight through a control plane, in turn.
    async fn change(&mut self, turn: usize) -> anyhow::Result<Version> {
        let mut upstream = self.upstream.clone().context("nothing to change")?;
        self.weight = self.weight % 100 + 1;
        upstream.weight = Weight::try_from(f64::from(self.weight)).map_err(Rejection::from)?;
        let change = [Operation::put(Resource::Upstream(upstream))];
        self.apply(turn % self.planes.count(), &change).await
    }

    async fn apply(&self, plane: usize, operations: &[Operation]) -> anyhow::Result<Version> {
        let applying = async {
            let client = self.planes.client(plane).await?;
            let applied = client.apply(v1::ApplyHeader::default(), operations).await?;
            let version = applied.version.as_ref().and_then(wire::version_from_wire);
            version.context("an answer without version")
        };
        let applied = tokio::time::timeout(LIMIT, applying).await;
        applied.with_context(|| format!("control plane {plane} does not answer"))?
    }
}

fn route(number: u32, upstreams: u32) -> Result<(Route, Vec<Upstream>), Rejection> {
    let route = Route::new(
        id(5, number).to_string().parse()?,
        format!("h{number}.example"),
        "/",
        LoadBalancer::LeastLoad,
    );
    let mut own = Vec::new();
    for upstream in 0..upstreams {
        own.push(Upstream::new(
            id(6, number * upstreams + upstream).to_string().parse()?,
            route.id,
            Target::Address(Address::new(
                Scheme::Http,
                "127.0.0.1",
                9,
                &format!("/{upstream}"),
            )?),
            Weight::try_from(1.0)?,
        ));
    }
    Ok((route, own))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
