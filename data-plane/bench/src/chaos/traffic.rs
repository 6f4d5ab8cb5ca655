//! Clients that ask through the real gateways, of nodes that are always well.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tyrscale_simnode::{SimNode, SimNodeConfig};

use super::cluster::{Cluster, free_address};
use super::program::Program;
use crate::connection::{Connection, Peer};
use crate::soak::calls::{self, Call};

const NODES: usize = 2;
/// Between two requests to a gateway.
const EVERY: Duration = Duration::from_millis(20);
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at what a gateway serves from.
const LOOK: Duration = Duration::from_millis(200);
/// The metric of it.
const REVISION: &str = "tyrscale_gateway_config_revision ";

/// Nodes that answer.
pub(crate) async fn nodes() -> anyhow::Result<Vec<SimNode>> {
    let mut nodes = Vec::new();
    for number in 0..NODES {
        let node = SimNode::start(SimNodeConfig::named(format!("node-{number}"))).await?;
        node.respond_with(calls::answer);
        nodes.push(node);
    }
    Ok(nodes)
}

/// What came of the requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    /// How often a gateway served from a lower revision than before.
    pub(crate) backwards: u64,
}

/// Gateways that are programs of their own. Dropped, they end.
pub(crate) struct Traffic {
    gateways: Vec<Gateway>,
}

struct Gateway {
    program: Program,
    clients: SocketAddr,
    admin: SocketAddr,
}

impl Traffic {
    /// Starts so many, the first ones of the cluster's.
    pub(crate) async fn start(
        program: &Path,
        cluster: &Cluster,
        count: usize,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let mut gateways = Vec::new();
        for number in 0..count {
            let (clients, admin) = (free_address().await?, free_address().await?);
            let id = format!("gw-{number:02}");
            let arguments = [
                ("--listen", clients.to_string()),
                ("--admin-listen", admin.to_string()),
                ("--control-plane", cluster.ways_of(number).join(",")),
                ("--data-dir", dir.join(&id).display().to_string()),
                ("--node-id", id.clone()),
            ];
            gateways.push(Gateway {
                program: Program::start(id, program, arguments, dir)?,
                clients,
                admin,
            });
        }
        Ok(Self { gateways })
    }

    /// Waits until every gateway serves.
    pub(crate) async fn serves(&self, within: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + within;
        for gateway in &self.gateways {
            let mut client = Client::new(gateway.clients);
            while let Err(error) = client.ask(0).await {
                anyhow::ensure!(
                    Instant::now() < end,
                    "the gateway at {} does not serve: {error}",
                    gateway.clients
                );
                tokio::time::sleep(EVERY).await;
            }
        }
        Ok(())
    }

    /// Asks until `stop`.
    pub(crate) fn ask(
        &self,
        stop: &CancellationToken,
    ) -> impl Future<Output = anyhow::Result<Tally>> + use<> {
        let mut asking = JoinSet::new();
        for gateway in &self.gateways {
            asking.spawn(ask(Client::new(gateway.clients), stop.clone()));
            asking.spawn(look(gateway.admin, stop.clone()));
        }
        async move {
            let mut all = Tally::default();
            while let Some(tally) = asking.join_next().await {
                let tally = tally?;
                all.requests += tally.requests;
                all.failed += tally.failed;
                all.first_failure = all.first_failure.or(tally.first_failure);
                all.backwards += tally.backwards;
            }
            Ok(all)
        }
    }

    /// No gateway has ended by itself.
    pub(crate) async fn is_well(&mut self) -> anyhow::Result<()> {
        for gateway in &mut self.gateways {
            gateway.program.mend(Duration::MAX).await?;
        }
        Ok(())
    }
}

/// Looks whether the revision that a gateway serves from ever falls, until `stop`.
async fn look(admin: SocketAddr, stop: CancellationToken) -> Tally {
    let mut tally = Tally::default();
    let mut highest = 0;
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        ticks.tick().await;
        if let Ok(Some(revision)) = timeout(PATIENCE, revision(admin)).await {
            tally.backwards += u64::from(revision < highest);
            highest = highest.max(revision);
        }
    }
    tally
}

/// What a gateway says it serves from.
async fn revision(admin: SocketAddr) -> Option<u64> {
    let peer = Peer {
        addr: admin,
        tls: None,
    };
    let mut connection = Connection::open(&peer).await.ok()?;
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answer = connection.exchange(request).await.ok()?;
    let text = std::str::from_utf8(answer.body).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(REVISION));
    line?.trim().parse().ok()
}

async fn ask(mut client: Client, stop: CancellationToken) -> Tally {
    let mut tally = Tally::default();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        ticks.tick().await;
        tally.requests += 1;
        if let Err(error) = client.ask(tally.requests).await {
            tally.failed += 1;
            tally.first_failure.get_or_insert(error);
        }
    }
    tally
}

struct Client {
    peer: Peer,
    connection: Option<Connection>,
}

impl Client {
    fn new(gateway: SocketAddr) -> Self {
        Self {
            peer: Peer {
                addr: (Ipv4Addr::LOCALHOST, gateway.port()).into(),
                tls: None,
            },
            connection: None,
        }
    }

    async fn ask(&mut self, number: u64) -> Result<(), String> {
        let asked = timeout(PATIENCE, self.exchange(number)).await;
        asked.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    async fn exchange(&mut self, number: u64) -> Result<(), String> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.peer)
                .await
                .map_err(|error| error.to_string())?,
        };
        let call = Call::new(number);
        let answer = connection.exchange(&call.request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let (checked, close) = (call.check(&answer), answer.close);
        self.connection = (!close).then_some(connection);
        checked.map_err(|wrong| wrong.to_string())
    }
}
