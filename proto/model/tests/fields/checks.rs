//! What nodes are checked for, and how they are asked for receipts.

use super::*;

fn of_check(check: v1::HealthCheck) -> Vec<String> {
    let message = v1::Route {
        health_check: Some(check),
        ..route()
    };
    match put(&empty(), vec![Wire::Route(message)]) {
        Ok(_) => Vec::new(),
        Err(rejection) => fields(rejection),
    }
}

#[test]
fn a_call_can_be_asked_to_return_a_mebibyte_at_most() {
    let returns = |min_call_result_bytes| v1::HealthCheck {
        min_call_result_bytes,
        ..v1::HealthCheck::default()
    };
    assert!(of_check(returns(1_048_576)).is_empty());
    assert_eq!(
        of_check(returns(1_048_577)),
        ["health_check.min_call_result_bytes"]
    );
}

#[test]
fn words_that_are_not_known_are_refused() {
    let check = v1::HealthCheck {
        wrong_log_indexes: 3,
        ..v1::HealthCheck::default()
    };
    assert_eq!(of_check(check), ["health_check.wrong_log_indexes"]);
    let message = v1::Upstream {
        receipts_method: 5,
        ..upstream()
    };
    let refused = put(&empty(), vec![Wire::Route(route()), Wire::Upstream(message)]);
    assert_eq!(fields(refused.unwrap_err()), ["receipts_method"]);
}
