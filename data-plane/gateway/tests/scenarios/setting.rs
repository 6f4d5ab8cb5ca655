//! The settings most scenarios begin from.

use http::StatusCode;
use serde_json::{Value, json};
use tyrscale_model::{LoadBalancer, Route};
use tyrscale_simnode::{Fault, RawResponse, SimNode};

use super::harness::{Answer, HOST_NAME, Harness, node, route, settings};

/// A route that asks the upstreams in the order of their numbers.
pub(crate) fn in_order() -> Route {
    Route {
        load_balancer: LoadBalancer::FailoverPriority,
        ..route(1, HOST_NAME)
    }
}

/// Two nodes behind `route`, "first" and "second".
pub(crate) async fn two_behind(route: Route) -> (SimNode, SimNode, Harness) {
    let (first, second) = (node("first").await, node("second").await);
    let harness = Harness::with_route(settings(), route, &[&first, &second]).await;
    (first, second, harness)
}

/// Two nodes, asked in order.
pub(crate) async fn two() -> (SimNode, SimNode, Harness) {
    two_behind(in_order()).await
}

/// An answer with that status and JSON body.
pub(crate) fn says(status: StatusCode, body: &Value) -> Fault {
    Fault::Respond(RawResponse::json(status, body.to_string()))
}

/// An answer of status 200 whose `error` is as given.
pub(crate) fn error(error: &Value) -> Fault {
    says(
        StatusCode::OK,
        &json!({"jsonrpc": "2.0", "id": 1, "error": error}),
    )
}

/// A call as a client writes it.
pub(crate) fn call(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

impl Harness {
    pub(crate) async fn ask(&self, method: &str, params: &Value) -> Answer {
        self.client.post(call(method, params)).await
    }
}
