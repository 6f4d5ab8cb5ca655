//! `tyrscale-recommender`: the recommender as a process of its own.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Parser;
use tokio::net::TcpListener;
use tyrscale_recommender::{Listeners, RecommenderConfig};
use tyrscale_telemetry::{LogFormat, init_logs, shutdown_signal};

/// Follows recommendations and the resources they name
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    config: RecommenderConfig,
    /// Where to serve liveness, readiness and metrics
    #[arg(
        long,
        env = "TYRSCALE_RECOMMENDER_ADMIN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:7782"
    )]
    admin: SocketAddr,
    /// Which events to log: a level, or target=level, separated by commas
    #[arg(long, env = "TYRSCALE_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
    /// How to log: text or json
    #[arg(
        long,
        env = "TYRSCALE_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    init_logs(cli.log_format, &cli.log)?;
    let shutdown = shutdown_signal()?;
    let admin = TcpListener::bind(cli.admin)
        .await
        .with_context(|| format!("cannot listen on {}", cli.admin))?;
    Box::pin(tyrscale_recommender::run(
        cli.config,
        Listeners { admin },
        shutdown,
    ))
    .await?;
    Ok(())
}
