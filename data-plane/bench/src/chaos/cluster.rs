//! The programs: members of etcd and control planes, with the ways to them, and what befalls them.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use fastrand::Rng;
use serde::Serialize;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tyrscale_client::{ControlPlane, Credentials};
use tyrscale_model::{Version, wire};
use tyrscale_proto::v1;

use super::proxy::{Proxy, Way};

/// Of control planes, and of members of etcd.
pub(crate) const SIZE: usize = 3;

/// What befalls something.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// A control plane dies and is started again.
    Kill(usize),
    /// A control plane is suspended.
    Pause(usize),
    /// A member of etcd dies and is started again.
    KillEtcd(usize),
    /// A member of etcd is suspended.
    PauseEtcd(usize),
    /// A gateway loses its way to a control plane.
    Cut(usize, usize),
    /// Nothing passes between a gateway and a control plane.
    Silence(usize, usize),
}

impl Fault {
    pub(crate) fn any(rng: &mut Rng, gateways: usize) -> Self {
        let (which, gateway) = (rng.usize(0..SIZE), rng.usize(0..gateways));
        match rng.u32(0..10) {
            0 | 1 => Self::Kill(which),
            2 | 3 => Self::Pause(which),
            4 => Self::KillEtcd(which),
            5 => Self::PauseEtcd(which),
            6 | 7 => Self::Cut(gateway, which),
            _ => Self::Silence(gateway, which),
        }
    }
}

/// How often each happened.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Counts {
    kills: u32,
    pauses: u32,
    etcd_kills: u32,
    etcd_pauses: u32,
    cuts: u32,
    silences: u32,
}

/// A program, and how it is started.
struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    child: Child,
    /// What ails it, and until when since the start of the storm.
    ails: Option<(Ailment, Duration)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ailment {
    Dead,
    Suspended,
}

impl Program {
    fn start(path: &Path, arguments: Vec<String>) -> anyhow::Result<Self> {
        Ok(Self {
            child: spawn(path, &arguments)?,
            path: path.to_owned(),
            arguments,
            ails: None,
        })
    }

    async fn kill(&mut self, until: Duration) -> anyhow::Result<()> {
        self.child.kill().await?;
        self.ails = Some((Ailment::Dead, until));
        Ok(())
    }

    async fn pause(&mut self, until: Duration) -> anyhow::Result<()> {
        self.signal("-STOP").await?;
        self.ails = Some((Ailment::Suspended, until));
        Ok(())
    }

    async fn mend(&mut self) -> anyhow::Result<()> {
        match self.ails.take() {
            Some((Ailment::Dead, _)) => self.child = spawn(&self.path, &self.arguments)?,
            Some((Ailment::Suspended, _)) => self.signal("-CONT").await?,
            None => {}
        }
        Ok(())
    }

    async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let pid = self.child.id().context("it has ended by itself")?.to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await?;
        anyhow::ensure!(sent.success(), "kill {signal} {pid}: {sent}");
        Ok(())
    }
}

fn spawn(path: &Path, arguments: &[String]) -> anyhow::Result<Child> {
    Command::new(path)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be started", path.display()))
}

/// Everything that fails.
pub(crate) struct Cluster {
    etcd: Vec<Program>,
    planes: Vec<Program>,
    /// Where control planes listen.
    addresses: Vec<SocketAddr>,
    /// By gateway, its way to each control plane.
    ways: Vec<Vec<Proxy>>,
    /// Ways that are not open, and until when.
    closed: Vec<(usize, usize, Duration)>,
    pub(crate) counts: Counts,
    pub(crate) dir: TempDir,
}

