//! Errors that are the request's own: told at once, asked of one upstream, harming nobody.

use serde_json::{Value, json};
use tyrscale_model::Route;

use super::harness::breaker;
use super::setting::{error, in_order, two_behind};

/// What a call whose upstream answers with `told` gets, asked often enough to open a breaker.
async fn surfaced(told: &Value) -> Value {
    let with_breaker = Route {
        circuit_breaker: Some(breaker(1, 60_000)),
        ..in_order()
    };
    let (first, second, harness) = two_behind(with_breaker).await;
    first.set_fault(error(told));
    let mut answer = Value::Null;
    for asked in 1..=3 {
        let said = harness.ask("eth_call", &json!([{}, "latest"])).await;
        assert_eq!((said.status.as_u16(), said.node()), (200, "first"), "{told}");
        assert_eq!((first.hits(), second.hits()), (asked, 0), "{told}");
        answer = said.json()["error"].clone();
    }
    assert!(harness.metric("upstream_failures_total", &[]) == 0.0, "{told}");
    answer
}

/// Scenarios A36, 32.
#[tokio::test]
async fn a_revert_is_told_at_once_with_its_data() {
    let data = "0x08c379a0000000000000000000000000000000000000000000000000000000000000002000000000000000000000000000000000000000000000000000000000000000036e6f210000000000000000000000000000000000000000000000000000000000";
    for told in [
        json!({"code": 3, "message": "execution reverted: no!", "data": data}),
        json!({"code": -32000, "message": "execution reverted", "data": data}),
    ] {
        assert_eq!(surfaced(&told).await, told);
    }
}

/// Scenario 33.
#[tokio::test]
async fn a_halt_of_the_machine_is_the_calls_own() {
    let told = json!({"code": -32003, "message": "EVM error: InvalidFEOpcode"});
    assert_eq!(surfaced(&told).await, told);
}

/// Scenario 143.
#[tokio::test]
async fn the_data_of_an_error_passes_in_any_form() {
    for data in [
        json!("0x"),
        json!({"a": [1, null]}),
        json!([1.5]),
        json!("text \u{e9}"),
    ] {
        let told = json!({"code": 3, "message": "execution reverted", "data": data});
        assert_eq!(surfaced(&told).await, told);
    }
}
