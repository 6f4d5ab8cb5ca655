//! The verbs on resources, over both transports.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Ended, System, tyrctl};

const UNKNOWN: &str = "11111111-1111-4111-8111-111111111111";
const ROUTE: &str = "22222222-2222-4222-8222-222222222222";
const UPSTREAM: &str = "33333333-3333-4333-8333-333333333333";
const RPC: &str = "44444444-4444-4444-8444-444444444444";

fn system() -> (System, TempDir) {
    let data_dir = TempDir::new().unwrap();
    (System::start(&data_dir, &[]), data_dir)
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// The data of a command that must do what it is told.
#[track_caller]
fn done(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.json()
}

#[track_caller]
fn refused(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    assert_eq!(ended.data, "", "nothing but data goes to standard output");
    for part in parts {
        assert!(ended.talk.contains(part), "{part}: {}", ended.talk);
    }
}

/// A system with a network, an rpc, a route and an upstream.
fn furnished() -> (System, TempDir) {
    let (system, data_dir) = system();
    for line in [
        "network create --name eth --blockchain ethereum --chain-id 1",
        &format!(
            "rpc create --id {RPC} --network eth --provider p --visibility private --url http://127.0.0.1:1 --collector net_peers"
        ),
        &format!("route create --id {ROUTE} --host a.example --path /eth --load-balancer weight-round-robin"),
        &format!("upstream create --id {UPSTREAM} --route-id {ROUTE} --rpc-id {RPC} --weight 50"),
    ] {
        system.json(&words(line));
    }
    (system, data_dir)
}

#[test]
fn flags_become_fields() {
    let (system, _data) = furnished();
    let route = system.json(&words(
        "route create --host b.example --load-balancer least-load --breaker --breaker-timeout 5s \
         --health-check custom --health-interval 1m --health-timeout 500ms --health-header X-K:v",
    ));
    assert_eq!(route["load_balancer"], "least-load");
    assert_eq!(route["circuit_breaker"]["timeout_ms"], 5000);
    assert_eq!(route["health_check"]["enabled"], true);
    assert_eq!(route["health_check"]["interval_ms"], 60_000);
    assert_eq!(route["health_check"]["request"]["headers"], json!({"X-K": "v"}));
    let rpc = system.json(&words(
        "rpc create --network eth --provider p --visibility public --collector eth_block_number \
         --collector net_peers --url http://127.0.0.1:2/v3/0123456789abcdef0123456789abcdef",
    ));
    assert_eq!(rpc["collectors"], json!(["eth_block_number", "net_peers"]));
    assert!(
        !rpc.to_string().contains("0123456789abcdef"),
        "keys are masked: {rpc}"
    );
    let line = format!(
        "recommendation create --route-id {ROUTE} --network eth --schedule @hourly --strategy STRATEGY_HIGHEST_BLOCK"
    );
    assert_eq!(system.json(&words(&line))["strategy"], "STRATEGY_HIGHEST_BLOCK");
}

#[test]
fn an_update_changes_what_is_given_and_nothing_else() {
    let (system, _data) = furnished();
    let changed = system.json(&words(&format!("upstream update {UPSTREAM} --weight 33.5")));
    assert_eq!(
        (&changed["weight"], &changed["rpc_id"]),
        (&json!(33.5), &json!(RPC))
    );
    system.json(&words(&format!(
        "route update {ROUTE} --breaker --breaker-timeout 5s"
    )));
    let changed = system.json(&words(&format!("route update {ROUTE} --breaker=false")));
    assert_eq!(changed["circuit_breaker"]["enabled"], false);
    assert_eq!(changed["circuit_breaker"]["timeout_ms"], 5000);
    assert_eq!(
        system.json(&words("route list --filter host=b.example")),
        json!([])
    );
    let of_route = system.json(&words(&format!("upstream list --filter route_id={ROUTE}")));
    assert_eq!(of_route, json!([system.json(&["upstream", "get", UPSTREAM])]));
    refused(
        &system.grpc(&["route", "update", ROUTE]),
        2,
        &["nothing to change"],
    );
    refused(
        &system.grpc(&words("route update --path /x")),
        2,
        &["id is missing"],
    );
}

#[test]
fn a_deletion_takes_dependents_unless_they_are_in_use_or_told_not_to() {
    let (system, _data) = furnished();
    let line = format!(
        "recommendation create --route-id {ROUTE} --network eth --schedule @daily --strategy STRATEGY_CUSTOM"
    );
    system.json(&words(&line));
    refused(
        &system.grpc(&words("network delete eth")),
        1,
        &["recommendation", "(in_use)"],
    );
    system.json(&["recommendation", "delete", ROUTE]);
    refused(
        &system.grpc(&words("network delete eth --no-cascade")),
        1,
        &["(in_use)"],
    );
    let planned = system.json(&words("network delete eth --dry-run"));
    let deleted = system.json(&words("network delete eth"));
    assert_eq!(planned, deleted);
    let mut kinds: Vec<_> = deleted
        .as_array()
        .unwrap()
        .iter()
        .map(|gone| gone["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.first(), Some(&"network"), "the one named comes first");
    kinds.sort_unstable();
    assert_eq!(kinds, ["network", "rpc", "upstream"]);
    assert_eq!(system.json(&["rpc", "list"]), json!([]));
}

#[test]
fn what_is_read_as_yaml_can_be_sent_back_unless_it_is_stale() {
    let (system, _data) = system();
    let yaml = "host: a.example\nload_balancer: least-load\n";
    let made = done(&system.grpc_fed(&words("-o json route create -f - --path /x"), yaml));
    let id = made["id"].as_str().unwrap();
    let read = system.grpc(&["-o", "yaml", "route", "get", id]).data;
    let edited = read.replace("/x", "/y");
    done(&system.grpc_fed(&words("-o json route update -f -"), &edited));
    assert_eq!(system.json(&["route", "get", id])["path"], "/y");
    let again = system.grpc_fed(&words("route update -f -"), &edited);
    refused(&again, 1, &["meta.etag", "(etag_mismatch)"]);
    refused(
        &system.grpc_fed(&words("route update -f -"), "hosts: a"),
        2,
        &["hosts"],
    );
}

#[test]
fn a_dry_run_checks_and_changes_nothing() {
    let (system, _data) = system();
    let ended = system.grpc(&words(
        "network create --name eth --blockchain e --chain-id 1 --dry-run",
    ));
    assert_eq!(ended.code, 0);
    assert!(ended.talk.contains("nothing was changed"), "{ended:?}");
    assert_eq!(system.json(&["network", "list"]), json!([]));
    refused(
        &system.grpc(&words("network create --name eth --dry-run")),
        1,
        &["chain_id"],
    );
}

#[test]
fn a_refusal_names_every_broken_rule() {
    let (system, _data) = system();
    refused(
        &system.grpc(&words("network create --name bad!name")),
        1,
        &[
            "name: ",
            "(invalid)",
            "blockchain: ",
            "(required)",
            "chain_id: ",
            "(out_of_range)",
        ],
    );
    refused(
        &system.grpc(&["route", "get", UNKNOWN]),
        1,
        &["(not_found)", UNKNOWN],
    );
    refused(
        &system.grpc(&words("route list --filter hosts=a")),
        1,
        &["host path load_balancer"],
    );
}

#[test]
fn a_list_is_read_to_its_last_page() {
    let (system, _data) = system();
    let networks: Vec<Value> = (0..1200)
        .map(|number| json!({"kind": "network", "name": format!("n{number}"), "blockchain": "b", "chain_id": 1}))
        .collect();
    let applied = system.grpc_fed(&words("apply -f -"), &json!(networks).to_string());
    assert_eq!(applied.code, 0, "{}", applied.talk);
    assert_eq!(system.json(&["network", "list"]).as_array().unwrap().len(), 1200);
}

#[test]
fn wrong_usage_exits_with_2_and_no_server_with_3() {
    let run = |line: &str| {
        let nowhere = words("--server http://127.0.0.1:1 --rest-server http://127.0.0.1:1");
        tyrctl(&[nowhere, words(line)].concat())
    };
    refused(&run("network list"), 3, &["tyrctl up", "--server"]);
    refused(
        &run("--transport rest network list"),
        3,
        &["tyrctl up", "--rest-server"],
    );
    refused(&run("status"), 3, &["tyrctl up"]);
    for line in [
        "network create --chain-id one",
        "route create --load-balancer zzz",
        "route create --health-interval 5",
        "upstream create --rpc-id a --host b",
        "--transport rest status",
        "--transport rest apply -f -",
        "apply -f /nowhere",
        "nonsense",
    ] {
        refused(&run(line), 2, &[]);
    }
    refused(
        &tyrctl(&words("--server nonsense network list")),
        2,
        &["http://host:port"],
    );
}

#[test]
fn resources_are_made_changed_and_deleted_over_rest() {
    let (system, _data) = furnished();
    let rest = |line: &str| done(&system.rest(&words(&format!("-o json {line}"))));
    rest("network create --name other --blockchain b --chain-id 2");
    let rpc = rest(
        "rpc create --network other --provider p --visibility public --url http://127.0.0.1:2 --collector net_peers",
    );
    let rpc_id = rpc["id"].as_str().unwrap();
    assert_eq!(
        rest(&format!("rpc update {rpc_id} --provider q"))["visibility"],
        "public"
    );
    let route = rest(
        "route create --host b.example --load-balancer least-load --health-check eth_block_number --health-interval 2s --health-timeout 1s",
    );
    let route_id = route["id"].as_str().unwrap();
    assert_eq!(route["health_check"]["interval_ms"], 2000);
    assert_eq!(
        rest(&format!("route update {route_id} --path /eth"))["host"],
        "b.example"
    );
    let asked = format!("--route-id {route_id} --network other --schedule @daily");
    rest(&format!(
        "recommendation create --strategy STRATEGY_CUSTOM {asked}"
    ));
    let changed = rest(&format!("recommendation update {route_id} --schedule @hourly"));
    assert_eq!(
        (&changed["schedule"], &changed["strategy"]),
        (&json!("@hourly"), &json!("STRATEGY_CUSTOM"))
    );
    assert_eq!(rest("network list --filter chain_id=3"), json!([]));
    for (kind, id) in [
        ("recommendation", route_id),
        ("route", route_id),
        ("rpc", rpc_id),
        ("network", "other"),
    ] {
        rest(&format!("{kind} delete {id}"));
        refused(&system.rest(&[kind, "get", id]), 1, &["does not exist"]);
        refused(&system.grpc(&[kind, "get", id]), 1, &["(not_found)"]);
    }
}

#[test]
fn an_upstream_keeps_over_rest_what_is_not_given() {
    let (system, _data) = furnished();
    let rest = |line: &str| done(&system.rest(&words(&format!("-o json {line}"))));
    let made = rest(&format!(
        "upstream create --route-id {ROUTE} --rpc-id {RPC} --weight 5"
    ));
    let id = made["id"].as_str().unwrap();
    let changed = rest(&format!("upstream update {id} --weight 7.5"));
    assert_eq!(
        (&changed["rpc_id"], &changed["weight"]),
        (&json!(RPC), &json!(7.5))
    );
    let changed = rest(&format!(
        "upstream update {id} --scheme http --host 127.0.0.1 --port 2 --path /"
    ));
    assert_eq!(
        (&changed["rpc_id"], &changed["address"]["port"]),
        (&Value::Null, &json!(2))
    );
    let changed = rest(&format!("upstream update {id} --port 3"));
    assert_eq!(
        (&changed["address"]["host"], &changed["address"]["port"]),
        (&json!("127.0.0.1"), &json!(3))
    );
    let changed = rest(&format!("upstream update {id} --rpc-id {RPC}"));
    assert_eq!(
        (&changed["rpc_id"], &changed["weight"]),
        (&json!(RPC), &json!(7.5))
    );
    assert_eq!(system.json(&["upstream", "get", id])["weight"], 7.5);
    rest(&format!("upstream delete {id}"));
    assert_eq!(rest("upstream list").as_array().unwrap().len(), 1);
}

#[test]
fn what_rest_cannot_say_is_refused_by_its_name() {
    let (system, _data) = furnished();
    for (line, name) in [
        ("network update eth --chain-id 2", "network"),
        ("network create --name a --dry-run", "--dry-run"),
        ("network delete eth --no-cascade", "--no-cascade"),
        ("network delete eth --etag e", "--etag"),
        (&format!("route create --host a --id {UNKNOWN}"), "--id"),
        (
            "route create --host a --health-tolerance-blocks 1",
            "health_check.tolerance_blocks",
        ),
        (&format!("rpc update {RPC} --network b"), "--network"),
        ("upstream create --weight 1", "--route-id"),
    ] {
        refused(&system.rest(&words(line)), 2, &[name]);
    }
    refused(&system.rest(&words("network create --name a")), 1, &["400"]);
    refused(&system.rest(&["route", "delete", UNKNOWN]), 1, &["404"]);
    assert_eq!(system.json(&["network", "list"]).as_array().unwrap().len(), 1);
}
