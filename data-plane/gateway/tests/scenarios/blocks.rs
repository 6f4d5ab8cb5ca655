//! Block parameters, heights of nodes, and data that only some of them have.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;
use tyrscale_client::reporting::UpstreamHead;
use tyrscale_model::{Consistency, HealthCheckType, Resource, Route};
use tyrscale_simnode::{RpcError, SimNode};

use super::harness::{Harness, bounded, eventually, health, node, route_id, settings, upstream, upstream_id};
use super::setting::{in_order, two_behind};

/// A route that knows its upstreams' heights.
fn consistent(consistency: Consistency) -> Route {
    Route {
        health_check: Some(health(HealthCheckType::EthBlockNumber)),
        consistency: Some(consistency),
        ..in_order()
    }
}

const REWRITING: Consistency = Consistency {
    rewrite_block_tags: true,
    max_log_range: 0,
    empty_lookups_elsewhere: false,
    max_height_jump: 0,
};

/// The parameters that reached a node with the last call of `method`.
fn params_at(node: &SimNode, method: &str) -> Value {
    let captured = node.captured();
    let last = captured
        .iter()
        .rev()
        .find(|it| it.rpc_methods.iter().any(|it| it == method));
    let body: Value = serde_json::from_slice(&last.unwrap().decoded).unwrap();
    body["params"].clone()
}

/// Scenario E2.
#[tokio::test]
async fn tags_reach_upstreams_as_the_numbers_they_stand_for() {
    let node = node("n").await;
    node.set_tags(900, 800);
    let harness = Harness::with_route(settings(), consistent(REWRITING), &[&node]).await;
    for (tag, number) in [("latest", "0x3e8"), ("safe", "0x384"), ("finalized", "0x320")] {
        eventually(async || {
            harness.ask("eth_call", &json!([{}, tag])).await;
            params_at(&node, "eth_call") == json!([{}, number])
        })
        .await;
    }
    for (method, asked, sent) in [
        (
            "eth_getBlockByNumber",
            json!(["latest", false]),
            json!(["0x3e8", false]),
        ),
        (
            "eth_getStorageAt",
            json!(["0x0", "0x0", "latest"]),
            json!(["0x0", "0x0", "0x3e8"]),
        ),
    ] {
        // On a busy machine a look may be so old that the tag is left alone.
        eventually(async || {
            harness.ask(method, &asked).await;
            params_at(&node, method) == sent
        })
        .await;
    }
}

/// Scenario E3.
#[tokio::test]
async fn an_absent_block_parameter_is_the_published_head() {
    let node = node("n").await;
    let harness = Harness::with_route(settings(), consistent(REWRITING), &[&node]).await;
    eventually(async || {
        harness.ask("eth_getBalance", &json!(["0x0"])).await;
        params_at(&node, "eth_getBalance") == json!(["0x0", "0x3e8"])
    })
    .await;
}

/// Scenarios E4, E5, E6, 63, 64.
#[tokio::test]
async fn what_is_no_tag_to_rewrite_reaches_upstreams_as_it_came() {
    let node = node("n").await;
    let harness = Harness::with_route(settings(), consistent(REWRITING), &[&node]).await;
    bounded(node.wait_for_hits(4)).await;
    let hash = format!("0x{}", "ab".repeat(32));
    for (method, params) in [
        ("eth_call", json!([{}, "pending"])),
        ("eth_call", json!([{}, "earliest"])),
        ("eth_call", json!([{}, "0x10"])),
        ("eth_call", json!([{}, {"blockHash": hash}])),
        ("eth_getStorageAt", json!(["0x0"])),
        ("eth_getLogs", json!([{"blockHash": hash}])),
    ] {
        harness.ask(method, &params).await;
        assert_eq!(params_at(&node, method), params, "{method}");
    }
}

/// Scenarios E7, L9, 56.
#[tokio::test]
async fn a_block_far_above_the_head_is_null_without_asking() {
    let (first, second, harness) = two_behind(consistent(REWRITING)).await;
    bounded(first.wait_for_hits(4)).await;
    eventually(async || {
        let asked = (
            first.hits_of("eth_getBlockByNumber"),
            second.hits_of("eth_getBlockByNumber"),
        );
        let answer = harness
            .ask("eth_getBlockByNumber", &json!(["0xffffff", false]))
            .await;
        assert_eq!(
            (answer.status, &answer.json()["result"]),
            (StatusCode::OK, &Value::Null)
        );
        asked
            == (
                first.hits_of("eth_getBlockByNumber"),
                second.hits_of("eth_getBlockByNumber"),
            )
    })
    .await;
}

