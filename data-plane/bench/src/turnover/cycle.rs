//! Routes and upstreams that come, move and go.

use std::sync::Arc;

use tonic::transport::Channel;
use tyrscale_proto::v1::{
    self, apply_request::Part, resource::Resource as Wire, status_service_client::StatusServiceClient,
};

use super::load::{Load, steady_host};
use crate::discovery::calls::send;
use crate::discovery::document::{change, deletion, route_id, upsert, upstream_id};
use crate::discovery::plane::Plane;

const NETWORK: &str = "turnover";
/// Numbers of the routes of cycles begin here; below are those that stay.
const FIRST: u32 = 1_000;
/// How long the gateway may take to run a change.
const LIMIT_MS: u32 = 30_000;

/// Makes the addresses, and a route for each lane that stays.
pub(crate) async fn fill(plane: &Plane, ports: &[u16], lanes: u32) -> anyhow::Result<()> {
    let network = Wire::Network(v1::Network {
        name: NETWORK.to_owned(),
        blockchain: "ethereum".to_owned(),
        chain_id: 1,
        ..Default::default()
    });
    let mut steps = vec![upsert(network)];
    for (number, port) in (0..).zip(ports) {
        steps.push(upsert(Wire::Rpc(v1::Rpc {
            id: rpc_id(number),
            network: NETWORK.to_owned(),
            provider: "bench".to_owned(),
            visibility: v1::Visibility::Private.into(),
            url: format!("http://127.0.0.1:{port}/"),
            collectors: vec![v1::Collector::EthBlockNumber.into()],
            ..Default::default()
        })));
    }
    for lane in 0..lanes {
        steps.push(route(lane, steady_host(lane)));
        steps.push(upstream(lane, 0, 0));
    }
    send(&plane.connect().await?, change(steps, false)).await?;
    Ok(())
}

/// Cycles one after the other.
pub(crate) struct Lane {
    number: u32,
    channel: Channel,
    load: Arc<Load>,
    changes: u32,
}

impl Lane {
    pub(crate) async fn new(plane: &Plane, load: Arc<Load>, number: u32) -> anyhow::Result<Self> {
        Ok(Self {
            number,
            channel: plane.connect().await?,
            load,
            changes: 0,
        })
    }

    /// How many changes were made.
    pub(crate) async fn run(mut self, cycles: impl Iterator<Item = u32>) -> anyhow::Result<u32> {
        for cycle in cycles {
            self.cycle(cycle).await?;
        }
        Ok(self.changes)
    }

    async fn cycle(&mut self, cycle: u32) -> anyhow::Result<()> {
        let (steady, new, host) = (self.number, FIRST + cycle, format!("cycle-{cycle}.example"));
        let added = vec![
            route(new, host.clone()),
            upstream(new, 0, 0),
            upstream(steady, 1, 1),
        ];
        self.make(added).await?;
        self.load.add(&host);
        // The upstream that was added goes to the new route, and each other one to another address.
        let moved = vec![
            deletion(v1::Kind::Upstream, upstream_id(steady, 1)),
            upstream(new, 1, 0),
            upstream(new, 0, 1),
            upstream(steady, 0, 1),
        ];
        self.make(moved).await?;
        self.make(vec![deletion(v1::Kind::Upstream, upstream_id(new, 0))])
            .await?;
        self.load.remove(&host).await;
        let removed = vec![deletion(v1::Kind::Route, route_id(new)), upstream(steady, 0, 0)];
        self.make(removed).await
    }

    /// Makes a change and waits until the gateway runs it.
    async fn make(&mut self, steps: Vec<Part>) -> anyhow::Result<()> {
        let revision = send(&self.channel, change(steps, false)).await?;
        self.changes += 1;
        let request = v1::WaitForRevisionRequest {
            revision,
            timeout_ms: LIMIT_MS,
        };
        let waited = StatusServiceClient::new(self.channel.clone())
            .wait_for_revision(request)
            .await?;
        let reached = waited.into_inner().reached;
        anyhow::ensure!(reached, "the gateway does not run revision {revision}");
        Ok(())
    }
}

fn route(number: u32, host: String) -> Part {
    upsert(Wire::Route(v1::Route {
        id: route_id(number),
        host,
        path: "/".to_owned(),
        load_balancer: v1::LoadBalancer::WeightRoundRobin.into(),
        ..Default::default()
    }))
}

fn upstream(route: u32, number: u32, rpc: u32) -> Part {
    upsert(Wire::Upstream(v1::Upstream {
        id: upstream_id(route, number),
        route_id: route_id(route),
        target: Some(v1::upstream::Target::RpcId(rpc_id(rpc))),
        weight: 1.0,
        ..Default::default()
    }))
}

fn rpc_id(number: u32) -> String {
    format!("00000000-0000-4000-8003-{number:012x}")
}
