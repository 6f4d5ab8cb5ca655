//! A shim that listens, and a client.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tyrscale_model::Policy;
use tyrscale_rest::{RestState, port, router, serve};
use tyrscale_store::{Store, StoreOptions};

/// A running shim over a store of its own.
pub(crate) struct Service {
    pub(crate) store: Store,
    pub(crate) address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    server: JoinHandle<()>,
    _dir: TempDir,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An answer read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn data(&self) -> Value {
        assert!(self.status < 300, "{self:?}");
        self.json()["data"].clone()
    }

    pub(crate) fn uuid(&self) -> String {
        self.data()["uuid"].as_str().unwrap().to_owned()
    }

    pub(crate) fn items(&self) -> Vec<Value> {
        self.data()["items"].as_array().unwrap().clone()
    }

    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }

    /// Asserts a success without data.
    pub(crate) fn is_done(&self) {
        assert_eq!(
            self.json(),
            json!({"status": 200, "code": 0, "message": "Success"})
        );
    }

    /// Asserts a refusal: 400, 404 or 409 with its code and prefix.
    #[track_caller]
    pub(crate) fn is_refused(&self, status: u16) {
        let (code, prefix) = match status {
            400 => (3, "Invalid input parameters: "),
            404 => (5, "Resource Not found: "),
            409 => (6, "Resource Conflict: "),
            other => panic!("no refusal has {other}"),
        };
        assert_eq!(self.status, status, "{self:?}");
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        let detail = self.message().strip_prefix(prefix).map(str::len);
        assert!(detail.is_some_and(|length| length > 0), "{body}");
        assert!(body.get("data").is_none());
    }

    /// Asserts what every envelope has.
    #[track_caller]
    fn check_envelope(&self) {
        assert_eq!(self.header("content-type"), "application/json");
        let body = self.json();
        assert_eq!(body["status"], self.status);
        let keys = ["{\"status\":", "\"code\":", "\"message\":"];
        let text = String::from_utf8(self.body.to_vec()).unwrap();
        let places: Vec<_> = keys.iter().map(|key| text.find(key).unwrap()).collect();
        assert!(places.is_sorted() && places[0] == 0, "{text}");
        let known = ["status", "code", "message", "data", "context"];
        assert!(
            body.as_object()
                .unwrap()
                .keys()
                .all(|key| known.contains(&key.as_str()))
        );
        assert_eq!(self.status < 300, body["code"] == 0);
        assert!(self.status < 300 || body.get("data").is_none());
    }
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with_policy(Policy::default()).await
    }

    pub(crate) async fn with_policy(policy: Policy) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plugins = policy.plugins.clone();
        let options = StoreOptions {
            policy,
            ..StoreOptions::default()
        };
        let store = Store::open(dir.path(), options).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = router(RestState::new(store.clone(), plugins));
        Self {
            store,
            address,
            client: Client::builder(TokioExecutor::new()).build_http(),
            server: tokio::spawn(serve(port(listener, None), app, CancellationToken::new())),
            _dir: dir,
        }
    }

    /// Sends a request as it is; only its target is completed.
    pub(crate) async fn send(&self, mut request: Request<Bytes>) -> Answer {
        let target = format!("http://{}{}", self.address, request.uri());
        *request.uri_mut() = target.parse().unwrap();
        let bare = request.method() == Method::HEAD || request.method() == Method::OPTIONS;
        let is_api = request.uri().path().to_ascii_lowercase().starts_with("/api/v1") && !bare;
        let response = self.client.request(request.map(Full::new)).await.unwrap();
        let (parts, body) = response.into_parts();
        let answer = Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        };
        assert!(!answer.header("x-request-id").is_empty());
        if is_api {
            answer.check_envelope();
        }
        answer
    }

    /// A request without body to a path under `/api/v1`.
    pub(crate) async fn bare(&self, method: Method, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        self.send(request.body(Bytes::new()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.bare(Method::GET, path).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.bare(Method::DELETE, path).await
    }

    /// A request with a JSON text to a path under `/api/v1`.
    pub(crate) async fn text(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.text(Method::POST, path, body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.text(Method::PUT, path, body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.text(Method::PATCH, path, body.to_string()).await
    }

    /// Creates the network `eth`.
    pub(crate) async fn network(&self) {
        assert_eq!(self.post("/networks", network("eth", 1)).await.status, 201);
    }

    /// Creates an rpc of the network `eth`.
    pub(crate) async fn rpc(&self, url: &str) -> String {
        self.post("/rpcs", rpc(url)).await.uuid()
    }

    /// Creates a route.
    pub(crate) async fn route(&self, host: &str, path: &str) -> String {
        self.post("/routes", route(host, path)).await.uuid()
    }

    /// Creates an upstream at an rpc.
    pub(crate) async fn upstream(&self, route: &str, rpc: &str) -> String {
        let body = json!({"rpc_uuid": rpc, "weight": 50});
        self.put(&format!("/routes/{route}/upstreams"), body).await.uuid()
    }

    pub(crate) async fn upstreams_of(&self, route: &str) -> Vec<Value> {
        self.get(&format!("/routes/{route}/upstreams")).await.items()
    }
}

pub(crate) const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

pub(crate) fn network(name: &str, chain_id: u64) -> Value {
    json!({"name": name, "chain_id": chain_id, "blockchain": "ethereum"})
}

pub(crate) fn rpc(url: &str) -> Value {
    json!({
        "url": url, "type": "private", "provider": "starton",
        "network_name": "eth", "collectors": ["eth_block_number"],
    })
}

pub(crate) fn route(host: &str, path: &str) -> Value {
    json!({"host": host, "path": path, "load_balancer_strategy": "weight-round-robin"})
}

pub(crate) fn address(host: &str) -> Value {
    json!({"host": host, "port": 8545, "path": "/rpc", "scheme": "http", "weight": 50})
}

/// The body with one member replaced.
pub(crate) fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

/// The body with one member taken away.
pub(crate) fn without(mut body: Value, name: &str) -> Value {
    body.as_object_mut().unwrap().remove(name);
    body
}
