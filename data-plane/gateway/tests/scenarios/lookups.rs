//! Lookups that one node finds nothing for while another may.

use http::StatusCode;
use serde_json::{Value, json};
use tyrscale_model::{Consistency, Route};
use tyrscale_simnode::{RpcError, SimNode};

use super::harness::Harness;
use super::setting::{in_order, two_behind};

const LOOKING: Consistency = Consistency {
    rewrite_block_tags: false,
    max_log_range: 0,
    empty_lookups_elsewhere: true,
    max_height_jump: 0,
};

async fn looking() -> (SimNode, SimNode, Harness) {
    let route = Route {
        consistency: Some(LOOKING),
        ..in_order()
    };
    two_behind(route).await
}

const LOOKUP: &str = "eth_getTransactionByHash";

/// Scenarios L1, 47.
#[tokio::test]
async fn a_lookup_that_one_node_finds_nothing_for_is_asked_of_another() {
    let (first, second, harness) = looking().await;
    second.answer(LOOKUP, None, Ok(json!({"hash": "0x1"})));
    let answer = harness.ask(LOOKUP, &json!(["0x1"])).await;
    assert_eq!(answer.json()["result"], json!({"hash": "0x1"}));
    assert_eq!((first.hits(), second.hits()), (1, 1));
}

/// Scenario L3.
#[tokio::test]
async fn a_lookup_nobody_finds_anything_for_is_null_after_one_round() {
    let (first, second, harness) = looking().await;
    let answer = harness.ask(LOOKUP, &json!(["0x1"])).await;
    assert_eq!(
        (answer.status, answer.json()["result"].clone()),
        (StatusCode::OK, Value::Null)
    );
    assert_eq!((first.hits(), second.hits()), (1, 1));
}

/// Scenario L5.
#[tokio::test]
async fn null_of_one_node_and_an_error_of_another_is_null() {
    for null_first in [true, false] {
        let (first, second, harness) = looking().await;
        let failing = if null_first { &second } else { &first };
        failing.set_fault(tyrscale_simnode::Fault::status(StatusCode::BAD_GATEWAY));
        let answer = harness.ask(LOOKUP, &json!(["0x1"])).await;
        assert_eq!(
            (answer.status, answer.json()["result"].clone()),
            (StatusCode::OK, Value::Null)
        );
    }
}

/// Scenario L4.
#[tokio::test]
async fn a_lookup_that_all_fail_is_an_error() {
    let (first, second, harness) = looking().await;
    for node in [&first, &second] {
        node.answer(LOOKUP, None, Err(RpcError::new(-32000, "leveldb: closed")));
    }
    let answer = harness.ask(LOOKUP, &json!(["0x1"])).await;
    assert_eq!(answer.json()["error"]["message"], "leveldb: closed");
}
