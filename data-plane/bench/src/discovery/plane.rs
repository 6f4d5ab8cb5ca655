//! The control plane under measurement: a process of its own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
};
use tonic::transport::Channel;
use tyrscale_client::ClientTls;
use tyrscale_proto::v1::{self, network_service_client::NetworkServiceClient};

use super::{
    connection::{Received, Way},
    credentials::Credentials,
};
use crate::process;

/// How long it may take until it serves.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Between two looks whether it serves.
const LOOK: Duration = Duration::from_millis(5);

/// A running control plane with data of its own.
pub(crate) struct Plane {
    program: PathBuf,
    data: TempDir,
    child: Child,
    grpc: SocketAddr,
    /// Where both sides prove who they are.
    credentials: Option<Credentials>,
}

/// What the process has used up so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) rss_kib: u64,
}

impl Plane {
    /// Starts the program, by default the one beside this, with an empty store. `tls`: both sides prove who they are.
    pub(crate) async fn start(program: Option<&Path>, tls: bool) -> anyhow::Result<Self> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => std::env::current_exe()?.with_file_name("tyrscale-control-plane"),
        };
        let data = TempDir::new()?;
        let credentials = tls.then(|| Credentials::make(data.path())).transpose()?;
        let (child, grpc, _) = launch(&program, data.path(), credentials.as_ref()).await?;
        Ok(Self {
            program,
            data,
            child,
            grpc,
            credentials,
        })
    }

    /// Stops it and starts it again on the same data; how long it took to serve, in milliseconds.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<f64> {
        self.end().await?;
        let (child, grpc, took) = launch(&self.program, self.data.path(), self.credentials.as_ref()).await?;
        (self.child, self.grpc) = (child, grpc);
        Ok(took.as_secs_f64() * 1e3)
    }

    /// A connection for calls.
    pub(crate) async fn connect(&self) -> anyhow::Result<Channel> {
        let way = way(self.grpc, self.credentials.as_ref())?;
        way.connect(&Received::default()).await
    }

    /// The way of a gateway.
    pub(crate) fn way_of(&self, id: &str) -> anyhow::Result<Way> {
        let tls = self.credentials.as_ref();
        Ok(Way {
            to: self.grpc,
            tls: tls.map(|credentials| credentials.gateway(id)).transpose()?,
        })
    }

    /// As [`Plane::way_of`], for who makes connections by itself.
    pub(crate) fn endpoint_of(&self, id: &str) -> anyhow::Result<(String, ClientTls)> {
        Ok(match &self.credentials {
            None => (format!("http://{}", self.grpc), ClientTls::default()),
            Some(credentials) => (format!("https://{}", self.grpc), credentials.client(id)?),
        })
    }

    /// Where data may be put that goes with it.
    pub(crate) fn folder(&self) -> &Path {
        self.data.path()
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let pid = self.child.id().context("the control plane ended")?;
        Ok(Usage {
            cpu: process::cpu(pid)?,
            rss_kib: process::holdings(pid)?.rss_kib,
        })
    }

    /// Stops it and waits for its end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.end().await
    }

    async fn end(&mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id() {
            let told = Command::new("kill")
                .args(["-TERM", &pid.to_string()])
                .status()
                .await?;
            anyhow::ensure!(told.success(), "the control plane cannot be told to stop");
        }
        self.child.wait().await?;
        Ok(())
    }
}

async fn launch(
    program: &Path,
    data: &Path,
    credentials: Option<&Credentials>,
) -> anyhow::Result<(Child, SocketAddr, Duration)> {
    let (grpc, rest) = (free_address().await?, free_address().await?);
    let began = Instant::now();
    let child = Command::new(program)
        .arg("--data-dir")
        .arg(data.join("control-plane"))
        .args([
            "--grpc-listen",
            &grpc.to_string(),
            "--rest-listen",
            &rest.to_string(),
            "--weights-min-interval-ms",
            "0",
            "--telemetry-interval-ms",
            "10000",
        ])
        .args(credentials.map(Credentials::flags).into_iter().flatten())
        .env("TYRSCALE_LOG", "error")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let way = way(grpc, credentials)?;
    while !serves(&way).await {
        anyhow::ensure!(began.elapsed() < START_LIMIT, "the control plane does not serve");
        tokio::time::sleep(LOOK).await;
    }
    Ok((child, grpc, began.elapsed()))
}

/// The way of a user.
fn way(to: SocketAddr, credentials: Option<&Credentials>) -> anyhow::Result<Way> {
    let tls = credentials.map(Credentials::user).transpose()?;
    Ok(Way { to, tls })
}

/// Whether it answers: it listens before it has read its store.
async fn serves(way: &Way) -> bool {
    let Ok(channel) = way.connect(&Received::default()).await else {
        return false;
    };
    let request = v1::ListNetworksRequest {
        page_size: 1,
        ..Default::default()
    };
    NetworkServiceClient::new(channel)
        .list_networks(request)
        .await
        .is_ok()
}

/// An address that is free now.
pub(crate) async fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}
