//! `tyrscale-gateway`: the reverse proxy as a program.

use anyhow::Context;
use clap::Parser;
use mimalloc::MiMalloc;
use tyrscale_gateway::{Args, Config, Listeners};
use tyrscale_telemetry::{LogFormat, init_logs, shutdown_signal};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// JSON-RPC gateway: balances requests over the upstreams that its control plane names.
#[derive(Debug, Parser)]
#[command(name = "tyrscale-gateway", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
    /// How logs are written: text or json.
    #[arg(long, env = "TYRSCALE_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// What is logged: a level, and levels for parts, such as `info,tyrscale_gateway=debug`.
    #[arg(long, env = "TYRSCALE_LOG", default_value = "info")]
    log: String,
}

// What is not on the way of a request: the workers have threads of their own.
#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    init_logs(cli.log_format, &cli.log)?;
    let (data, tls, admin) = (cli.args.listen, cli.args.tls.tls_listen, cli.args.admin_listen);
    let config = Config::try_from(cli.args)?;
    let listen = |address| {
        let listener = tyrscale_gateway::bind(address);
        listener.with_context(|| format!("cannot listen on {address}"))
    };
    let listeners = Listeners {
        data: listen(data)?,
        tls: tls.map(listen).transpose()?,
        admin: listen(admin)?,
    };
    let tls = tls.map(tracing::field::display);
    tracing::info!(%data, tls, %admin, workers = config.settings.workers, "gateway started");
    tyrscale_gateway::run(config, listeners, shutdown_signal()?).await?;
    Ok(())
}
