//! The configuration of a gateway alone: made here, changed here, in the types of the real one.

use serde::{Deserialize, Serialize};
use tyrscale_model::{
    ChainId, ChangeSet, CircuitBreaker, Collector, HealthCheck, HealthCheckType, HttpUrl, Lineage,
    LoadBalancer, Network, Operation, Policy, Rejection, Resource, ResourceKey, Route, RouteId, Rpc, RpcId,
    Snapshot, Target, UnixMillis, Upstream, UpstreamHeaders, UpstreamId, Violation, Visibility, Weight,
    apply,
};

/// Most resources in one change.
const CHUNK: usize = 1_000;
const NETWORK: &str = "eth";

/// What a route is made of.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Shape {
    /// URL of an upstream; repeat it for more.
    #[arg(long = "upstream", value_name = "URL", required = true, value_parser = url)]
    urls: Vec<HttpUrl>,
    /// Routes; the first is `localhost/`, the others stand beside it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    routes: u32,
    /// Upstreams of each route, over the given URLs in turn; by default one for each URL.
    #[arg(long)]
    upstreams: Option<u32>,
    /// How the routes choose among their upstreams, e.g. p2c-peak-ewma.
    #[arg(long, default_value = "weight-round-robin", value_parser = load_balancer)]
    load_balancer: LoadBalancer,
    /// Milliseconds between two health checks of each upstream of the first route; 0 for none.
    #[arg(long, default_value_t = 1_000)]
    health_interval_ms: u32,
    /// Failures in a row that open an upstream's breaker.
    #[arg(long, default_value_t = 5)]
    breaker_failures: u32,
    /// How long a breaker stays open, in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    breaker_timeout_ms: u32,
}

/// A change of the first route, as one line of JSON. Upstreams go by number, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Edit {
    /// Adds an upstream, or gives one that is there another weight.
    Put {
        /// Which.
        upstream: u32,
        /// 0 to 100.
        weight: f64,
    },
    /// Takes an upstream away.
    Remove {
        /// Which.
        upstream: u32,
    },
    /// Sets the breaker.
    Breaker {
        /// Failures in a row that open it.
        failures: u32,
        /// How long it stays open, in milliseconds.
        timeout_ms: u32,
    },
}

/// The newest snapshot, and what it takes to make the next.
#[derive(Debug)]
pub(crate) struct Configuration {
    shape: Shape,
    snapshot: Snapshot,
}

impl Configuration {
    pub(crate) fn new(shape: Shape) -> Result<Self, Rejection> {
        let mut configuration = Self {
            snapshot: Snapshot::empty(Lineage([1; 16])),
            shape,
        };
        let all = configuration.resources()?;
        for chunk in all.chunks(CHUNK) {
            let changed = configuration.apply(chunk.iter().cloned().map(Operation::put).collect())?;
            drop(changed);
        }
        Ok(configuration)
    }

    pub(crate) const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Makes an edit; returns what it changed.
    pub(crate) fn edit(&mut self, edit: Edit) -> Result<Vec<ResourceKey>, Rejection> {
        let operation = match edit {
            Edit::Put { upstream, weight } => {
                Operation::put(Resource::Upstream(self.upstream(0, upstream, weight)?))
            }
            Edit::Remove { upstream } => Operation::Delete {
                key: upstream_id(0, upstream)?.key(),
                etag: None,
                cascade: true,
            },
            Edit::Breaker { failures, timeout_ms } => {
                self.shape.breaker_failures = failures;
                self.shape.breaker_timeout_ms = timeout_ms;
                Operation::put(Resource::Route(self.route(0)?))
            }
        };
        self.apply(vec![operation])
    }

    fn apply(&mut self, operations: Vec<Operation>) -> Result<Vec<ResourceKey>, Rejection> {
        let change_set = ChangeSet {
            operations,
            ..ChangeSet::default()
        };
        let applied = apply(&self.snapshot, &change_set, &Policy::default(), UnixMillis(0))?;
        self.snapshot = applied.snapshot;
        Ok(applied.changes.into_iter().map(|change| change.key).collect())
    }

    fn resources(&self) -> Result<Vec<Resource>, Rejection> {
        let mut all = vec![Resource::Network(Network {
            name: NETWORK.parse()?,
            blockchain: "ethereum".parse()?,
            chain_id: ChainId::try_from(1337)?,
        })];
        for (number, url) in (0..).zip(&self.shape.urls) {
            all.push(Resource::Rpc(rpc(number, url)?));
        }
        let upstreams = self.shape.upstreams.unwrap_or_else(|| self.url_count());
        for number in 0..self.shape.routes {
            all.push(Resource::Route(self.route(number)?));
            for upstream in 0..upstreams {
                all.push(Resource::Upstream(self.upstream(number, upstream, 1.0)?));
            }
        }
        Ok(all)
    }

