//! `tyrscale-bench`: what gateway and control plane are measured with.
//!
//! Each subcommand is one process of a measurement, so that the processor time of each can be told apart:
//! `stub` answers as upstreams do, `load` and `idle` are clients, `gateway` is a gateway without a control plane,
//! `certificates` makes what TLS needs. `soak`, `discovery`, `swap`, `turnover`, `chaos` and `replicas` are whole runs of
//! their own. Results are lines of JSON on stdout.

mod certificates;
mod chaos;
mod configuration;
mod connection;
mod discovery;
mod gateway;
mod histogram;
mod idle;
mod load;
mod process;
mod question;
mod soak;
mod stub;
mod swap;
mod tls;
mod turnover;

use std::io::Write;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use serde::Serialize;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Measures the gateway and what stands beside it, on loopback.
#[derive(Debug, Parser)]
#[command(name = "tyrscale-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Upstreams that cost next to nothing.
    Stub(stub::Args),
    /// A client: as fast as the answers come, or at a fixed rate.
    Load(load::Args),
    /// A client that holds idle connections and tells what they cost a process.
    Idle(idle::Args),
    /// A gateway alone, with a configuration made here.
    Gateway(gateway::Args),
    /// Makes a certificate authority and a certificate for localhost.
    Certificates(certificates::Args),
    /// What changes cost a control plane with many subscribers.
    Discovery(discovery::Args),
    /// What an update costs a gateway.
    Swap(swap::Args),
    /// Routes and upstreams come, move and go under load.
    Turnover(turnover::Args),
    /// Fails control planes, etcd and the ways between, and checks what every gateway runs in the end.
    Chaos(chaos::Args),
    /// What a change costs in time over three control planes and etcd, and how long gateways are behind when one ends.
    Replicas(chaos::replicas::Args),
    /// Checks every answer while upstreams fail and recover and the configuration changes.
    Soak(soak::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Stub(args) => stub::run(&args),
        Command::Load(args) => load::run(args),
        Command::Idle(args) => idle::run(&args),
        Command::Gateway(args) => gateway::run(&args),
        Command::Certificates(args) => certificates::run(&args),
        Command::Discovery(args) => discovery::run(&args),
        Command::Swap(args) => swap::run(&args),
        Command::Turnover(args) => turnover::run(&args),
        Command::Chaos(args) => chaos::run(&args),
        Command::Replicas(args) => chaos::replicas::run(&args),
        Command::Soak(args) => soak::run(&args),
    }
}

/// Writes one line of JSON to stdout, where the caller waits for it.
fn tell(line: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