/// Scenario E11.
#[tokio::test]
async fn a_range_of_logs_over_the_limit_is_refused_with_the_limit() {
    let node = node("n").await;
    let limited = Consistency {
        max_log_range: 100,
        ..Consistency::default()
    };
    let harness = Harness::with_route(settings(), consistent(limited), &[&node]).await;
    let range =
        |from: u64, to: u64| json!([{"fromBlock": format!("{from:#x}"), "toBlock": format!("{to:#x}")}]);
    let refused = harness.ask("eth_getLogs", &range(1, 200)).await;
    assert_eq!(refused.error_code(), -32602);
    assert!(
        refused.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("100")
    );
    assert_eq!(node.hits_of("eth_getLogs"), 0);
    assert_eq!(
        harness.ask("eth_getLogs", &range(1, 50)).await.status,
        StatusCode::OK
    );
    assert_eq!(node.hits_of("eth_getLogs"), 1);
}

/// Scenarios E13, 70.
#[tokio::test]
async fn logs_by_block_hash_pass_whatever_the_limit() {
    let node = node("n").await;
    let limited = Consistency {
        max_log_range: 1,
        ..Consistency::default()
    };
    let harness = Harness::with_route(settings(), consistent(limited), &[&node]).await;
    let params = json!([{"blockHash": node.block_hash(5).to_hex()}]);
    assert_eq!(
        harness.ask("eth_getLogs", &params).await.json()["result"],
        json!([])
    );
    assert_eq!(node.hits_of("eth_getLogs"), 1);
}

/// Scenario E14.
#[tokio::test]
async fn a_range_that_ends_before_its_start_is_invalid_and_not_too_large() {
    let node = node("n").await;
    let limited = Consistency {
        max_log_range: 100,
        ..Consistency::default()
    };
    let harness = Harness::with_route(settings(), consistent(limited), &[&node]).await;
    let params = json!([{"fromBlock": "0x20", "toBlock": "0x10"}]);
    let refused = harness.ask("eth_getLogs", &params).await;
    assert_eq!(refused.error_code(), -32602);
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        !message.contains("100") && !message.contains("large"),
        "{message}"
    );
    assert_eq!(node.hits_of("eth_getLogs"), 0);
}

/// Scenarios G7, 53: a node that jumps is not believed.
#[tokio::test]
async fn a_head_that_jumps_does_not_move_the_published_one() {
    let (first, second, harness) = two_behind(consistent(REWRITING)).await;
    eventually(async || {
        harness.ask("eth_call", &json!([{}, "latest"])).await;
        params_at(&first, "eth_call") == json!([{}, "0x3e8"])
    })
    .await;
    second.set_height(10_000_000);
    let probes = second.hits_of("eth_blockNumber");
    bounded(second.wait_for_hits_of("eth_blockNumber", probes + 4)).await;
    harness.ask("eth_call", &json!([{}, "latest"])).await;
    assert_eq!(params_at(&first, "eth_call"), json!([{}, "0x3e8"]));
    assert_eq!(harness.client.call("eth_blockNumber").await.node(), "first");
}

/// Scenario 56: a block just made is not null only because the last look was before it.
#[tokio::test]
async fn a_block_just_made_is_found_although_the_last_look_was_before_it() {
    let slow_look = tyrscale_model::HealthCheck {
        interval_ms: 60_000,
        ..health(HealthCheckType::EthBlockNumber)
    };
    let route = Route {
        health_check: Some(slow_look),
        ..consistent(REWRITING)
    };
    let (first, _second, harness) = two_behind(route).await;
    bounded(first.wait_for_hits(1)).await;
    first.mine(1);
    let answer = tokio::time::timeout(
        Duration::from_secs(3),
        harness.ask("eth_getBlockByNumber", &json!(["0x3e9", false])),
    )
    .await;
    assert_eq!(answer.unwrap().json()["result"]["number"], "0x3e9");
}

/// Scenario 53: a single answer moves nothing, one that stays is believed when the others follow.
#[tokio::test]
async fn heights_are_shown_and_stay_where_the_upstreams_are() {
    let (first, second, harness) = two_behind(consistent(REWRITING)).await;
    let head = || harness.metric("tyrscale_route_head", &[("tag", "latest")]);
    let height = || harness.metric("tyrscale_upstream_height", &[]);
    eventually(async || head() == 1000.0 && height() == 2000.0).await;
    first.mine(1);
    eventually(async || head() == 1001.0).await;
    second.mine(1);
    eventually(async || height() == 2002.0).await;
}