    fn url_count(&self) -> u32 {
        u32::try_from(self.shape.urls.len()).unwrap_or(u32::MAX)
    }

    fn route(&self, number: u32) -> Result<Route, Rejection> {
        let first = number == 0;
        let host = if first {
            "localhost".to_owned()
        } else {
            format!("route-{number}.example")
        };
        Ok(Route {
            circuit_breaker: Some(CircuitBreaker {
                enabled: true,
                max_requests: 1,
                max_consecutive_failures: self.shape.breaker_failures,
                timeout_ms: self.shape.breaker_timeout_ms,
                ..CircuitBreaker::default()
            }),
            // Of routes without traffic nothing but the probes would be measured.
            health_check: (first && self.shape.health_interval_ms > 0).then(|| HealthCheck {
                enabled: true,
                check: Some(HealthCheckType::EthBlockNumber),
                interval_ms: self.shape.health_interval_ms,
                timeout_ms: self.shape.health_interval_ms,
                unhealthy_threshold: 2,
                healthy_threshold: 1,
                ..HealthCheck::default()
            }),
            ..Route::new(route_id(number)?, host, "/", self.shape.load_balancer)
        })
    }

    fn upstream(&self, route: u32, number: u32, weight: f64) -> Result<Upstream, Rejection> {
        // At least one URL is given.
        let rpc = number.checked_rem(self.url_count()).unwrap_or_default();
        Ok(Upstream::new(
            upstream_id(route, number)?,
            route_id(route)?,
            Target::Rpc(rpc_id(rpc)?),
            Weight::try_from(weight)?,
        ))
    }
}

fn load_balancer(word: &str) -> Result<LoadBalancer, String> {
    word.parse().map_err(|violation: Violation| violation.to_string())
}

fn url(text: &str) -> Result<HttpUrl, Rejection> {
    Ok(text.parse()?)
}

fn rpc(number: u32, url: &HttpUrl) -> Result<Rpc, Rejection> {
    Ok(Rpc {
        id: rpc_id(number)?,
        network: NETWORK.parse()?,
        provider: "bench".parse()?,
        visibility: Visibility::Private,
        url: url.clone(),
        collectors: vec![Collector::EthBlockNumber],
        methods: None,
        prices: None,
        egress_proxy: None,
        headers: UpstreamHeaders::default(),
    })
}

fn uuid(kind: u32, parent: u32, number: u32) -> String {
    format!("{parent:08x}-0000-4000-{kind:04x}-{number:012x}")
}

fn route_id(number: u32) -> Result<RouteId, Rejection> {
    Ok(uuid(1, number, 0).parse()?)
}

fn rpc_id(number: u32) -> Result<RpcId, Rejection> {
    Ok(uuid(3, 0, number).parse()?)
}

fn upstream_id(route: u32, number: u32) -> Result<UpstreamId, Rejection> {
    Ok(uuid(2, route, number).parse()?)
}

#[cfg(test)]
mod tests {
    use tyrscale_model::View;

    use super::*;

    fn shape(routes: u32) -> Shape {
        Shape {
            urls: vec!["http://127.0.0.1:1/".parse().unwrap()],
            routes,
            upstreams: Some(3),
            load_balancer: LoadBalancer::WeightRoundRobin,
            health_interval_ms: 1_000,
            breaker_failures: 5,
            breaker_timeout_ms: 1_000,
        }
    }

    #[test]
    fn every_edit_changes_what_it_names() {
        let mut configuration = Configuration::new(shape(2)).unwrap();
        let edits = [
            Edit::Put {
                upstream: 1,
                weight: 7.0,
            },
            Edit::Remove { upstream: 1 },
            Edit::Put {
                upstream: 1,
                weight: 2.0,
            },
            Edit::Breaker {
                failures: 3,
                timeout_ms: 50,
            },
        ];
        for edit in edits {
            let before = configuration.snapshot().version(View::ALL);
            assert_eq!(configuration.edit(edit).unwrap().len(), 1, "{edit:?}");
            assert_ne!(configuration.snapshot().version(View::ALL), before);
        }
    }

    #[test]
    fn more_resources_than_fit_one_change_are_taken() {
        assert!(Configuration::new(shape(1_000)).is_ok());
    }
}
