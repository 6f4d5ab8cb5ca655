//! The control plane's program: parses, binds, runs.

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use tyrscale_control_plane::{
    ControlPlaneConfig, Listeners, run,
    store_command::{StoreVerb, exit_code},
};
use tyrscale_telemetry::{LogFormat, init_logs, shutdown_signal};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Owns the configuration and pushes it to every gateway, exporter and recommender.
#[derive(Debug, Parser)]
#[command(
    name = "tyrscale-control-plane",
    version,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(flatten)]
    config: ControlPlaneConfig,
    /// How log lines are written: text or json.
    #[arg(long, env = "TYRSCALE_LOG_FORMAT", default_value_t)]
    log_format: LogFormat,
    /// What is logged: a level, and target=level rules.
    #[arg(long, env = "TYRSCALE_LOG", default_value = "info")]
    log: String,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The store as it lies on the disk, while no control plane runs over it.
    Store {
        #[command(subcommand)]
        verb: StoreVerb,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut cli = Cli::parse();
    if let Some(Command::Store { verb }) = cli.command {
        return look_after(verb).await;
    }
    init_logs(cli.log_format, &cli.log)?;
    cli.config.validate()?;
    let shutdown = shutdown_signal()?;
    let listeners = Listeners::bind(&cli.config).await?;
    cli.config.backups.examiner = std::env::current_exe().ok();
    run(cli.config, listeners, shutdown).await?;
    Ok(ExitCode::SUCCESS)
}

async fn look_after(verb: StoreVerb) -> anyhow::Result<ExitCode> {
    match Box::pin(verb.run()).await {
        Ok(report) => {
            writeln!(std::io::stdout(), "{report}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let code = exit_code(&error);
            writeln!(std::io::stderr(), "error: {:#}", anyhow::Error::from(error))?;
            Ok(ExitCode::from(code))
        }
    }
}
