//! The control plane's program: parses, binds, runs.

use clap::Parser;
use tyrscale_control_plane::{ControlPlaneConfig, Listeners, run};
use tyrscale_telemetry::{LogFormat, init_logs, shutdown_signal};

/// Owns the configuration and pushes it to every gateway, exporter and recommender.
#[derive(Debug, Parser)]
#[command(name = "tyrscale-control-plane", version)]
struct Cli {
    #[command(flatten)]
    config: ControlPlaneConfig,
    /// How log lines are written: text or json.
    #[arg(long, env = "TYRSCALE_LOG_FORMAT", default_value_t)]
    log_format: LogFormat,
    /// What is logged: a level, and target=level rules.
    #[arg(long, env = "TYRSCALE_LOG", default_value = "info")]
    log: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    init_logs(cli.log_format, &cli.log)?;
    cli.config.validate()?;
    let shutdown = shutdown_signal()?;
    let listeners = Listeners::bind(&cli.config).await?;
    run(cli.config, listeners, shutdown).await?;
    Ok(())
}
