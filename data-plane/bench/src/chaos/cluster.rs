//! Members of etcd and control planes over them, with the ways between, and what befalls them.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::Serialize;
use tokio::net::TcpListener;

use super::planes::Planes;
use super::program::Program;
use super::proxy::{Proxy, Way};

/// Of control planes, and of members of etcd.
const SIZE: usize = 3;
/// Between two faults, in milliseconds.
const FAULT_EVERY_MS: std::ops::RangeInclusive<u64> = 200..=2_000;
/// How long a fault lasts, in milliseconds.
const FAULT_LASTS_MS: std::ops::RangeInclusive<u64> = 500..=8_000;
/// Between two looks whether a fault begins or ends.
const TICK: Duration = Duration::from_millis(50);
/// Below those of connections. Source: ip(7), `ip_local_port_range`.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
/// How many ports are tried.
const TRIES: usize = 1_000;

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
    /// Nothing passes between a control plane and any member of etcd.
    Isolate(usize),
}

impl Fault {
    fn any(rng: &mut Rng, gateways: usize) -> Self {
        let (which, gateway) = (rng.usize(0..SIZE), rng.usize(0..gateways));
        match rng.u32(0..11) {
            0 | 1 => Self::Kill(which),
            2 | 3 => Self::Pause(which),
            4 => Self::KillEtcd(which),
            5 => Self::PauseEtcd(which),
            6 | 7 => Self::Cut(gateway, which),
            8 | 9 => Self::Silence(gateway, which),
            _ => Self::Isolate(which),
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
    isolations: u32,
}

/// Everything that fails.
pub(crate) struct Cluster {
    etcd: Vec<Program>,
    planes: Vec<Program>,
    pub(crate) addresses: Planes,
    /// By gateway, its way to each control plane.
    ways: Vec<Vec<Proxy>>,
    /// By control plane, its way to each member of etcd.
    stores: Vec<Vec<Proxy>>,
    /// Faults of ways that last, and until when.
    closed: Vec<(Fault, Duration)>,
    pub(crate) counts: Counts,
}

impl Cluster {
    /// Starts all of it with its data below `dir`, and the ways for so many gateways.
    pub(crate) async fn start(control_plane: &Path, gateways: usize, dir: &Path) -> anyhow::Result<Self> {
        let (etcd, members) = start_etcd(dir).await?;
        let key = dir.join("master.key");
        std::fs::write(&key, "5a".repeat(32))?;
        std::fs::set_permissions(&key, Permissions::from_mode(0o600))?;
        let (mut planes, mut addresses, mut stores) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..SIZE {
            let address = free_address().await?;
            let own = proxies(&members).await?;
            let name = format!("control-plane-{number}");
            let arguments = [
                ("--etcd", urls(&own).join(",")),
                ("--data-dir", dir.join(&name).display().to_string()),
                ("--secrets-key-file", key.display().to_string()),
                ("--grpc-listen", address.to_string()),
                ("--rest-listen", free_address().await?.to_string()),
                ("--admin-listen", free_address().await?.to_string()),
                ("--heartbeat-ms", "2000".to_owned()),
            ];
            planes.push(Program::start(name, control_plane, arguments, dir)?);
            addresses.push(address);
            stores.push(own);
        }
        let mut ways = Vec::new();
        for _ in 0..gateways {
            ways.push(proxies(&addresses).await?);
        }
        Ok(Self {
            etcd,
            planes,
            addresses: Planes(addresses),
            ways,
            stores,
            closed: Vec::new(),
            counts: Counts::default(),
        })
    }

    /// A gateway's addresses of the control planes: each gateway begins with another one.
    pub(crate) fn ways_of(&self, gateway: usize) -> Vec<String> {
        let mut ways = self.ways.get(gateway).map(|ways| urls(ways)).unwrap_or_default();
        ways.rotate_left(gateway % SIZE);
        ways
    }

    /// Fails for so long by a plan that follows from `rng`; in the end everything is mended.
    ///
    /// # Errors
    /// When a program cannot be started again, or has ended by itself.
    pub(crate) async fn storm(&mut self, rng: &mut Rng, time: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut next = Duration::ZERO;
        while start.elapsed() < time {
            let now = start.elapsed();
            self.mend(now).await?;
            if next <= now {
                let fault = Fault::any(rng, self.ways.len());
                let lasts = Duration::from_millis(rng.u64(FAULT_LASTS_MS));
                next += Duration::from_millis(rng.u64(FAULT_EVERY_MS));
                self.befall(fault, now + lasts).await?;
            }
            tokio::time::sleep(TICK).await;
        }
        self.mend(Duration::MAX).await
    }

    /// Lets something happen. Of each kind of program at most one is not well at a time.
    pub(crate) async fn befall(&mut self, fault: Fault, until: Duration) -> anyhow::Result<()> {
        let counts = &mut self.counts;
        let count = match fault {
            Fault::Kill(which) => {
                let Some(plane) = well(&mut self.planes, which) else {
                    return Ok(());
                };
                plane.kill(until).await?;
                &mut counts.kills
            }
            Fault::Pause(which) => {
                let Some(plane) = well(&mut self.planes, which) else {
                    return Ok(());
                };
                plane.suspend(until).await?;
                &mut counts.pauses
            }
            Fault::KillEtcd(which) => {
                let Some(member) = well(&mut self.etcd, which) else {
                    return Ok(());
                };
                member.kill(until).await?;
                &mut counts.etcd_kills
            }
            Fault::PauseEtcd(which) => {
                let Some(member) = well(&mut self.etcd, which) else {
                    return Ok(());
                };
                member.suspend(until).await?;
                &mut counts.etcd_pauses
            }
            Fault::Cut(..) => &mut counts.cuts,
            Fault::Silence(..) => &mut counts.silences,
            Fault::Isolate(_) => &mut counts.isolations,
        };
        *count += 1;
        if let Fault::Cut(..) | Fault::Silence(..) | Fault::Isolate(_) = fault {
            self.closed.push((fault, until));
            self.set_ways();
        }
        Ok(())
    }

    /// Ends what has lasted long enough.
    ///
    /// # Errors
    /// When a program has ended by itself.
    pub(crate) async fn mend(&mut self, now: Duration) -> anyhow::Result<()> {
        for program in self.planes.iter_mut().chain(&mut self.etcd) {
            program.mend(now).await?;
        }
        let before = self.closed.len();
        self.closed.retain(|(_, until)| *until > now);
        if self.closed.len() != before {
            self.set_ways();
        }
        Ok(())
    }

    /// Puts every way as the faults that last have it; of two the later one.
    fn set_ways(&self) {
        for (gateway, ways) in self.ways.iter().enumerate() {
            for (plane, proxy) in ways.iter().enumerate() {
                let way = self.closed.iter().rev().find_map(|(fault, _)| match fault {
                    Fault::Cut(from, to) if (*from, *to) == (gateway, plane) => Some(Way::Cut),
                    Fault::Silence(from, to) if (*from, *to) == (gateway, plane) => Some(Way::Silent),
                    _ => None,
                });
                proxy.set(way.unwrap_or(Way::Open));
            }
        }
        for (plane, ways) in self.stores.iter().enumerate() {
            let is_isolated =
                |(fault, _): &(Fault, Duration)| matches!(fault, Fault::Isolate(which) if *which == plane);
            let way = if self.closed.iter().any(is_isolated) {
                Way::Silent
            } else {
                Way::Open
            };
            ways.iter().for_each(|proxy| proxy.set(way));
        }
    }
}

/// A program, if all of its kind are well.
fn well(programs: &mut [Program], which: usize) -> Option<&mut Program> {
    let all_are = programs.iter().all(Program::is_well);
    programs.get_mut(which).filter(|_| all_are)
}

async fn start_etcd(dir: &Path) -> anyhow::Result<(Vec<Program>, Vec<SocketAddr>)> {
    let (mut clients, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..SIZE {
        clients.push(free_address().await?);
        peers.push(free_address().await?);
    }
    let cluster = (0..).zip(&peers);
    let cluster: Vec<String> = cluster
        .map(|(number, peer)| format!("etcd-{number}=http://{peer}"))
        .collect();
    let mut members = Vec::new();
    for (number, (client, peer)) in clients.iter().zip(&peers).enumerate() {
        let name = format!("etcd-{number}");
        let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let arguments = [
            ("--name", name.clone()),
            ("--data-dir", dir.join(&name).display().to_string()),
            ("--listen-client-urls", client.clone()),
            ("--advertise-client-urls", client),
            ("--listen-peer-urls", peer.clone()),
            ("--initial-advertise-peer-urls", peer),
            ("--initial-cluster", cluster.join(",")),
        ];
        members.push(Program::start(name, Path::new("etcd"), arguments, dir)?);
    }
    Ok((members, clients))
}

async fn proxies(to: &[SocketAddr]) -> anyhow::Result<Vec<Proxy>> {
    let mut proxies = Vec::new();
    for address in to {
        proxies.push(Proxy::start(*address).await?);
    }
    Ok(proxies)
}

fn urls(proxies: &[Proxy]) -> Vec<String> {
    let url = |proxy: &Proxy| format!("http://{}", proxy.address);
    proxies.iter().map(url).collect()
}

/// An address to listen on, also once whoever listened there is dead: none that the kernel gives to connections.
pub(crate) async fn free_address() -> anyhow::Result<SocketAddr> {
    for _ in 0..TRIES {
        let address = (std::net::Ipv4Addr::LOCALHOST, fastrand::u16(PORTS));
        if let Ok(listener) = TcpListener::bind(address).await {
            return Ok(listener.local_addr()?);
        }
    }
    anyhow::bail!("no free port in {PORTS:?}")
}
