//! Exporters that run: as a task of the test, or as the program.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Instant,
};

use clap::{Args, FromArgMatches};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tyrscale_exporter::{ExporterConfig, ExporterError, Listeners, run};
use tyrscale_model::RpcId;
use tyrscale_simnode::{SimNode, SimNodeConfig};

use crate::plane::LIMIT;

/// Measures every 100 ms, with calls of at most 300 ms.
const QUICK: [&str; 4] = [
    "--interval-ms=100",
    "--timeout-ms=300",
    "--calls-per-minute=6000",
    "--membership-timeout-ms=1000",
];

pub(crate) fn config(arguments: &[&str]) -> ExporterConfig {
    let command = ExporterConfig::augment_args(clap::Command::new("exporter"));
    let matches = command.try_get_matches_from([&["exporter"], arguments].concat());
    ExporterConfig::from_arg_matches(&matches.unwrap()).unwrap()
}

/// What is at `path` of the admin endpoints, with its head; nothing while nobody listens.
pub(crate) async fn get(admin: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(admin).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    timeout(LIMIT, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .ok()?;
    Some(answer)
}

/// The metrics of the exporter behind `admin`, once `holds` does.
async fn until(admin: SocketAddr, holds: impl Fn(&str) -> bool) -> String {
    let limit = Instant::now() + LIMIT;
    loop {
        let metrics = get(admin, "/metrics").await.unwrap_or_default();
        if holds(&metrics) {
            return metrics;
        }
        assert!(Instant::now() < limit, "{metrics}");
        tokio::task::yield_now().await;
    }
}

/// An exporter as a task of the test.
pub(crate) struct Exporter {
    admin: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ExporterError>>,
}

impl Exporter {
    pub(crate) async fn start(plane: SocketAddr, data: Option<&TempDir>, more: &[&str]) -> Self {
        let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = admin.local_addr().unwrap();
        let url = format!("http://{plane}");
        let mut config = config(&[&["--control-plane", &url], &QUICK[..], more].concat());
        config.data_dir = data.map(|data| data.path().to_owned());
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(config, Listeners { admin }, stop.clone()));
        Self {
            admin: address,
            stop,
            task,
        }
    }

    pub(crate) async fn metrics(&self) -> String {
        get(self.admin, "/metrics").await.unwrap()
    }

    /// The metrics, once `holds` does.
    pub(crate) async fn until(&self, holds: impl Fn(&str) -> bool) -> String {
        until(self.admin, holds).await
    }

    /// Stops it and sees that it ends by itself.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// The program; killed when dropped.
pub(crate) struct Process {
    child: Child,
    admin: SocketAddr,
}

impl Process {
    pub(crate) async fn start(plane: SocketAddr, data: &TempDir) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = free.local_addr().unwrap();
        drop(free);
        let child = Command::new(env!("CARGO_BIN_EXE_tyrscale-exporter"))
            .args(["--control-plane", &format!("http://{plane}")])
            .args(["--admin", &admin.to_string(), "--log", "error", "--data-dir"])
            .arg(data.path())
            .args(QUICK)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, admin }
    }

    /// The metrics, once `holds` does.
    pub(crate) async fn until(&self, holds: impl Fn(&str) -> bool) -> String {
        until(self.admin, holds).await
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The value of a series of an rpc, if there is one.
pub(crate) fn value(metrics: &str, metric: &str, id: RpcId) -> Option<f64> {
    let (name, id) = (format!("{metric}{{"), format!("rpc_uuid=\"{id}\""));
    let line = metrics
        .lines()
        .find(|line| line.starts_with(&name) && line.contains(&id))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Shares a node between tests' closures.
pub(crate) async fn node() -> Arc<SimNode> {
    Arc::new(SimNode::start(SimNodeConfig::named("n")).await.unwrap())
}
