//! What is measured of nodes, and what of those that misbehave.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use serde_json::json;
use tyrscale_model::Collector;
use tyrscale_simnode::{ConnectProxy, Fault, Garbage, RawResponse};

use crate::{
    plane::Plane,
    running::{Exporter, node, value},
};

const ALL: [Collector; 11] = [
    Collector::EthBlockNumber,
    Collector::NetPeers,
    Collector::EthSyncing,
    Collector::EthChainId,
    Collector::EthGasPrice,
    Collector::ClientVersion,
    Collector::FinalizedBlock,
    Collector::SafeBlock,
    Collector::TxpoolStatus,
    Collector::ArchiveDepth,
    Collector::Latency,
];
const HEIGHT: [Collector; 1] = [Collector::EthBlockNumber];

#[tokio::test]
async fn every_collector_tells_and_reports_what_its_node_says() {
    let mut plane = Plane::start().await;
    let node = node().await;
    node.set_height(1_000);
    node.set_tags(990, 980);
    node.set_peers(7);
    node.set_lowest_state(600);
    node.answer(
        "txpool_status",
        None,
        Ok(json!({"pending": "0x5", "queued": "0x2"})),
    );
    let id = plane.node(1, &node, &ALL);
    let exporter = Exporter::start(plane.address, None, &[]).await;
    let metrics = exporter
        .until(|metrics| value(metrics, "tyrscale_rpc_oldest_state_height", id).is_some())
        .await;
    for (metric, expected) in [
        ("tyrscale_rpc_up", 1.0),
        ("tyrscale_rpc_block_height", 1_000.0),
        ("tyrscale_rpc_lag_blocks", 50.0),
        ("tyrscale_rpc_peers", 7.0),
        ("tyrscale_rpc_syncing", 0.0),
        ("tyrscale_rpc_chain_mismatch", 0.0),
        ("tyrscale_rpc_gas_price_wei", 1e9),
        ("tyrscale_rpc_safe_height", 990.0),
        ("tyrscale_rpc_finalized_height", 980.0),
        ("tyrscale_rpc_oldest_state_height", 600.0),
        ("tyrscale_rpc_client_info", 1.0),
        ("tyrscale_rpc_calls_over_budget_total", 0.0),
    ] {
        assert_eq!(value(&metrics, metric, id), Some(expected), "{metric}");
    }
    assert!(
        metrics.contains(r#"state="queued"} 2"#) || metrics.contains(r#"state="queued",type="private"} 2"#)
    );
    assert!(metrics.contains(r#"collector="eth_block_number",network="eth""#));
    assert!(value(&metrics, "tyrscale_rpc_call_duration_seconds_count", id).is_some());
    assert!(!metrics.contains("http://"), "no URL is told");
    let sample = plane
        .reported(id, |sample| sample.oldest_state == Some(600))
        .await;
    assert_eq!(
        (sample.block_height, sample.peers, sample.chain_matches),
        (Some(1_000), Some(7), Some(true))
    );
    assert_eq!((sample.txpool_pending, sample.txpool_queued), (Some(5), Some(2)));
    assert!(sample.collectors.iter().all(|collector| collector.healthy));
    node.set_chain_id(5);
    exporter.stop().await;
    plane.farewell().await;
}

#[tokio::test]
async fn garbage_is_a_failure_with_a_reason_and_heals() {
    let plane = Plane::start().await;
    let node = node().await;
    let id = plane.node(1, &node, &HEIGHT);
    let exporter = Exporter::start(plane.address, None, &[]).await;
    exporter
        .until(|metrics| value(metrics, "tyrscale_rpc_up", id) == Some(1.0))
        .await;
    for (fault, reason) in [
        (Fault::Garbage(Garbage::Html), "not_json_rpc"),
        (Fault::Garbage(Garbage::Empty), "not_json_rpc"),
        (Fault::status(StatusCode::SERVICE_UNAVAILABLE), "status"),
        (Fault::CloseBeforeAnswer, "lost"),
        (Fault::Silence, "timeout"),
    ] {
        node.set_fault(fault);
        let outcome = format!("outcome=\"{reason}\"");
        let counted = |metrics: &str| metrics.lines().any(|line| line.contains(&outcome));
        exporter
            .until(|metrics| counted(metrics) && value(metrics, "tyrscale_rpc_up", id) == Some(0.0))
            .await;
        node.heal();
    }
    for result in [
        json!("0xffffffffffffffffffff"),
        json!(-1),
        json!("latest"),
        json!(null),
    ] {
        node.answer("eth_blockNumber", None, Ok(result));
        exporter
            .until(|metrics| value(metrics, "tyrscale_rpc_up", id) == Some(0.0))
            .await;
        node.heal();
        exporter
            .until(|metrics| value(metrics, "tyrscale_rpc_up", id) == Some(1.0))
            .await;
    }
    exporter.stop().await;
}

#[tokio::test]
async fn a_target_that_throttles_is_left_alone() {
    let mut plane = Plane::start().await;
    let node = node().await;
    node.respond_with(|_| {
        let answer = RawResponse::new(StatusCode::TOO_MANY_REQUESTS, "slow down");
        Some(answer.with_header(RETRY_AFTER, HeaderValue::from_static("3600")))
    });
    let id = plane.node(1, &node, &ALL);
    let exporter = Exporter::start(plane.address, None, &[]).await;
    exporter
        .until(|metrics| value(metrics, "tyrscale_rpc_backing_off", id) == Some(1.0))
        .await;
    // Its neighbour is measured many times meanwhile.
    let other = crate::running::node().await;
    plane.node(2, &other, &HEIGHT);
    other.wait_for_hits(5).await;
    assert_eq!(node.hits(), 1);
    let sample = plane.reported(id, |sample| sample.backing_off).await;
    assert_eq!(sample.collectors[0].failures["rate_limited"], 1);
    exporter.stop().await;
}

#[tokio::test]
async fn dead_targets_do_not_delay_the_others() {
    let plane = Plane::start().await;
    let silent = node().await;
    silent.set_fault(Fault::Silence);
    for number in 100..140 {
        plane.rpc(number, &format!("{}/{number}", silent.url()), &HEIGHT);
    }
    let exporter = Exporter::start(plane.address, None, &["--concurrency", "8"]).await;
    silent.wait_for_hits(16).await;
    let good = node().await;
    let id = plane.node(1, &good, &HEIGHT);
    let began = std::time::Instant::now();
    good.wait_for_hits(10).await;
    // Ten rounds of a tenth of a second, and what one call of each dead one may take in front of them.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let metrics = exporter.metrics().await;
    assert_eq!(value(&metrics, "tyrscale_rpc_up", id), Some(1.0));
    exporter.stop().await;
}

#[tokio::test]
async fn a_new_rpc_is_measured_and_one_that_goes_is_gone_at_once() {
    let plane = Plane::start().await;
    let (one, two) = (node().await, node().await);
    let first = plane.node(1, &one, &HEIGHT);
    let exporter = Exporter::start(plane.address, None, &[]).await;
    exporter
        .until(|metrics| value(metrics, "tyrscale_rpc_block_height", first).is_some())
        .await;
    let second = plane.node(2, &two, &HEIGHT);
    exporter
        .until(|metrics| value(metrics, "tyrscale_rpc_block_height", second).is_some())
        .await;
    plane.delete(first);
    let metrics = exporter
        .until(|metrics| !metrics.contains(&first.to_string()))
        .await;
    assert!(value(&metrics, "tyrscale_rpc_block_height", second).is_some());
    // Out of its share is as good as deleted.
    plane.share(&[]);
    exporter
        .until(|metrics| !metrics.contains(&second.to_string()))
        .await;
    exporter.stop().await;
}

#[tokio::test]
async fn an_rpc_is_measured_through_its_proxy_alone() {
    let plane = Plane::start().await;
    let node = node().await;
    let proxy = ConnectProxy::start_with_authorization(HeaderValue::from_static("Basic dXNlcjpwYXNz"))
        .await
        .unwrap();
    plane.secret("pass", "pass");
    let address = format!("user:${{secret:pass}}@{}", proxy.addr());
    let id = plane.proxied(1, &node, &address);
    let exporter = Exporter::start(plane.address, None, &[]).await;
    exporter
        .until(|metrics| value(metrics, "tyrscale_rpc_up", id) == Some(1.0))
        .await;
    let asked = &proxy.requests()[0];
    assert_eq!(
        (&asked.target, &asked.authorization),
        (&node.addr().to_string(), &None)
    );
    assert!(!node.captured()[0].headers.contains_key("proxy-authorization"));
    plane.secret("pass", "wrong");
    exporter
        .until(|metrics| value(metrics, "tyrscale_rpc_up", id) == Some(0.0))
        .await;
    exporter.stop().await;
}
