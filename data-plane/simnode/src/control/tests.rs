use http::HeaderValue;

use super::*;

fn node() -> Shared {
    Shared::new(
        "a".into(),
        HeaderValue::from_static("a"),
        Chain::new(1, 100, None, now()),
    )
}

fn control(node: &Shared, body: &Value) -> Result<(), Refusal> {
    change(node, body.to_string().as_bytes())
}

#[test]
fn refusals_name_the_field_and_the_rule_and_change_nothing() {
    let node = node();
    let before = state_of(&node);
    for (body, field) in [
        (json!({"lag": 5, "peers": "many"}), "peers"),
        (json!({"latency_ms": 600_001}), "latency_ms"),
        (json!({"error_rate": 1.5}), "error_rate"),
        (json!({"status": 99}), "status"),
        (json!({"retry_after_s": 1}), "retry_after_s"),
        (json!({"rate_limit": 0}), "rate_limit"),
        (json!({"garbage": "xml"}), "garbage"),
        (json!({"rpc_error": {"code": 3}}), "rpc_error"),
        (json!({"unsupported": "eth_call"}), "unsupported"),
        (json!({"silent": 1}), "silent"),
        (json!({"silent": true, "status": 503}), "status"),
        (json!({"lagg": 5}), "lagg"),
        (json!([]), ""),
    ] {
        let refusal = control(&node, &body).unwrap_err();
        assert_eq!(refusal.field, field, "{body}");
        assert!(!refusal.rule.is_empty());
    }
    assert_eq!(state_of(&node), before);
}

#[test]
fn fault_is_taken_away_by_its_own_field_only() {
    let node = node();
    control(&node, &json!({"status": 429, "retry_after_s": 7})).unwrap();
    control(&node, &json!({"silent": false})).unwrap();
    assert_eq!(
        state_of(&node)["fault"],
        json!({"kind": "status", "status": 429, "retry_after_s": 7})
    );
    control(&node, &json!({"status": null})).unwrap();
    assert_eq!(state_of(&node)["fault"], Value::Null);
}

#[test]
fn one_change_heals_and_sets_anew() {
    let node = node();
    control(
        &node,
        &json!({"latency_ms": 50, "silent": true, "hold": true, "lag": 3}),
    )
    .unwrap();
    control(&node, &json!({"heal": true, "peers": 2})).unwrap();
    let state = state_of(&node);
    assert_eq!((&state["latency_ms"], &state["fault"]), (&json!(0), &Value::Null));
    assert_eq!(
        (&state["hold"], &state["peers"], &state["lag"]),
        (&json!(false), &json!(2), &json!(3))
    );
}
