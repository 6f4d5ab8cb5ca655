//! A client of the node, and its answers.

use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tyrscale_simnode::{SimNode, SimNodeConfig};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body as far as it came.
    pub(crate) body: Bytes,
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Clone)]
pub(crate) struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
}

impl Caller {
    pub(crate) fn new(node: &SimNode) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .build_http();
        Self {
            client,
            url: node.url(),
        }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("x-request", "seven")
            .body(Full::new(body.into()))?;
        self.exchange(request).await
    }

    pub(crate) async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        bounded(async {
            let (head, mut incoming) = self.client.request(request).await?.into_parts();
            let (mut body, mut whole) = (Vec::new(), true);
            while let Some(frame) = incoming.frame().await {
                match frame {
                    Ok(frame) => body.extend_from_slice(&frame.into_data().unwrap_or_default()),
                    Err(_) => whole = false,
                }
            }
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: body.into(),
                whole,
            })
        })
        .await
    }

    pub(crate) async fn post(&self, body: &Value) -> Result<Answer, Failure> {
        self.send(Method::POST, "/", body.to_string()).await
    }

    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Answer, Failure> {
        self.post(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
            .await
    }

    pub(crate) async fn result(&self, method: &str, params: Value) -> Value {
        self.call(method, params).await.unwrap().json()["result"].clone()
    }
}

pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .expect("no answer in ten seconds")
}

pub(crate) async fn node_and_caller() -> (SimNode, Caller) {
    let node = SimNode::start(SimNodeConfig::named("a")).await.unwrap();
    let caller = Caller::new(&node);
    (node, caller)
}
