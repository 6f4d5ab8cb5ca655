//! A gateway under test, its configuration and its clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderMap};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tyrscale_gateway::{Changed, Gateway, Settings};
use tyrscale_model::{
    ChainId, ChangeSet, CircuitBreaker, Collector, HealthCheck, Lineage, LoadBalancer, Network, Operation,
    PluginType, Policy, Resource, ResourceKey, Route, RouteId, Rpc, RpcId, Snapshot, Target, UnixMillis,
    Upstream, UpstreamHeaders, UpstreamId, View, Visibility, Weight, apply,
};
use tyrscale_simnode::{SimNode, SimNodeConfig};

pub(crate) const LIMIT: Duration = Duration::from_secs(10);
pub(crate) const HOST_NAME: &str = "a.example";

/// Waits for `future`, at most ten seconds.
pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .expect("took more than ten seconds")
}

/// Asks until `holds`, at most ten seconds.
pub(crate) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    bounded(async {
        while !holds().await {
            // An interval that is late would be ready at once and starve what is waited for.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub(crate) async fn node(name: &str) -> SimNode {
    SimNode::start(SimNodeConfig::named(name)).await.unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings {
        attempt_timeout: Duration::from_secs(5),
        ..Settings::default()
    }
}

fn uuid(kind: u32, number: u32) -> String {
    format!("00000000-0000-4000-{kind:04x}-{number:012x}")
}

pub(crate) fn route_id(number: u32) -> RouteId {
    uuid(1, number).parse().unwrap()
}

pub(crate) fn upstream_id(number: u32) -> UpstreamId {
    uuid(2, number).parse().unwrap()
}

/// A route of its own host, `/eth`, weighted round robin.
pub(crate) fn route(number: u32, host: &str) -> Route {
    Route::new(route_id(number), host, "/eth", LoadBalancer::WeightRoundRobin)
}

pub(crate) fn breaker(failures: u32, timeout_ms: u32) -> CircuitBreaker {
    CircuitBreaker {
        enabled: true,
        max_requests: 1,
        max_consecutive_failures: failures,
        timeout_ms,
        ..CircuitBreaker::default()
    }
}

pub(crate) fn health(check: tyrscale_model::HealthCheckType) -> HealthCheck {
    HealthCheck {
        enabled: true,
        check: Some(check),
        interval_ms: 20,
        timeout_ms: 1_000,
        unhealthy_threshold: 1,
        healthy_threshold: 1,
        ..HealthCheck::default()
    }
}

/// The rpc `number` at `url`.
pub(crate) fn rpc(number: u32, url: &str) -> Rpc {
    Rpc {
        id: uuid(3, number).parse::<RpcId>().unwrap(),
        network: "eth".parse().unwrap(),
        provider: "us".parse().unwrap(),
        visibility: Visibility::Private,
        url: url.parse().unwrap(),
        collectors: vec![Collector::EthBlockNumber],
        methods: None,
        prices: None,
        egress_proxy: None,
        headers: UpstreamHeaders::default(),
    }
}

/// The upstream `number` of a route, at the rpc of the same number.
pub(crate) fn upstream(number: u32, route: RouteId, weight: f64) -> Upstream {
    Upstream::new(
        upstream_id(number),
        route,
        Target::Rpc(uuid(3, number).parse().unwrap()),
        Weight::try_from(weight).unwrap(),
    )
}

pub(crate) struct Harness {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) addr: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: JoinHandle<()>,
    snapshot: Snapshot,
    pub(crate) client: Caller,
}

impl Harness {
    pub(crate) async fn start(settings: Settings) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), settings)
    }

    pub(crate) fn on(listener: TcpListener, settings: Settings) -> Self {
        let gateway = Arc::new(Gateway::new(settings).unwrap());
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn({
            let (gateway, shutdown) = (Arc::clone(&gateway), shutdown.clone());
            async move { gateway.serve(listener, shutdown).await }
        });
        let mut harness = Self {
            gateway,
            addr,
            shutdown,
            serving,
            snapshot: Snapshot::empty(Lineage([7; 16])),
            client: Caller::new(addr),
        };
        harness.put([Resource::Network(Network {
            name: "eth".parse().unwrap(),
            blockchain: "ethereum".parse().unwrap(),
            chain_id: ChainId::try_from(1337).unwrap(),
        })]);
        harness
    }

    /// A gateway whose one route `a.example/eth` shares evenly among these nodes.
    pub(crate) async fn in_front_of(nodes: &[&SimNode]) -> Self {
        Self::with_route(settings(), route(1, HOST_NAME), nodes).await
    }

    pub(crate) async fn with_route(settings: Settings, route: Route, nodes: &[&SimNode]) -> Self {
        let urls: Vec<String> = nodes.iter().map(|node| node.url()).collect();
        Self::with_urls(settings, route, &urls).await
    }

    pub(crate) async fn with_urls(settings: Settings, route: Route, urls: &[String]) -> Self {
        let mut harness = Self::start(settings).await;
        harness.serve(route, urls);
        harness
    }

    /// Puts a route that shares evenly among these upstreams.
    pub(crate) fn serve(&mut self, route: Route, urls: &[String]) {
        let id = route.id;
        self.put([Resource::Route(route)]);
        for (number, url) in (1..).zip(urls) {
            self.put([
                Resource::Rpc(rpc(number, url)),
                Resource::Upstream(upstream(number, id, 1.0)),
            ]);
        }
    }

    /// Puts resources and waits until the gateway serves from them.
    pub(crate) fn put(&mut self, resources: impl IntoIterator<Item = Resource>) {
        let upserts = resources.into_iter().map(Operation::put);
        self.change(upserts.collect());
    }

    pub(crate) fn delete(&mut self, key: ResourceKey) {
        self.change(vec![Operation::Delete {
            key,
            etag: None,
            cascade: true,
        }]);
    }

    pub(crate) fn change(&mut self, operations: Vec<Operation>) {
        let change_set = ChangeSet {
            operations,
            ..ChangeSet::default()
        };
        let policy = Policy {
            plugins: [("audit".parse().unwrap(), PluginType::Middleware)].into(),
        };
        let applied = apply(&self.snapshot, &change_set, &policy, UnixMillis(0)).unwrap();
        self.snapshot = applied.snapshot;
        let keys: Vec<ResourceKey> = applied.changes.into_iter().map(|change| change.key).collect();
        self.gateway
            .apply(&self.snapshot, Changed::Keys(&keys), View::ALL)
            .unwrap();
    }

    pub(crate) fn set_weight(&mut self, number: u32, weight: f64) {
        self.put([Resource::Upstream(upstream(number, route_id(1), weight))]);
    }

    pub(crate) const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// What a scrape gives.
    pub(crate) fn scrape(&self) -> String {
        String::from_utf8(self.gateway.metrics().render().unwrap().1).unwrap()
    }

    /// The sum over the series of `name` that have all of `labels`; 0 without any.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        self.scrape()
            .lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(name))
            .filter(|line| wanted.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    pub(crate) async fn idle(&self) {
        eventually(async || self.metric("tyrscale_upstream_in_flight", &[]) == 0.0).await;
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The name of the node that answered.
    pub(crate) fn node(&self) -> &str {
        self.headers
            .get("x-simnode")
            .map_or("", |name| name.to_str().unwrap())
    }

    pub(crate) fn error_code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    addr: SocketAddr,
}

impl Caller {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, addr }
    }

    /// A client that speaks HTTP/2 in clear text from the first byte.
    pub(crate) fn h2c(addr: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build_http();
        Self { client, addr }
    }

    /// A request to build on, to `a.example/eth`.
    pub(crate) fn request(&self, path: &str) -> http::request::Builder {
        Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{path}", self.addr))
            .header(HOST, HOST_NAME)
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        bounded(async {
            let (head, mut incoming) = self.client.request(request).await.unwrap().into_parts();
            let (mut body, mut whole) = (Vec::new(), true);
            while let Some(frame) = incoming.frame().await {
                match frame {
                    Ok(frame) => body.extend_from_slice(&frame.into_data().unwrap_or_default()),
                    Err(_) => {
                        whole = false;
                        break;
                    }
                }
            }
            Answer {
                status: head.status,
                headers: head.headers,
                body: body.into(),
                whole,
            }
        })
        .await
    }

    pub(crate) async fn post(&self, body: impl Into<Bytes>) -> Answer {
        self.send(self.request("/eth").body(Full::new(body.into())).unwrap())
            .await
    }

    pub(crate) async fn post_to(&self, host: &str, path: &str) -> Answer {
        let mut request = self
            .request(path)
            .body(Full::new(call_body("eth_chainId")))
            .unwrap();
        request.headers_mut().insert(HOST, host.parse().unwrap());
        self.send(request).await
    }

    pub(crate) async fn call(&self, method: &str) -> Answer {
        self.post(call_body(method)).await
    }
}

pub(crate) fn call_body(method: &str) -> Bytes {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": []})
        .to_string()
        .into()
}
