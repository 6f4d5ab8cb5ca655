//! `tyrscale-simnode`: a simulated EVM node on its own, changed while it runs through `POST /sim/control`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use http::StatusCode;
use tyrscale_simnode::{Behavior, Fault, SimNode, SimNodeConfig};

/// A simulated EVM node that does as it is told.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8545")]
    listen: SocketAddr,
    /// Name told in `web3_clientVersion` and in the header `x-simnode`.
    #[arg(long, default_value = "simnode")]
    name: String,
    /// Id of the chain.
    #[arg(long, default_value_t = 1337)]
    chain_id: u64,
    /// First height, in blocks.
    #[arg(long, default_value_t = 1_000)]
    height: u64,
    /// Time from block to block, such as 2s or 500ms; 0s makes none.
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    block_time: Duration,
    /// Blocks the node reports less than its height.
    #[arg(long, default_value_t = 0)]
    lag: u64,
    /// Peers the node reports.
    #[arg(long, default_value_t = 25)]
    peers: u32,
    /// Report that the node is syncing.
    #[arg(long)]
    syncing: bool,
    /// Wait before the head of every answer, such as 20ms.
    #[arg(long, default_value = "0s", value_parser = parse_duration)]
    latency: Duration,
    /// Wait in the middle of every body.
    #[arg(long, default_value = "0s", value_parser = parse_duration)]
    body_delay: Duration,
    /// Share of requests answered with status 500, from 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = parse_share)]
    error_rate: f64,
    /// Requests answered each second; the rest get 429.
    #[arg(long)]
    rate_limit: Option<NonZeroU32>,
    /// Methods the node does not have; may be repeated.
    #[arg(long, value_name = "METHOD")]
    unsupported: Vec<String>,
    /// Answer every request with this HTTP status.
    #[arg(long, conflicts_with = "silent", value_parser = parse_status)]
    status: Option<StatusCode>,
    /// Never answer.
    #[arg(long)]
    silent: bool,
}

impl Args {
    fn behavior(&self) -> Behavior {
        let silence = self.silent.then_some(Fault::Silence);
        Behavior {
            latency: self.latency,
            body_delay: self.body_delay,
            fault: self.status.map(Fault::status).or(silence),
            unsupported: self.unsupported.iter().cloned().collect(),
            rate_limit: self.rate_limit,
            error_rate: self.error_rate,
            ..Behavior::default()
        }
    }

    fn config(&self) -> SimNodeConfig {
        SimNodeConfig {
            listen: self.listen,
            name: self.name.clone(),
            chain_id: self.chain_id,
            height: self.height,
            block_time: Some(self.block_time),
            tls: None,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let args = Args::parse();
    let node = SimNode::start(args.config()).await?;
    node.set_behavior(args.behavior());
    node.set_lag(args.lag);
    node.set_peers(args.peers);
    node.set_syncing(args.syncing);
    // In this order: once the address is told, an interrupt already ends the program well.
    let (interrupted, ()) = tokio::join!(biased; tokio::signal::ctrl_c(), async {
        tracing::info!(name = node.name(), addr = %node.addr(), "listening");
    });
    interrupted.context("cannot wait for ctrl-c")?;
    tracing::info!(name = node.name(), hits = node.hits(), "stopping");
    node.stop().await;
    Ok(())
}

/// Reads a whole number with a unit: ms, s or m.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number
        .parse()
        .map_err(|_| "must start with a whole number".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err("must end with ms, s or m".to_owned()),
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

fn parse_status(text: &str) -> Result<StatusCode, String> {
    let status = text
        .parse()
        .ok()
        .filter(|status: &StatusCode| (200..600).contains(&status.as_u16()));
    status.ok_or_else(|| "must be a status from 200 to 599".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_behaviour() {
        let args = Args::parse_from(["x", "--latency", "20ms", "--error-rate", "0.1", "--status", "503"]);
        let behavior = args.behavior();
        assert_eq!(behavior.latency, Duration::from_millis(20));
        assert_eq!(
            behavior.fault,
            Some(Fault::status(StatusCode::SERVICE_UNAVAILABLE))
        );
        assert!((behavior.error_rate - 0.1).abs() < f64::EPSILON);
    }

    #[test]
    fn nonsense_is_refused() {
        for (flag, value) in [
            ("--latency", "20"),
            ("--latency", "ms"),
            ("--error-rate", "NaN"),
            ("--error-rate", "1.1"),
            ("--status", "99"),
            ("--rate-limit", "0"),
        ] {
            assert!(
                Args::try_parse_from(["x", flag, value]).is_err(),
                "{flag} {value}"
            );
        }
    }
}
