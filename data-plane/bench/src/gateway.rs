//! `gateway`: a gateway alone, doing its full work, with a configuration made here.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::sync::CancellationToken;
use tyrscale_gateway::{CertificateFiles, Changed, Gateway, ServerTls, Settings};
use tyrscale_model::View;
use tyrscale_telemetry::{LogFormat, init_logs, shutdown_signal};

use crate::certificates::{CERTIFICATE, KEY};
use crate::configuration::{Configuration, Edit, Shape};

/// More connections than any measurement opens.
const MAX_CONNECTIONS: usize = 50_000;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The port; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Threads that serve requests.
    #[arg(long, default_value = "1")]
    workers: NonZeroUsize,
    #[command(flatten)]
    shape: Shape,
    /// Folder of the certificate to serve HTTPS with.
    #[arg(long, value_name = "FOLDER")]
    tls: Option<PathBuf>,
    /// Folder of the certificates that HTTPS upstreams have.
    #[arg(long, value_name = "FOLDER")]
    authority: Option<PathBuf>,
    /// How long one attempt may take, in milliseconds.
    #[arg(long, default_value_t = 20_000)]
    attempt_timeout_ms: u64,
    /// Changes a weight so often, in milliseconds.
    #[arg(long, conflicts_with = "edits", value_parser = clap::value_parser!(u64).range(1..))]
    reload_every_ms: Option<u64>,
    /// Takes edits of the configuration as lines of JSON on stdin, answers each with a line, and ends with them.
    #[arg(long)]
    edits: bool,
    /// What is logged, to stderr.
    #[arg(long, default_value = "info")]
    log: String,
}

/// Told once it listens.
#[derive(Debug, Serialize)]
struct Listening {
    port: u16,
}

/// Told after each edit that is served from.
#[derive(Debug, Serialize)]
struct Applied {
    revision: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    init_logs(LogFormat::Text, &args.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // As the program has it: the workers have threads of their own.
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: &Args) -> anyhow::Result<()> {
    let authorities = args.authority.as_deref().map(crate::tls::authorities);
    let gateway = Arc::new(Gateway::new(Settings {
        workers: args.workers,
        max_connections: MAX_CONNECTIONS,
        // Idle connections must last as long as a measurement.
        header_timeout: Duration::from_secs(600),
        attempt_timeout: Duration::from_millis(args.attempt_timeout_ms),
        drain_timeout: Duration::from_secs(1),
        upstream_authorities: authorities.transpose()?.unwrap_or_default(),
        ..Settings::default()
    })?);
    let mut configuration = Configuration::new(args.shape.clone())?;
    gateway.apply(configuration.snapshot(), Changed::All, View::ALL)?;
    let listener = tyrscale_gateway::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)))?;
    let port = listener.local_addr()?.port();
    let tls = args.tls.as_deref().map(server_tls).transpose()?;
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn({
        let (gateway, shutdown) = (Arc::clone(&gateway), shutdown.clone());
        async move { gateway.serve_on(listener, tls, shutdown).await }
    });
    let ended = shutdown_signal()?;
    crate::tell(&Listening { port })?;
    let changes = async {
        match args.reload_every_ms {
            Some(every) => reload(&gateway, &mut configuration, Duration::from_millis(every)).await,
            None if args.edits => follow(&gateway, &mut configuration).await,
            None => std::future::pending().await,
        }
    };
    let outcome = ended.run_until_cancelled(changes).await;
    shutdown.cancel();
    serving.await??;
    outcome.unwrap_or(Ok(()))
}

fn server_tls(folder: &Path) -> anyhow::Result<Arc<ServerTls>> {
    let files = CertificateFiles {
        certificate: folder.join(CERTIFICATE),
        key: folder.join(KEY),
    };
    Ok(Arc::new(ServerTls::new(&[files], HANDSHAKE_TIMEOUT)?))
}

/// Gives the first upstream another weight again and again.
async fn reload(gateway: &Gateway, configuration: &mut Configuration, every: Duration) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(every);
    for weight in [2.0, 1.0].into_iter().cycle() {
        ticks.tick().await;
        apply(gateway, configuration, Edit::Put { upstream: 0, weight })?;
    }
    Ok(())
}

/// Makes the edits that come on stdin until there are no more.
async fn follow(gateway: &Gateway, configuration: &mut Configuration) -> anyhow::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let edit = serde_json::from_str(&line).context("not an edit")?;
        apply(gateway, configuration, edit)?;
        crate::tell(&Applied {
            revision: configuration.snapshot().revision().to_string(),
        })?;
    }
    Ok(())
}

fn apply(gateway: &Gateway, configuration: &mut Configuration, edit: Edit) -> anyhow::Result<()> {
    let keys = configuration.edit(edit)?;
    Ok(gateway.apply(configuration.snapshot(), Changed::Keys(&keys), View::ALL)?)
}