/// One that is ahead of what the others bear out makes none of them look behind and moves no head.
#[tokio::test]
async fn one_liar_among_three_changes_nothing_for_the_others() {
    let nodes = [node("first").await, node("second").await, node("third").await];
    let [first, second, third] = &nodes;
    let harness = Harness::with_route(settings(), consistent(REWRITING), &[first, second, third]).await;
    let head = || harness.metric("tyrscale_route_head", &[("tag", "latest")]);
    let healthy = || harness.metric("tyrscale_upstream_healthy", &[]);
    eventually(async || head() == 1000.0).await;
    // Just beyond the tolerance of 2, and again a jump away from where it has been.
    for lie in [1003, 15_900, 30_000] {
        third.set_height(lie);
        for node in &nodes {
            let asked = node.hits_of("eth_blockNumber");
            bounded(node.wait_for_hits_of("eth_blockNumber", asked + 4)).await;
        }
        assert_eq!((healthy(), head()), (3.0, 1000.0), "{lie}");
    }
    first.mine(1);
    second.mine(1);
    eventually(async || head() == 1001.0).await;
}

/// What takes no requests leads nobody.
#[tokio::test]
async fn a_cordoned_or_drained_upstream_does_not_lead_the_head() {
    let taken_out = |number: u32, cordoned: bool| {
        Resource::Upstream(tyrscale_model::Upstream {
            cordoned,
            ..upstream(number, route_id(1), if cordoned { 1.0 } else { 0.0 })
        })
    };
    for cordoned in [true, false] {
        let (first, second, mut harness) = two_behind(consistent(REWRITING)).await;
        let head = |harness: &Harness| harness.metric("tyrscale_route_head", &[("tag", "latest")]);
        eventually(async || head(&harness) == 1000.0).await;
        harness.put([taken_out(2, cordoned)]);
        second.mine(2);
        let id = upstream_id(2).to_string();
        eventually(async || harness.metric("tyrscale_upstream_height", &[("upstream_uuid", &id)]) == 1002.0)
            .await;
        let asked = first.hits_of("eth_blockNumber");
        bounded(first.wait_for_hits_of("eth_blockNumber", asked + 4)).await;
        assert_eq!(head(&harness), 1000.0, "cordoned: {cordoned}");
        assert_eq!(
            harness.ask("eth_call", &json!([{}, "latest"])).await.node(),
            "first"
        );
    }
}

/// Scenario E2 in a batch: each call is rewritten by itself, in its place.
#[tokio::test]
async fn the_calls_of_a_batch_are_rewritten_each_in_its_place() {
    let node = node("n").await;
    let harness = Harness::with_route(settings(), consistent(REWRITING), &[&node]).await;
    let far =
        json!({"jsonrpc": "2.0", "id": 2, "method": "eth_getBlockByNumber", "params": ["0xffffff", false]});
    let at_head = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{}, "latest"]});
    let head = || harness.metric("tyrscale_route_head", &[("tag", "latest")]);
    eventually(async || head() == 1000.0).await;
    let answer = harness.client.post(json!([at_head, far]).to_string()).await;
    let answers = answer.json();
    assert_eq!((&answers[0]["id"], &answers[1]["id"]), (&json!(1), &json!(2)));
    assert_eq!(answers[1]["result"], Value::Null);
    let captured = node.captured();
    let sent: Vec<Value> = captured
        .iter()
        .filter(|it| it.rpc_methods.iter().any(|it| it == "eth_call"))
        .map(|it| serde_json::from_slice(&it.decoded).unwrap())
        .collect();
    // The call alone: nobody was asked for the block.
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].as_array().map(Vec::len), Some(1));
    assert_eq!(sent[0][0]["params"], json!([{}, "0x3e8"]));
}

/// Without rules the bytes of a client reach the upstream as they are.
#[tokio::test]
async fn without_rules_nothing_is_rewritten() {
    let node = node("n").await;
    let harness = Harness::with_route(settings(), consistent(Consistency::default()), &[&node]).await;
    bounded(node.wait_for_hits(4)).await;
    let body = "{ \"id\" :1,\"jsonrpc\":\"2.0\", \"method\":\"eth_call\",\"params\":[{},  \"latest\"]}";
    harness.client.post(body).await;
    let captured = node.captured();
    let sent = captured
        .iter()
        .rev()
        .find(|it| it.rpc_methods.iter().any(|it| it == "eth_call"));
    assert_eq!(sent.unwrap().decoded, body);
}

