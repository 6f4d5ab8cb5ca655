//! What upstreams say, in their own words, and what is made of it.

use http::StatusCode;
use serde_json::json;
use tyrscale_model::Route;
use tyrscale_simnode::{Fault, RawResponse, RpcError, SimNode};

use super::harness::{Harness, breaker, node, settings};
use super::setting::{in_order, says, two, two_behind};

fn tells(code: i64, message: &str) -> Fault {
    Fault::RpcError(RpcError::new(code, message))
}

/// Asks once with a fresh pair, the first of which has this fault.
async fn asked_of_both(fault: Fault, method: &str) -> (SimNode, SimNode, Harness) {
    let (first, second, harness) = two().await;
    first.set_fault(fault.clone());
    let answer = harness.ask(method, &json!([{}, "latest"])).await;
    assert_eq!(
        (answer.status, answer.node()),
        (StatusCode::OK, "second"),
        "{fault:?}"
    );
    assert_eq!((first.hits(), second.hits()), (1, 1), "{fault:?}");
    (first, second, harness)
}

/// Scenarios A35, L2, L12: another node may have it, and nobody is blamed.
#[tokio::test]
async fn data_that_one_node_lacks_is_asked_of_another() {
    for (code, message) in [
        (
            -32000,
            "missing trie node 3c8f (path ) state 0x3c8f is not available",
        ),
        (-32000, "header not found"),
        (-32000, "could not find block: 17000000"),
        (-32000, "required historical state unavailable (reexec=128)"),
        (4444, "pruned history unavailable"),
        (-32001, "block not found"),
    ] {
        let (_, _, harness) = asked_of_both(tells(code, message), "eth_call").await;
        assert!(harness.metric("upstream_failures_total", &[]) == 0.0, "{message}");
    }
}

/// Scenarios A35, 27: capacity, in the words of vendors.
#[tokio::test]
async fn an_upstream_out_of_capacity_is_passed_over() {
    for (code, message) in [
        (-32005, "rate limit exceeded"),
        (-32005, "daily request count exceeded, request rate limited"),
        (-32029, "Too Many Requests"),
        (429, "Your app has exceeded its compute units per second capacity"),
        (-32000, "project ID request rate exceeded, requests limited to 10"),
        (
            -32007,
            "50/second request limit reached - reduce calls per second",
        ),
        (-32000, "under too much load"),
        (-32090, "Exceeded the quota usage"),
    ] {
        asked_of_both(tells(code, message), "eth_call").await;
    }
}

/// Scenario 37.
#[tokio::test]
async fn a_timeout_inside_a_trace_is_the_nodes_and_asked_elsewhere() {
    let (first, second, harness) = two().await;
    first.set_fault(says(
        StatusCode::OK,
        &json!({"id": 1, "result": [{"result": {}}, {"error": "execution timeout"}]}),
    ));
    let traces = json!({"id": 1, "result": [{"result": {"gas": 1}}]});
    second.set_fault(says(StatusCode::OK, &traces));
    let answer = harness.ask("debug_traceBlockByNumber", &json!(["0x1", {}])).await;
    assert_eq!(answer.json(), traces);
}

/// Scenario 32: reverts in the dialects of nodes; what libraries read is in `error.data`, clean.
#[tokio::test]
async fn reverts_of_all_dialects_are_told_at_once() {
    let revert = "0x08c379a0";
    for (fault, data) in [
        (
            Fault::RpcError(RpcError::new(3, "execution reverted").with_data("Reverted 0x08c379a0")),
            Some(revert),
        ),
        (
            Fault::RpcError(RpcError::new(-32015, "VM execution error.").with_data("Reverted 0x08c379a0")),
            Some(revert),
        ),
        (tells(-32000, "execution reverted: no"), None),
        (
            tells(-32000, "VM Exception while processing transaction: revert"),
            None,
        ),
    ] {
        let (first, second, harness) = two().await;
        first.set_fault(fault.clone());
        let answer = harness.ask("eth_call", &json!([{}, "latest"])).await;
        assert_eq!((first.hits(), second.hits()), (1, 0), "{fault:?}");
        if let Some(data) = data {
            assert_eq!(answer.json()["error"]["data"], data, "{fault:?}");
        }
    }
}

/// Scenario 33: a hundred of them do not close the upstream to others.
#[tokio::test]
async fn halts_of_the_machine_close_no_upstream() {
    let with_breaker = Route {
        circuit_breaker: Some(breaker(3, 60_000)),
        ..in_order()
    };
    let (first, second, harness) = two_behind(with_breaker).await;
    first.set_method_fault("eth_call", tells(-32000, "EVM error: InvalidFEOpcode"));
    for _ in 0..100 {
        let answer = harness.ask("eth_call", &json!([{}, "latest"])).await;
        assert_eq!(answer.json()["error"]["message"], "EVM error: InvalidFEOpcode");
    }
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
    assert_eq!(second.hits(), 0);
}

/// Scenario 40: forms that say nothing of whose fault it is go elsewhere.
#[tokio::test]
async fn errors_without_a_meaning_are_asked_of_another() {
    for error in [
        json!("text"),
        json!({}),
        json!({"code": "-32603", "message": "internal"}),
    ] {
        let fault = says(StatusCode::OK, &json!({"id": 1, "error": error}));
        asked_of_both(fault, "eth_call").await;
    }
}

/// An error nobody has seen before: another upstream may know better.
#[tokio::test]
async fn an_unknown_error_is_asked_of_another_and_surfaced_if_all_say_it() {
    let odd = tells(-32000, "flux capacitor misaligned");
    let (_, second, harness) = asked_of_both(odd.clone(), "eth_call").await;
    second.set_fault(odd);
    let told = harness.client.call("eth_call").await.json();
    assert_eq!(told["error"]["message"], "flux capacitor misaligned");
}

/// Scenario E17: too large a range is tried elsewhere; the vendor's own words come back when all refuse.
#[tokio::test]
async fn a_range_too_large_for_one_is_asked_of_another_and_surfaced_in_its_words() {
    for message in [
        "query returned more than 10000 results. Try with this block range [0x1, 0x2].",
        "block range is too wide",
        "eth_getLogs is limited to a 10,000 range",
        "exceeds the range allowed for your plan, maximum allowed is 1000 blocks distance",
    ] {
        let fault = tells(-32005, message);
        let (_, second, harness) = asked_of_both(fault.clone(), "eth_getLogs").await;
        second.set_fault(fault);
        let told = harness.client.call("eth_getLogs").await.json();
        assert_eq!(told["error"]["message"], message);
    }
}

/// Scenario L8, 39: of several errors the most telling is surfaced, and no local skip hides it.
#[tokio::test]
async fn the_most_telling_error_is_surfaced_whatever_the_order() {
    let fault = || tells(-32000, "header not found");
    for faults in [
        [fault(), Fault::status(StatusCode::TOO_MANY_REQUESTS)],
        [Fault::status(StatusCode::TOO_MANY_REQUESTS), fault()],
    ] {
        let (first, second, harness) = two().await;
        let [one, other] = faults;
        first.set_fault(one);
        second.set_fault(other);
        let answer = harness.client.call("eth_call").await;
        // Only if all had said so would the data be missing; one has not been able to look.
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    }
    let node = node("n").await;
    let harness = Harness::with_route(settings(), in_order(), &[&node]).await;
    node.set_fault(fault());
    let told = harness.client.call("eth_call").await.json();
    assert_eq!(told["error"]["message"], "header not found");
    node.set_fault(Fault::Respond(RawResponse::new(StatusCode::OK, "")));
    assert!(harness.client.call("eth_call").await.error_code() < 0);
}
