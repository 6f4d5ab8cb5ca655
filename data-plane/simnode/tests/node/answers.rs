//! Answers, faults and counts, each as a client meets it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tyrscale_simnode::{Fault, Garbage, NODE_HEADER, RawResponse, RpcError, SimNode, SimNodeConfig};

use super::caller::{Caller, bounded, node_and_caller};

#[tokio::test]
async fn answers_name_the_node_and_share_one_connection() {
    let (node, caller) = node_and_caller().await;
    assert_eq!(caller.result("eth_chainId", json!([])).await, "0x539");
    let version = caller.call("web3_clientVersion", json!([])).await.unwrap();
    assert_eq!(version.headers[NODE_HEADER], "a");
    assert!(
        version.json()["result"]
            .as_str()
            .unwrap()
            .starts_with("simnode/a/")
    );
    assert_eq!(node.connections(), 1);
}

#[tokio::test]
async fn notifications_get_an_empty_answer() {
    let (_node, caller) = node_and_caller().await;
    let answer = caller
        .post(&json!({"jsonrpc": "2.0", "method": "eth_chainId"}))
        .await
        .unwrap();
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn the_chain_does_as_it_is_told() {
    let (node, caller) = node_and_caller().await;
    node.mine(2);
    assert_eq!(caller.result("eth_blockNumber", json!([])).await, "0x3ea");
    node.set_lag(2);
    assert_eq!(caller.result("eth_blockNumber", json!([])).await, "0x3e8");
    node.set_lag(0);
    let before = caller
        .result("eth_getBlockByNumber", json!(["latest", false]))
        .await;
    assert_eq!(before["hash"], node.block_hash(1_002).to_hex());
    node.reorg(1);
    let after = caller
        .result("eth_getBlockByNumber", json!(["latest", false]))
        .await;
    assert_eq!(before["number"], after["number"]);
    assert_ne!(before["hash"], after["hash"]);
    assert_eq!(before["parentHash"], after["parentHash"]);
    node.set_syncing(true);
    assert_eq!(
        caller.result("eth_syncing", json!([])).await["currentBlock"],
        "0x3ea"
    );
    node.set_peers(3);
    assert_eq!(caller.result("net_peerCount", json!([])).await, "0x3");
    node.set_height(7);
    assert_eq!(node.head(), 7);
}

#[tokio::test]
async fn the_chain_grows_by_itself() {
    let config = SimNodeConfig {
        block_time: Some(Duration::from_millis(1)),
        ..SimNodeConfig::default()
    };
    let node = SimNode::start(config).await.unwrap();
    let caller = Caller::new(&node);
    bounded(async { while caller.result("eth_blockNumber", json!([])).await == "0x3e8" {} }).await;
}

#[tokio::test]
async fn statuses_come_with_retry_after() {
    let (node, caller) = node_and_caller().await;
    node.set_fault(Fault::Status {
        status: StatusCode::TOO_MANY_REQUESTS,
        retry_after: Some(7),
    });
    let answer = caller.call("eth_call", json!([{}])).await.unwrap();
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers[RETRY_AFTER], "7");
    assert_eq!(answer.headers[NODE_HEADER], "a");
    node.set_fault(None);
    assert_eq!(
        caller.call("eth_call", json!([{}])).await.unwrap().status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn garbage_is_no_json_and_looks_whole() {
    let (node, caller) = node_and_caller().await;
    for garbage in [
        Garbage::Html,
        Garbage::Text,
        Garbage::TruncatedJson,
        Garbage::Empty,
    ] {
        node.set_fault(Fault::Garbage(garbage));
        let answer = caller.call("eth_chainId", json!([])).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.whole);
        assert!(
            serde_json::from_slice::<Value>(&answer.body).is_err(),
            "{garbage:?}"
        );
    }
}

#[tokio::test]
async fn silence_lasts_until_the_node_stops() {
    let (node, caller) = node_and_caller().await;
    node.fail_next(1, Fault::Silence);
    let unanswered = tokio::spawn({
        let caller = caller.clone();
        async move {
            caller
                .call("eth_call", json!([{}]))
                .await
                .map(|answer| answer.status)
        }
    });
    bounded(node.wait_for_hits(1)).await;
    assert_eq!(caller.result("eth_call", json!([{}])).await, "0x");
    assert!(!unanswered.is_finished());
    node.stop().await;
    assert!(bounded(unanswered).await.unwrap().is_err());
}

#[tokio::test]
async fn connections_close_before_the_answer() {
    let (node, caller) = node_and_caller().await;
    node.fail_next(1, Fault::CloseBeforeAnswer);
    assert!(caller.call("eth_call", json!([{}])).await.is_err());
    assert_eq!(caller.result("eth_call", json!([{}])).await, "0x");
    assert_eq!((node.hits(), node.connections()), (2, 2));
}

#[tokio::test]
async fn connections_close_in_mid_body() {
    let (node, caller) = node_and_caller().await;
    let whole = r#"{"jsonrpc":"2.0","id":1,"result":"0x539"}"#.len();
    for (after_bytes, received) in [(0, 0), (5, 5), (1_000, whole)] {
        node.fail_next(1, Fault::CloseMidBody { after_bytes });
        let answer = caller.call("eth_chainId", json!([])).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        assert!(!answer.whole);
        assert_eq!(answer.body.len(), received);
    }
}

#[tokio::test]
async fn heads_and_bodies_are_delayed() {
    let (node, caller) = node_and_caller().await;
    node.update_behavior(|behavior| {
        behavior.latency = Duration::from_millis(10);
        behavior.body_delay = Duration::from_millis(10);
        behavior
            .method_latency
            .insert("eth_call".into(), Duration::from_millis(10));
    });
    let began = Instant::now();
    assert_eq!(caller.result("eth_chainId", json!([])).await, "0x539");
    assert!(began.elapsed() >= Duration::from_millis(20));
    let began = Instant::now();
    assert_eq!(caller.result("eth_call", json!([{}])).await, "0x");
    assert!(began.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn rpc_errors_hit_all_calls_or_those_of_one_method() {
    let (node, caller) = node_and_caller().await;
    let reverted = RpcError::new(3, "execution reverted").with_data("0x08c379a0");
    node.set_method_fault("eth_call", Fault::RpcError(reverted.clone()));
    let batch = json!([{"id": 1, "method": "eth_call"}, {"id": "b", "method": "eth_chainId"}]);
    let answer = caller.post(&batch).await.unwrap().json();
    assert_eq!(answer[0]["error"], json!(reverted));
    assert_eq!(answer[1], json!({"jsonrpc": "2.0", "id": "b", "result": "0x539"}));
    node.set_fault(Fault::RpcError(RpcError::new(-32000, "header not found")));
    let answer = caller.post(&batch).await.unwrap().json();
    assert_eq!(
        (&answer[0]["error"]["code"], &answer[1]["error"]["code"]),
        (&json!(-32000), &json!(-32000))
    );
}

#[tokio::test]
async fn scripted_faults_end_and_spare_other_methods() {
    let (node, caller) = node_and_caller().await;
    node.fail_next_of("eth_call", 2, Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(caller.result("eth_blockNumber", json!([])).await, "0x3e8");
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(
            caller
                .call("eth_call", json!([{}]))
                .await
                .unwrap()
                .status
                .as_u16(),
        );
    }
    assert_eq!(statuses, [503, 503, 200]);
}

#[tokio::test]
async fn rate_limit_answers_429() {
    let (node, caller) = node_and_caller().await;
    node.update_behavior(|behavior| behavior.rate_limit = NonZeroU32::new(1));
    // A second may pass between two requests, but not between each two of many.
    let mut refused = None;
    for _ in 0..100 {
        let answer = caller.call("eth_chainId", json!([])).await.unwrap();
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
    }
    assert_eq!(refused.unwrap().headers[RETRY_AFTER], "1");
}

#[tokio::test]
async fn responders_decide_or_leave_it_to_the_node() {
    let (node, caller) = node_and_caller().await;
    node.respond_with(|request| {
        let asked = request.rpc_methods.iter().any(|method| method == "eth_call");
        asked.then(|| {
            RawResponse::json(StatusCode::ACCEPTED, r#"{"id":1,"result":null,"error":null}"#).with_header(
                HeaderName::from_static("x-extra"),
                HeaderValue::from_static("yes"),
            )
        })
    });
    let answer = caller.call("eth_call", json!([{}])).await.unwrap();
    assert_eq!(
        (answer.status, &answer.headers["x-extra"]),
        (StatusCode::ACCEPTED, &"yes".parse().unwrap())
    );
    assert_eq!(answer.body, r#"{"id":1,"result":null,"error":null}"#);
    assert_eq!(caller.result("eth_chainId", json!([])).await, "0x539");
    node.heal();
    assert_eq!(caller.result("eth_call", json!([{}])).await, "0x");
}

#[tokio::test]
async fn requests_are_captured_as_they_came() {
    let (node, caller) = node_and_caller().await;
    let body = r#" [{"id":1,"method":"eth_call"},{"id":2,"method":"eth_call"}] "#;
    caller.send(Method::POST, "/v2/key?x=%20y", body).await.unwrap();
    let captured = node.captured();
    assert_eq!(captured.len(), 1);
    assert_eq!(captured[0].method, Method::POST);
    assert_eq!(captured[0].uri.to_string(), "/v2/key?x=%20y");
    assert_eq!(captured[0].headers["x-request"], "seven");
    assert_eq!(captured[0].body, body);
    assert_eq!(
        (node.hits(), node.hits_of("eth_call"), node.hits_of("eth_chainId")),
        (1, 2, 0)
    );
}

#[tokio::test]
async fn held_answers_are_counted_on_arrival_and_sent_on_release() {
    let (node, caller) = node_and_caller().await;
    node.hold();
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.result("eth_chainId", json!([])).await })
        })
        .collect();
    bounded(node.wait_for_hits_of("eth_chainId", 3)).await;
    assert!(calls.iter().all(|call| !call.is_finished()));
    node.release();
    for call in calls {
        assert_eq!(bounded(call).await.unwrap(), "0x539");
    }
}

