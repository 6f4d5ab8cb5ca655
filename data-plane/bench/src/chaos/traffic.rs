//! Clients that ask through the real gateways, of nodes that are always well.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tyrscale_simnode::{SimNode, SimNodeConfig};

use super::cluster::{Cluster, free_address};
use crate::connection::{Connection, Peer};
use crate::soak::calls::{self, Call};

const NODES: usize = 2;
/// Between two requests to a gateway.
const EVERY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(10);

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
}

/// Gateways that are programs of their own. Dropped, they end.
pub(crate) struct Traffic {
    gateways: Vec<SocketAddr>,
    _children: Vec<Child>,
}

impl Traffic {
    pub(crate) async fn start(program: &Path, cluster: &Cluster, count: usize) -> anyhow::Result<Self> {
        let (mut gateways, mut children) = (Vec::new(), Vec::new());
        for number in 0..count {
            let address = free_address().await?;
            let child = Command::new(program)
                .args(["--listen", &address.to_string()])
                .args(["--admin-listen", &free_address().await?.to_string()])
                .args(["--control-plane", &cluster.ways_of(number).join(",")])
                .args(["--node-id", &format!("gw-{number:02}")])
                .arg("--data-dir")
                .arg(cluster.dir.path().join(format!("gateway-{number}")))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .with_context(|| format!("{} cannot be started", program.display()))?;
            gateways.push(address);
            children.push(child);
        }
        Ok(Self {
            gateways,
            _children: children,
        })
    }

    /// Waits until every gateway serves.
    pub(crate) async fn serves(&self, within: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + within;
        for gateway in &self.gateways {
            let mut client = Client::new(*gateway);
            while let Err(error) = client.ask(0).await {
                anyhow::ensure!(Instant::now() < end, "a gateway does not serve: {error}");
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
            asking.spawn(ask(Client::new(*gateway), stop.clone()));
        }
        async move {
            let mut all = Tally::default();
            while let Some(tally) = asking.join_next().await {
                let tally = tally?;
                all.requests += tally.requests;
                all.failed += tally.failed;
                all.first_failure = all.first_failure.or(tally.first_failure);
            }
            Ok(all)
        }
    }
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