impl Cluster {
    pub(crate) async fn start(control_plane: &Path, gateways: usize) -> anyhow::Result<Self> {
        let dir = TempDir::new()?;
        let (etcd, endpoints) = start_etcd(&dir).await?;
        let key = dir.path().join("master.key");
        std::fs::write(&key, "5a".repeat(32))?;
        std::fs::set_permissions(&key, Permissions::from_mode(0o600))?;
        let (mut planes, mut addresses) = (Vec::new(), Vec::new());
        for number in 0..SIZE {
            let address = free_address().await?;
            let data = dir.path().join(format!("plane-{number}")).display().to_string();
            let arguments = [
                ("--etcd", endpoints.join(",")),
                ("--data-dir", data),
                ("--secrets-key-file", key.display().to_string()),
                ("--grpc-listen", address.to_string()),
                ("--rest-listen", free_address().await?.to_string()),
                ("--admin-listen", free_address().await?.to_string()),
                ("--heartbeat-ms", "2000".to_owned()),
            ];
            let arguments = arguments
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value]);
            planes.push(Program::start(control_plane, arguments.collect())?);
            addresses.push(address);
        }
        let mut ways = Vec::new();
        for _ in 0..gateways {
            let mut own = Vec::new();
            for address in &addresses {
                own.push(Proxy::start(*address).await?);
            }
            ways.push(own);
        }
        Ok(Self {
            etcd,
            planes,
            addresses,
            ways,
            closed: Vec::new(),
            counts: Counts::default(),
            dir,
        })
    }

    pub(crate) fn gateways(&self) -> usize {
        self.ways.len()
    }

    /// A gateway's addresses of the control planes.
    pub(crate) fn ways_of(&self, gateway: usize) -> Vec<String> {
        let ways = self.ways.get(gateway).into_iter().flatten();
        ways.map(|way| format!("http://{}", way.address)).collect()
    }

    /// A client of one control plane.
    pub(crate) async fn client(&self, number: usize) -> anyhow::Result<ControlPlane> {
        let address = self.addresses.get(number).context("no such control plane")?;
        let uri = format!("http://{address}").parse()?;
        Ok(ControlPlane::connect(&uri, &Credentials::default()).await?)
    }

    /// Lets something happen, for a while. At most one of each three programs is not well at a time.
    pub(crate) async fn befall(&mut self, fault: Fault, now: Duration, rng: &mut Rng) -> anyhow::Result<()> {
        let until = now + Duration::from_millis(rng.u64(500..=8_000));
        match fault {
            Fault::Kill(which) => {
                if let Some(plane) = well(&mut self.planes, which) {
                    plane.kill(until).await?;
                    self.counts.kills += 1;
                }
            }
            Fault::Pause(which) => {
                if let Some(plane) = well(&mut self.planes, which) {
                    plane.pause(until).await?;
                    self.counts.pauses += 1;
                }
            }
            Fault::KillEtcd(which) => {
                if let Some(member) = well(&mut self.etcd, which) {
                    member.kill(until).await?;
                    self.counts.etcd_kills += 1;
                }
            }
            Fault::PauseEtcd(which) => {
                if let Some(member) = well(&mut self.etcd, which) {
                    member.pause(until).await?;
                    self.counts.etcd_pauses += 1;
                }
            }
            Fault::Cut(gateway, plane) => {
                self.counts.cuts += 1;
                self.set(gateway, plane, Way::Cut);
                self.closed.push((gateway, plane, until));
            }
            Fault::Silence(gateway, plane) => {
                self.counts.silences += 1;
                self.set(gateway, plane, Way::Silent);
                self.closed.push((gateway, plane, until));
            }
        }
        Ok(())
    }

    fn set(&self, gateway: usize, plane: usize, way: Way) {
        let ways = self.ways.get(gateway);
        if let Some(proxy) = ways.and_then(|ways| ways.get(plane)) {
            proxy.way.send_replace(way);
        }
    }

    /// Ends what has lasted long enough.
    pub(crate) async fn mend(&mut self, now: Duration) -> anyhow::Result<()> {
        for program in self.planes.iter_mut().chain(&mut self.etcd) {
            if program.ails.is_some_and(|(_, until)| until <= now) {
                program.mend().await?;
            }
        }
        let (over, closed): (Vec<_>, Vec<_>) = self.closed.drain(..).partition(|(_, _, until)| *until <= now);
        self.closed = closed;
        for (gateway, plane, _) in over {
            let is_closed = |(other, to, _): &(usize, usize, Duration)| (*other, *to) == (gateway, plane);
            if !self.closed.iter().any(is_closed) {
                self.set(gateway, plane, Way::Open);
            }
        }
        Ok(())
    }

    /// Ends everything that ails.
    pub(crate) async fn recover(&mut self) -> anyhow::Result<()> {
        self.mend(Duration::MAX).await
    }

    /// Waits until one control plane lists every gateway at one of these versions.
    pub(crate) async fn all_run(
        &self,
        versions: &[Version],
        gateways: usize,
        within: Duration,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + within;
        let mut seen = Vec::new();
        while Instant::now() < end {
            if let Ok(client) = self.client(0).await
                && let Ok(listed) = client.status().list_nodes(v1::ListNodesRequest {}).await
            {
                seen = listed.into_inner().nodes;
                let level = seen.iter().filter(|node| runs(node, versions));
                if level.count() == gateways {
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("not every gateway runs one of {versions:?}: {seen:#?}")
    }
}

/// A program, if all of its kind are well.
fn well(programs: &mut [Program], which: usize) -> Option<&mut Program> {
    let all_are = programs.iter().all(|program| program.ails.is_none());
    programs.get_mut(which).filter(|_| all_are)
}

fn runs(node: &v1::NodeStatus, versions: &[Version]) -> bool {
    let config = i32::from(v1::Lane::Config);
    let lane = node.lanes.iter().find(|lane| lane.lane == config);
    let running = lane.and_then(|lane| lane.running.as_ref());
    let running = running.and_then(wire::version_from_wire);
    node.connected_since.is_some() && running.is_some_and(|running| versions.contains(&running))
}

async fn start_etcd(dir: &TempDir) -> anyhow::Result<(Vec<Program>, Vec<String>)> {
    let mut ports = Vec::new();
    for _ in 0..SIZE {
        ports.push((free_address().await?, free_address().await?));
    }
    let peers: Vec<String> = (0..)
        .zip(&ports)
        .map(|(number, (_, peer))| format!("m{number}=http://{peer}"))
        .collect();
    let (mut members, mut endpoints) = (Vec::new(), Vec::new());
    for (number, (client, peer)) in ports.iter().enumerate() {
        let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let arguments = [
            ("--name", format!("m{number}")),
            (
                "--data-dir",
                dir.path().join(format!("m{number}")).display().to_string(),
            ),
            ("--listen-client-urls", client.clone()),
            ("--advertise-client-urls", client.clone()),
            ("--listen-peer-urls", peer.clone()),
            ("--initial-advertise-peer-urls", peer),
            ("--initial-cluster", peers.join(",")),
        ];
        let arguments = arguments
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value]);
        members.push(Program::start(Path::new("etcd"), arguments.collect())?);
        endpoints.push(client);
    }
    Ok((members, endpoints))
}

pub(crate) async fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    Ok(listener.local_addr()?)
}