#[tokio::test]
async fn killed_nodes_return_on_their_port() {
    let (node, caller) = node_and_caller().await;
    assert_eq!(caller.result("eth_chainId", json!([])).await, "0x539");
    let listen = node.addr();
    node.stop().await;
    assert!(caller.call("eth_chainId", json!([])).await.is_err());
    let node = SimNode::start(SimNodeConfig {
        listen,
        ..SimNodeConfig::named("b")
    })
    .await
    .unwrap();
    assert_eq!(node.addr(), listen);
    assert_eq!(
        caller.call("eth_chainId", json!([])).await.unwrap().headers[NODE_HEADER],
        "b"
    );
}

#[tokio::test]
async fn taken_ports_and_unspeakable_names_are_refused() {
    let (node, _) = node_and_caller().await;
    let taken = SimNode::start(SimNodeConfig {
        listen: node.addr(),
        ..SimNodeConfig::default()
    })
    .await;
    assert!(
        taken
            .unwrap_err()
            .to_string()
            .starts_with("cannot listen on 127.0.0.1:")
    );
    assert!(SimNode::start(SimNodeConfig::named("line\nbreak")).await.is_err());
}

#[tokio::test]
async fn health_checks_get_the_status_they_are_told() {
    let (node, caller) = node_and_caller().await;
    assert_eq!(
        caller.send(Method::GET, "/health", "").await.unwrap().status,
        StatusCode::OK
    );
    node.update_behavior(|behavior| behavior.health_status = StatusCode::SERVICE_UNAVAILABLE);
    let answer = caller.send(Method::GET, "/any/path", "").await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(caller.result("eth_chainId", json!([])).await, "0x539");
}

