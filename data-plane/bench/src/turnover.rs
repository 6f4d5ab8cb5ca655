//! `turnover`: routes and upstreams come, move and go under load, through a real control plane and a real gateway.
//!
//! A cycle adds a route with its upstream, and an upstream to a route that stays; moves both to another address; and takes
//! them away. Each step is one change, and the next begins once the gateway runs it. A request counts when its route is
//! there for the whole of it; each must get the right answer.

mod cycle;
mod load;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::chaos::traffic;
use crate::discovery::plane::{Plane, free_address};
use cycle::Lane;
use load::{Load, Tally};

/// Until the gateway serves.
const START_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program of the control plane; by default the one beside this.
    #[arg(long, value_name = "FILE")]
    control_plane: Option<PathBuf>,
    /// The program of the gateway; by default the one beside this.
    #[arg(long, value_name = "FILE")]
    gateway: Option<PathBuf>,
    /// Cycles in all.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cycles: u32,
    /// Cycles under way at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    lanes: u32,
    /// Requests a second, to all hosts in turn.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    cycles: u32,
    changes: u32,
    seconds: f64,
    tally: &'a Tally,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(turn_over(args))
}

async fn turn_over(args: &Args) -> anyhow::Result<()> {
    let nodes = traffic::nodes().await?;
    let plane = Plane::start(args.control_plane.as_deref(), false).await?;
    let ports: Vec<u16> = nodes.iter().map(|node| node.addr().port()).collect();
    cycle::fill(&plane, &ports, args.lanes).await?;
    let (_gateway, address) = start_gateway(args, &plane).await?;
    let load = Arc::new(Load::new(address, args.lanes));
    load.serves(START_LIMIT).await?;
    let stop = CancellationToken::new();
    let asking = tokio::spawn(Arc::clone(&load).ask(args.rate, stop.clone()));
    let start = Instant::now();
    let mut lanes = JoinSet::new();
    for number in 0..args.lanes {
        let lane = Lane::new(&plane, Arc::clone(&load), number).await?;
        let cycles = (number..args.cycles).step_by(args.lanes.try_into()?);
        lanes.spawn(lane.run(cycles));
    }
    let mut changes = 0;
    while let Some(made) = lanes.join_next().await {
        changes += made??;
    }
    let seconds = start.elapsed().as_secs_f64();
    stop.cancel();
    let tally = asking.await??;
    crate::tell(&Report {
        cycles: args.cycles,
        changes,
        seconds,
        tally: &tally,
    })?;
    plane.stop().await?;
    anyhow::ensure!(tally.failed == 0, "requests failed");
    Ok(())
}

/// A gateway that follows the control plane; dropped, it ends.
async fn start_gateway(args: &Args, plane: &Plane) -> anyhow::Result<(Child, std::net::SocketAddr)> {
    let program = match &args.gateway {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("tyrscale-gateway"),
    };
    let address = free_address().await?;
    let (endpoint, _) = plane.endpoint_of("turnover")?;
    let child = Command::new(&program)
        .args(["--listen", &address.to_string()])
        .args(["--admin-listen", &free_address().await?.to_string()])
        .args(["--control-plane", &endpoint, "--node-id", "turnover"])
        .arg("--data-dir")
        .arg(plane.folder().join("gateway"))
        .env("TYRSCALE_LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    Ok((child, address))
}
