//! What the configuration must be: every change that was acknowledged, and no other.
//!
//! One change is under way at a time, under an id of its own, until some control plane acknowledges it; so an answer that
//! was lost is no doubt but one more try.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use fastrand::Rng;
use tokio::time::timeout;
use tyrscale_client::ClientError;
use tyrscale_model::{
    Address, ChainId, ChangeSet, Expectation, Kind, LoadBalancer, Network, Operation, Policy, Rejection,
    Resource, ResourceKey, Route, Scheme, Snapshot, Target, UnixMillis, Upstream, Version, View, Weight,
    apply, wire,
};
use tyrscale_proto::v1;
use uuid::Uuid;

use super::planes::Planes;

/// How long the first answer may take, from nothing.
const BOOT: Duration = Duration::from_secs(90);
/// How long a control plane may take to answer before another one is asked: less than some take that answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two changes, at most, in milliseconds.
const CHANGE_EVERY_MS: u64 = 200;
/// Networks, and routes besides that of the clients.
const FEW: u32 = 20;
/// What the gateway's program runs from.
const GATEWAY: [Kind; 6] = [
    Kind::Network,
    Kind::Secret,
    Kind::Rpc,
    Kind::Upstream,
    Kind::Route,
    Kind::Plugin,
];

pub(crate) struct Oracle {
    snapshot: Snapshot,
    rng: Rng,
    upstreams: Vec<Upstream>,
    pub(crate) acknowledged: u64,
    pub(crate) tries: u64,
}

impl Oracle {
    /// Makes the first change: a route of clients to these nodes.
    pub(crate) async fn begin(planes: &Planes, rng: Rng, nodes: &[u16]) -> anyhow::Result<Self> {
        let (route, upstreams) = of_clients(nodes)?;
        let resources = upstreams.iter().cloned().map(Resource::Upstream);
        let operations = std::iter::once(Resource::Route(route)).chain(resources);
        let operations: Vec<_> = operations.map(put).collect();
        let mut oracle = Self {
            // Its lineage is the store's once that is known.
            snapshot: Snapshot::empty(tyrscale_model::Lineage([0; 16])),
            rng,
            upstreams,
            acknowledged: 0,
            tries: 0,
        };
        let version = oracle.send(planes, &operations, Instant::now() + BOOT).await?;
        oracle.snapshot = Snapshot::empty(version.lineage);
        oracle.take(operations, &version)?;
        Ok(oracle)
    }

    /// What every gateway is to run.
    pub(crate) fn version(&self) -> Version {
        self.snapshot.version(View::ALL)
    }

    /// The same as each kind of gateway sees it: those in this process everything, the programs what they run from.
    pub(crate) fn versions(&self) -> [Version; 2] {
        [self.version(), self.snapshot.version(View::of(&GATEWAY))]
    }