/// An answer to a client tells of a block before the next probe does.
#[tokio::test]
async fn a_height_told_to_a_client_moves_the_head() {
    let slow_look = tyrscale_model::HealthCheck {
        interval_ms: 60_000,
        ..health(HealthCheckType::EthBlockNumber)
    };
    let route = Route {
        health_check: Some(slow_look),
        ..consistent(REWRITING)
    };
    let node = node("n").await;
    let harness = Harness::with_route(settings(), route, &[&node]).await;
    let head = || harness.metric("tyrscale_route_head", &[("tag", "latest")]);
    eventually(async || head() == 1000.0).await;
    node.mine(5);
    assert_eq!(
        harness.client.call("eth_blockNumber").await.json()["result"],
        "0x3ed"
    );
    assert_eq!(head(), 1005.0);
    harness.ask("eth_call", &json!([{}, "latest"])).await;
    assert_eq!(params_at(&node, "eth_call"), json!([{}, "0x3ed"]));
}

/// Scenarios L10, 49, 51.
#[tokio::test]
async fn a_block_is_asked_of_a_node_that_has_it() {
    let (first, second, harness) = two_behind(consistent(Consistency::default())).await;
    // Within the tolerance of the health check, so that the first stays in.
    second.mine(1);
    bounded(first.wait_for_hits(6)).await;
    eventually(async || {
        let answer = harness
            .ask("eth_getBlockByNumber", &json!(["0x3e9", false]))
            .await;
        answer.json()["result"]["number"] == "0x3e9"
    })
    .await;
    let asked = first.hits_of("eth_getBlockByNumber");
    for _ in 0..5 {
        let answer = harness
            .ask("eth_getBlockByNumber", &json!(["0x3e9", false]))
            .await;
        assert_eq!(answer.node(), "second");
    }
    assert_eq!(first.hits_of("eth_getBlockByNumber"), asked);
}

/// Scenarios L11, L12, L13.
#[tokio::test]
async fn state_that_a_node_has_pruned_is_no_longer_asked_of_it() {
    let (first, second, harness) = two_behind(consistent(Consistency::default())).await;
    first.set_lowest_state(900);
    bounded(first.wait_for_hits(4)).await;
    let at = |block: u64| json!([{}, format!("{block:#x}")]);
    assert_eq!(harness.ask("eth_call", &at(850)).await.node(), "second");
    let asked = first.hits_of("eth_call");
    for block in [850, 849, 100, 1] {
        assert_eq!(
            harness.ask("eth_call", &at(block)).await.node(),
            "second",
            "{block}"
        );
    }
    assert_eq!(
        first.hits_of("eth_call"),
        asked,
        "asked for what it does not have"
    );
    assert_eq!(harness.ask("eth_call", &at(950)).await.node(), "first");
    first.answer("eth_call", at(960), Err(RpcError::new(3, "execution reverted")));
    assert_eq!(harness.ask("eth_call", &at(960)).await.error_code(), 3);
    assert_eq!(
        harness.ask("eth_call", &at(955)).await.node(),
        "first",
        "a revert is no bound"
    );
    assert!(second.hits_of("eth_call") >= 5);
}

/// On a route that nobody probes, what exporters read of its upstreams tells pruned blocks from those that no node has.
#[tokio::test]
async fn what_exporters_read_teaches_what_a_node_has_pruned() {
    let (first, second, harness) = two_behind(in_order()).await;
    first.set_lowest_state(900);
    let old = json!([{}, "0x64"]);
    for _ in 0..2 {
        assert_eq!(harness.ask("eth_call", &old).await.node(), "second");
    }
    assert_eq!(first.hits_of("eth_call"), 2, "nothing is known of its head");
    let head = |number, height| UpstreamHead {
        upstream: upstream_id(number),
        height,
        seen: Instant::now(),
    };
    harness
        .gateway
        .hear(&[head(1, 1_000), head(2, 1_000), head(9, 1)]);
    for _ in 0..3 {
        assert_eq!(harness.ask("eth_call", &old).await.node(), "second");
    }
    assert_eq!(first.hits_of("eth_call"), 3, "asked once more, and not again");
    assert_eq!(second.hits_of("eth_call"), 5);
}

/// Scenario L15: the bound of state is not that of blocks.
#[tokio::test]
async fn methods_with_other_data_have_bounds_of_their_own() {
    let (first, _second, harness) = two_behind(consistent(Consistency::default())).await;
    first.set_lowest_state(900);
    bounded(first.wait_for_hits(4)).await;
    let call = json!([{}, "0x352"]);
    assert_eq!(harness.ask("eth_call", &call).await.node(), "second");
    let block = json!(["0x352", false]);
    assert_eq!(harness.ask("eth_getBlockByNumber", &block).await.node(), "first");
}
