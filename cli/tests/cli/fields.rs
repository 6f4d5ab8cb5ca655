//! Fields of routes and upstreams that only gRPC knows, as flags and in files.

use serde_json::json;
use tempfile::TempDir;

use crate::harness::System;

const ROUTE: &str = "22222222-2222-4222-8222-222222222222";
const UPSTREAM: &str = "33333333-3333-4333-8333-333333333333";

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn furnished() -> (System, TempDir) {
    let data_dir = TempDir::new().unwrap();
    let system = System::start(&data_dir, &[]);
    for line in [
        &format!("route create --id {ROUTE} --host a.example"),
        &format!(
            "upstream create --id {UPSTREAM} --route-id {ROUTE} --scheme http --host h --port 1 --path / --weight 5 \
             --tier 2 --receipts-method parity_getBlockReceipts --protocol http2 --limit-concurrent 9 --header X-Key:s3cret"
        ),
    ] {
        system.json(&words(line));
    }
    (system, data_dir)
}

#[test]
fn flags_of_a_route_become_fields_and_can_be_cleared() {
    let (system, _data) = furnished();
    let route = system.json(&words(&format!(
        "route update {ROUTE} --retry-same-upstream 0 --attempt-timeout 2s --limit-client-rps 1.5 \
         --limit-exempt-networks 10.0.0.0/8,::1 --ignore-methods debug_*,trace_* --cors-origins * \
         --slow-start 30s --forward-headers Cookie,authorization --health-check-chain-id=false \
         --hedge-delay 150ms --health-min-peers 3 --health-wrong-log-indexes exclude --health-min-call-result-bytes 65536 \
         --rewrite-block-tags --tier-return-after 5s --breaker-failure-percent 50"
    )));
    assert_eq!(route["load_balancer"], "p2c-peak-ewma");
    assert_eq!(route["retry"]["same_upstream_attempts"], 0);
    assert_eq!(route["retry"]["attempt_timeout_ms"], 2000);
    assert_eq!(route["limits"]["client_requests_per_second"], 1.5);
    assert_eq!(
        route["limits"]["exempt_networks"],
        json!(["10.0.0.0/8", "::1/128"])
    );
    assert_eq!(route["methods"]["ignore"], json!(["debug_*", "trace_*"]));
    assert_eq!(route["cors"]["allowed_origins"], json!(["*"]));
    assert_eq!(route["forward_headers"], json!(["cookie", "authorization"]));
    assert_eq!(route["health_check"]["check_chain_id"], false);
    assert_eq!(route["hedge_delay_ms"], 150);
    assert_eq!(route["health_check"]["min_peers"], 3);
    assert_eq!(route["health_check"]["wrong_log_indexes"], "exclude");
    assert_eq!(route["health_check"]["min_call_result_bytes"], 65_536);
    assert_eq!(route["consistency"]["rewrite_block_tags"], true);
    assert_eq!(route["tiers"]["return_after_ms"], 5000);
    assert_eq!(route["circuit_breaker"]["failure_percent"], 50);

    let mut line = format!("route update {ROUTE} --clear cors --clear retry.same_upstream_attempts");
    line.push_str(" --slow-start 0ms");
    let mut args = words(&line);
    args.extend(["--forward-headers", ""]);
    let route = system.json(&args);
    assert_eq!(route.get("cors"), None);
    assert_eq!(route["retry"].get("same_upstream_attempts"), None);
    assert_eq!(route["retry"]["attempt_timeout_ms"], 2000);
    assert_eq!(route["slow_start_ms"], 0);
    assert_eq!(route.get("forward_headers"), None);
}

/// Scenario 116.
#[test]
fn a_cordon_changes_nothing_else_and_headers_are_never_shown() {
    let (system, _data) = furnished();
    let before = system.json(&["upstream", "get", UPSTREAM]);
    assert_eq!(before["headers"], json!({"x-key": "***"}));
    assert_eq!(
        (before["tier"].as_u64(), before["protocol"].as_str()),
        (Some(2), Some("http2"))
    );
    assert_eq!(before["limits"]["max_concurrent"], 9);
    assert_eq!(before["cordoned"], false);
    let cordoned = system.json(&["upstream", "cordon", UPSTREAM]);
    assert_eq!(cordoned["cordoned"], true);
    assert_eq!(cordoned["weight"], before["weight"]);
    let back = system.json(&["upstream", "uncordon", UPSTREAM]);
    assert_eq!(
        back["meta"]["etag"], before["meta"]["etag"],
        "the content is as it was"
    );
}