    /// Makes one change after the other for so long; the last one may take `patience` more.
    pub(crate) async fn work(
        &mut self,
        planes: &Planes,
        time: Duration,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            let pause = Duration::from_millis(self.rng.u64(0..=CHANGE_EVERY_MS));
            tokio::time::sleep(pause).await;
            self.step(planes, start + time + patience).await?;
        }
        Ok(())
    }

    /// Makes a change, until `end` at most.
    pub(crate) async fn step(&mut self, planes: &Planes, end: Instant) -> anyhow::Result<()> {
        let operations = self.think()?;
        let version = self.send(planes, &operations, end).await?;
        self.take(operations, &version)
    }

    /// Tries a change on one control plane after the other until one acknowledges it.
    async fn send(
        &mut self,
        planes: &Planes,
        operations: &[Operation],
        end: Instant,
    ) -> anyhow::Result<Version> {
        let header = v1::ApplyHeader {
            request_id: Uuid::from_u128(self.rng.u128(..)).to_string(),
            ..v1::ApplyHeader::default()
        };
        let mut last = None;
        while Instant::now() < end {
            self.tries += 1;
            let which = self.rng.usize(0..planes.count());
            let sending = async {
                let client = planes.client(which).await?;
                let applied = client.apply(header.clone(), operations).await;
                applied.map_err(anyhow::Error::from)
            };
            match timeout(PATIENCE, sending).await {
                Ok(Ok(answer)) => {
                    let version = answer.version.as_ref().and_then(wire::version_from_wire);
                    self.acknowledged += 1;
                    return version.context("an answer without version");
                }
                Ok(Err(error)) if is_final(&error) => return Err(error),
                Ok(Err(error)) => last = Some(error),
                Err(_) => last = Some(anyhow::anyhow!("control plane {which} does not answer")),
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("no control plane acknowledges {operations:?}; the last one said {last:?}")
    }

    /// What was acknowledged is so.
    fn take(&mut self, operations: Vec<Operation>, version: &Version) -> anyhow::Result<()> {
        let change_set = ChangeSet {
            operations,
            ..ChangeSet::default()
        };
        let applied = apply(&self.snapshot, &change_set, &Policy::default(), UnixMillis(0))?;
        self.snapshot = applied.snapshot;
        let own = self.version();
        ensure!(
            own == *version,
            "acknowledged as {version:?}, but must be {own:?}"
        );
        Ok(())
    }

    fn think(&mut self) -> Result<Vec<Operation>, Rejection> {
        let number = self.rng.u32(0..FEW);
        match self.rng.u32(0..10) {
            0..=3 => {
                let chain_id = ChainId::try_from(self.rng.u64(1..1_000_000))?;
                let network = Network {
                    name: format!("n{number}").parse()?,
                    blockchain: "ethereum".parse()?,
                    chain_id,
                };
                Ok(vec![put(Resource::Network(network))])
            }
            4..=6 => {
                let Some(mut upstream) = self.rng.choice(&self.upstreams).cloned() else {
                    return Ok(Vec::new());
                };
                upstream.weight = Weight::try_from(f64::from(self.rng.u32(1..=100)))?;
                Ok(vec![put(Resource::Upstream(upstream))])
            }
            _ => self.put_or_delete(number),
        }
    }

    /// Puts a route with an upstream, or deletes it if it is there.
    fn put_or_delete(&mut self, number: u32) -> Result<Vec<Operation>, Rejection> {
        let route = Route::new(
            id(3, number).to_string().parse()?,
            format!("h{number}.example"),
            "/",
            LoadBalancer::LeastLoad,
        );
        let key: ResourceKey = route.id.key();
        if self.snapshot.get(&key).is_some() {
            return Ok(vec![Operation::Delete {
                key,
                etag: None,
                cascade: true,
            }]);
        }
        let address = Address::new(Scheme::Http, "127.0.0.1", 9, &format!("/{}", self.rng.u32(..)))?;
        let weight = Weight::try_from(1.0)?;
        let own = id(4, number).to_string().parse()?;
        let upstream = Upstream::new(own, route.id, Target::Address(address), weight);
        Ok(vec![
            put(Resource::Route(route)),
            put(Resource::Upstream(upstream)),
        ])
    }
}

/// The route that clients ask, with an upstream for each node.
fn of_clients(nodes: &[u16]) -> Result<(Route, Vec<Upstream>), Rejection> {
    let route = Route::new(
        id(1, 0).to_string().parse()?,
        "localhost",
        "/",
        LoadBalancer::LeastLoad,
    );
    let mut upstreams = Vec::new();
    for (number, port) in (0..).zip(nodes) {
        let address = Address::new(Scheme::Http, "127.0.0.1", *port, "/")?;
        let weight = Weight::try_from(1.0)?;
        let own = id(2, number).to_string().parse()?;
        upstreams.push(Upstream::new(own, route.id, Target::Address(address), weight));
    }
    Ok((route, upstreams))
}

/// Whether trying again will not help: the change itself is at fault.
fn is_final(error: &anyhow::Error) -> bool {
    let client = error.downcast_ref::<ClientError>();
    matches!(client, Some(ClientError::Rejected { .. }))
}

pub(super) fn put(resource: Resource) -> Operation {
    Operation::Upsert {
        resource,
        expectation: Expectation::Any,
        etag: None,
    }
}

pub(super) fn id(kind: u128, number: u32) -> Uuid {
    Uuid::from_u128(0x4000_8000_0000_0000_0000 | kind << 96 | u128::from(number))
}
