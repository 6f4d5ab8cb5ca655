//! What the configuration must be: every change that was acknowledged, and no other.
//!
//! One change is under way at a time, under an id of its own, until some control plane acknowledges it; so an answer that
//! was lost is no doubt but one more try.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use fastrand::Rng;
use tokio::time::timeout;
use tyrscale_client::ClientError;
use tyrscale_model::{
    Address, Kind, LoadBalancer, Rejection, Resource, Route, Scheme, Selection, Snapshot, Target, Upstream,
    Version, View, Weight,
};
use uuid::Uuid;

use super::change::Change;
use super::planes::Planes;

/// How long the first answer may take, from nothing.
const BOOT: Duration = Duration::from_secs(90);
/// How long a control plane may take to answer before another one is asked: less than some take that answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two changes, at most, in milliseconds.
const CHANGE_EVERY_MS: u64 = 200;
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
    /// What was there before each change.
    past: Vec<Snapshot>,
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
        let change = Change::put(std::iter::once(Resource::Route(route)).chain(resources));
        let mut oracle = Self {
            // Its lineage is the store's once that is known.
            snapshot: Snapshot::empty(tyrscale_model::Lineage([0; 16])),
            past: Vec::new(),
            rng,
            upstreams,
            acknowledged: 0,
            tries: 0,
        };
        let version = oracle.send(planes, &change, Instant::now() + BOOT).await?;
        oracle.snapshot = Snapshot::empty(version.lineage);
        oracle.take(&change, &version)?;
        Ok(oracle)
    }

    /// What every gateway is to run.
    pub(crate) fn version(&self) -> Version {
        self.snapshot.version(View::ALL)
    }

    /// The same of what a selection sees.
    pub(crate) fn version_of(&self, selection: &Selection) -> anyhow::Result<Version> {
        Ok(self.snapshot.selected(selection)?.version(View::ALL))
    }

    /// What the programs are to run.
    pub(crate) fn version_of_programs(&self) -> Version {
        self.snapshot.version(View::of(&GATEWAY))
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
        let change = Change::any(&mut self.rng, &self.snapshot, &self.upstreams, &self.past)?;
        let version = self.send(planes, &change, end).await?;
        self.take(&change, &version)
    }

    /// Tries a change on one control plane after the other until one acknowledges it.
    async fn send(&mut self, planes: &Planes, change: &Change, end: Instant) -> anyhow::Result<Version> {
        let request_id = Uuid::from_u128(self.rng.u128(..)).to_string();
        let mut last = None;
        while Instant::now() < end {
            self.tries += 1;
            let which = self.rng.usize(0..planes.count());
            let sending = async { change.ask(&planes.client(which).await?, &request_id).await };
            match timeout(PATIENCE, sending).await {
                Ok(Ok(version)) => {
                    self.acknowledged += 1;
                    return Ok(version);
                }
                Ok(Err(error)) if is_final(&error) => return Err(error),
                Ok(Err(error)) => last = Some(error),
                Err(_) => last = Some(anyhow::anyhow!("control plane {which} does not answer")),
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("no control plane acknowledges {change:?}; the last one said {last:?}")
    }

    /// What was acknowledged is so.
    fn take(&mut self, change: &Change, version: &Version) -> anyhow::Result<()> {
        let next = change.after(&self.snapshot, &self.past)?;
        self.past.push(std::mem::replace(&mut self.snapshot, next));
        let own = self.version();
        ensure!(
            own == *version,
            "acknowledged as {version:?}, but must be {own:?} after {change:?}"
        );
        Ok(())
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
    let call = error.downcast_ref::<tonic::Status>().cloned();
    matches!(call.map(ClientError::from), Some(ClientError::Rejected { .. }))
}

pub(super) fn id(kind: u128, number: u32) -> Uuid {
    Uuid::from_u128(0x4000_8000_0000_0000_0000 | kind << 96 | u128::from(number))
}
