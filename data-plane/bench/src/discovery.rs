//! `discovery`: what a change costs the control plane when it goes to a fleet.
//!
//! The control plane is a process of its own; the subscribers are tasks of this one, each with a connection of its
//! own. They check base, target and nonce of what they are sent and acknowledge it with the digest it names, so that
//! the server is what is measured; `--prove` of them keep the content and compute the digest themselves.

pub(crate) mod calls;
mod connection;
mod credentials;
pub(crate) mod document;
mod fleet;
mod limits;
mod node;
pub(crate) mod plane;
mod prover;
mod report;
mod reporting;
mod scenes;

use std::path::PathBuf;

use crate::discovery::{calls::Edit, document::Shape, fleet::Fleet, plane::Plane, report::Report};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program of the control plane; by default the one beside this.
    #[arg(long, value_name = "FILE")]
    control_plane: Option<PathBuf>,
    /// Subscribers.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    nodes: u32,
    /// Subscribers beside them that compute digests themselves.
    #[arg(long, default_value_t = 4)]
    prove: u32,
    /// Routes.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    routes: u32,
    /// Upstreams of each route.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    upstreams: u32,
    /// Changes measured, one after the other; a tenth as many before them are not.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    changes: u32,
    /// Changes a second in the sustained part.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// How long the sustained part lasts, in seconds; 0 leaves it out.
    #[arg(long, default_value_t = 20)]
    sustained_s: u32,
    /// How long the part lasts that makes a change each second and looks at the memory; 0 leaves it out.
    #[arg(long, default_value_t = 0)]
    steady_s: u32,
    /// Writers at once in the part without subscribers; 0 leaves it out.
    #[arg(long, default_value_t = 1_000)]
    writers: u32,
    /// Upstreams in the reports of each gateway, in the part with reports; 0 leaves it out.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    samples: u32,
    /// Both sides prove who they are by certificates. The part with reports is left out.
    #[arg(long)]
    tls: bool,
    /// Exit with 1 when a change costs more bytes or CPU than it may.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let report = runtime.block_on(measure(args))?;
    crate::tell(&report)?;
    let excesses = if args.check { report.excesses() } else { Vec::new() };
    anyhow::ensure!(excesses.is_empty(), "{}", excesses.join("; "));
    Ok(())
}

async fn measure(args: &Args) -> anyhow::Result<Report> {
    let shape = Shape {
        routes: args.routes,
        upstreams: args.upstreams,
    };
    let mut plane = Plane::start(args.control_plane.as_deref(), args.tls).await?;
    let mut report = Report::new(args.nodes, args.tls, shape);
    report.filled = Some(scenes::fill(&plane, shape).await?);
    if args.writers > 0 {
        report.writes = Some(scenes::write(&plane, args.writers).await?);
    }
    report.cold_start_ms = Some(plane.restart().await?);
    report.alone_rss_mib = Some(scenes::mib(plane.usage()?));
    let mut fleet = Fleet::start(&plane, args.nodes, args.prove)?;
    report.first_sync = Some(scenes::first_sync(&plane, &mut fleet).await?);
    let few = args.changes / 4 + 1;
    for (edit, count) in [
        (Edit::Recommended, args.changes),
        (Edit::Weight, args.changes),
        (Edit::Route, few),
    ] {
        let changes = scenes::changes(&plane, &mut fleet, count, shape, edit).await?;
        *report.of(edit) = Some(changes);
    }
    report.undone = Some(scenes::undone(&plane, &mut fleet, few, shape).await?);
    if args.steady_s > 0 {
        report.steady = Some(scenes::steady(&plane, &mut fleet, args.steady_s, shape).await?);
    }
    if args.sustained_s > 0 {
        report.sustained =
            Some(scenes::sustained(&plane, &mut fleet, args.rate, args.sustained_s, shape).await?);
    }
    if args.samples > 0 && !args.tls {
        report.reporting = Some(scenes::reporting(&plane, &mut fleet, (args.samples, few), shape).await?);
    }
    report.resumed = Some(scenes::resume(&plane, &mut fleet).await?);
    report.stopped = Some(scenes::stopped(&plane, &mut fleet, few, shape).await?);
    report.mismatches = fleet.mismatches();
    plane.stop().await?;
    Ok(report)
}
