//! `idle`: connections that were used once and stay open, and what they cost the process that holds them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;

use crate::connection::{Connection, Peer};
use crate::process::holdings;
use crate::question::{QuestionArgs, Questions};

/// After the last answer, until the process has come to rest.
const REST: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whom to connect to.
    #[arg(long)]
    to: SocketAddr,
    /// Folder of certificates to speak TLS with.
    #[arg(long, value_name = "FOLDER")]
    tls: Option<PathBuf>,
    /// Connections.
    #[arg(long, default_value_t = 10_000)]
    connections: u32,
    /// The processes that hold the other ends.
    #[arg(long, required = true, num_args = 1..)]
    pid: Vec<u32>,
    #[command(flatten)]
    question: QuestionArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    connections: u32,
    rss_kib_before: u64,
    rss_kib_with: u64,
    bytes_per_connection: f64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(hold(args))?;
    crate::tell(&report)
}

async fn hold(args: &Args) -> anyhow::Result<Report> {
    let peer = Peer {
        addr: args.to,
        tls: args.tls.as_deref().map(crate::tls::connector).transpose()?,
    };
    let mut questions = Questions::new(&args.question);
    // What the first request makes a process set up is not the connections'.
    ask_once(&peer, &mut questions).await?;
    tokio::time::sleep(REST).await;
    let before = resident(&args.pid)?;
    let mut held = Vec::new();
    for _ in 0..args.connections {
        held.push(ask_once(&peer, &mut questions).await?);
    }
    tokio::time::sleep(REST).await;
    let with = resident(&args.pid)?;
    Ok(Report {
        connections: args.connections,
        rss_kib_before: before,
        rss_kib_with: with,
        // Both are counts far below what a double holds exactly.
        bytes_per_connection: (with as f64 - before as f64) * 1024.0 / f64::from(args.connections.max(1)),
    })
}

async fn ask_once(peer: &Peer, questions: &mut Questions) -> anyhow::Result<Connection> {
    let mut connection = Connection::open(peer).await?;
    let answer = connection.exchange(questions.next()).await?;
    ensure!(!answer.close, "the connection is not kept");
    if let Err(wrong) = questions.check(&answer) {
        anyhow::bail!("a bad answer: {wrong}");
    }
    Ok(connection)
}

/// Resident memory of all the processes, in KiB.
fn resident(pids: &[u32]) -> anyhow::Result<u64> {
    let each = pids.iter().map(|pid| Ok(holdings(*pid)?.rss_kib));
    each.sum()
}
