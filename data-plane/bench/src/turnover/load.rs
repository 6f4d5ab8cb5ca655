//! Clients that ask all hosts that are there.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, Peer};
use crate::soak::calls::Call;

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at what is still under way.
const LOOK: Duration = Duration::from_millis(1);
/// Most requests under way; beyond, the load waits.
const MAX_IN_FLIGHT: usize = 256;
/// A connection that was not used for longer is given up: the gateway may be closing it just then.
const MAX_IDLE: Duration = Duration::from_secs(1);
/// Failures that are told in words.
const MAX_TOLD: usize = 5;

/// What came of the requests.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) failures: Vec<String>,
}

/// The hosts that are there, and who asks them.
pub(crate) struct Load {
    peer: Peer,
    /// Each is held by the requests to it that are under way, too.
    hosts: Mutex<Vec<Arc<str>>>,
    /// Connections without a request, and since when.
    idle: Mutex<Vec<(Connection, Instant)>>,
    numbers: AtomicU64,
    tally: Mutex<Tally>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of the route that a lane of cycles leaves there.
pub(crate) fn steady_host(lane: u32) -> String {
    format!("steady-{lane}.example")
}

impl Load {
    /// Load on the routes that stay.
    pub(crate) fn new(gateway: SocketAddr, lanes: u32) -> Self {
        Self {
            peer: Peer {
                addr: gateway,
                tls: None,
            },
            hosts: Mutex::new((0..lanes).map(|lane| steady_host(lane).into()).collect()),
            idle: Mutex::default(),
            numbers: AtomicU64::new(1),
            tally: Mutex::default(),
        }
    }

    /// A host is there from now on.
    pub(crate) fn add(&self, host: &str) {
        lock(&self.hosts).push(host.into());
    }

    /// A host is about to go: asks it no more, and waits for the answers that are due.
    pub(crate) async fn remove(&self, host: &str) {
        let removed = {
            let mut hosts = lock(&self.hosts);
            let found = hosts.iter().position(|known| &**known == host);
            found.map(|place| hosts.swap_remove(place))
        };
        while removed.as_ref().is_some_and(|host| Arc::strong_count(host) > 1) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until all hosts are served.
    pub(crate) async fn serves(&self, within: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + within;
        let hosts = lock(&self.hosts).clone();
        for host in hosts {
            while let Err(error) = self.exchange(&Call::to(&host, 1)).await {
                anyhow::ensure!(Instant::now() < end, "the gateway does not serve: {error}");
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Asks hosts in turn until `stop`.
    pub(crate) async fn ask(self: Arc<Self>, rate: u32, stop: CancellationToken) -> anyhow::Result<Tally> {
        let mut ticks = interval(Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asking = JoinSet::new();
        while !stop.is_cancelled() {
            tokio::select! {
                _ = ticks.tick(), if asking.len() < MAX_IN_FLIGHT => {
                    asking.spawn(Arc::clone(&self).ask_one());
                }
                Some(asked) = asking.join_next() => asked?,
            }
        }
        while let Some(asked) = asking.join_next().await {
            asked?;
        }
        Ok(lock(&self.tally).clone())
    }

    async fn ask_one(self: Arc<Self>) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let host = {
            let hosts = lock(&self.hosts);
            let place = usize::try_from(number).unwrap_or_default() % hosts.len().max(1);
            hosts.get(place).cloned()
        };
        let Some(host) = host else { return };
        let asked = timeout(PATIENCE, self.exchange(&Call::to(&host, number))).await;
        let mut tally = lock(&self.tally);
        tally.requests += 1;
        if let Err(error) = asked.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            tally.failed += 1;
            if tally.failures.len() < MAX_TOLD {
                tally.failures.push(format!("{host}: {error}"));
            }
        }
    }

    async fn exchange(&self, call: &Call) -> Result<(), String> {
        // The newest is the last: if it is too old, all are.
        let unused = lock(&self.idle).pop();
        let mut connection = match unused.filter(|(_, since)| since.elapsed() < MAX_IDLE) {
            Some((connection, _)) => connection,
            None => Connection::open(&self.peer)
                .await
                .map_err(|error| error.to_string())?,
        };
        let answer = connection.exchange(&call.request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let (checked, close) = (call.check(&answer), answer.close);
        if !close {
            lock(&self.idle).push((connection, Instant::now()));
        }
        checked.map_err(|wrong| wrong.to_string())
    }
}