#[tokio::test]
async fn control_changes_the_node_uncounted_and_even_when_silent() {
    let (node, caller) = node_and_caller().await;
    let answer = caller
        .send(Method::POST, "/sim/control", r#"{"lag": 5, "silent": true}"#)
        .await
        .unwrap();
    assert_eq!(
        (answer.status, &answer.json()["head"]),
        (StatusCode::OK, &json!(995))
    );
    caller
        .send(Method::POST, "/sim/control", r#"{"silent": false}"#)
        .await
        .unwrap();
    assert_eq!(caller.result("eth_blockNumber", json!([])).await, "0x3e3");
    let state = caller.send(Method::GET, "/sim/state", "").await.unwrap();
    assert_eq!(state.headers[CONTENT_TYPE], "application/json");
    assert_eq!(state.json()["hits"], 1);
    let refused = caller
        .send(Method::POST, "/sim/control", r#"{"lag": -1}"#)
        .await
        .unwrap();
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.json()["error"]["field"], "lag");
    assert_eq!(
        caller.send(Method::GET, "/sim/control", "").await.unwrap().status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(node.hits(), 1);
}

#[tokio::test]
async fn many_callers_are_served_at_once() {
    let (node, caller) = node_and_caller().await;
    let node = Arc::new(node);
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.result("eth_call", json!([{}])).await })
        })
        .collect();
    for call in calls {
        assert_eq!(bounded(call).await.unwrap(), "0x");
    }
    assert_eq!(node.hits_of("eth_call"), 64);
}
