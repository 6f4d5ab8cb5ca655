//! The demo's recommender at work: a node that gets worse loses its weight and its traffic within a minute, and gets both
//! back.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{System, ask, eventually};

const ROUTE: &str = "00de3000-0006-4000-8000-000000000001";
const ALPHA: &str = "00de3000-0005-4000-8000-000000000001";
const ALPHA_RPC: &str = "00de3000-0003-4000-8000-000000000001";
/// Clients that ask.
const ASKED: usize = 20;

/// The points of alpha after the newest run that tells.
fn points(system: &System) -> Option<f64> {
    let run = system.grpc(&["-o", "json", "recommendation", "explain", ROUTE]);
    let run: Value = (run.code == 0).then(|| run.json())?;
    let upstreams = run["upstreams"].as_array()?;
    let alpha = upstreams.iter().find(|upstream| upstream["upstream"] == ALPHA)?;
    alpha["after"].as_f64()
}

/// How many of a few requests alpha answers.
fn answered(system: &System) -> usize {
    let gateway = system.address("gateway").strip_prefix("http://").unwrap();
    let gateway = gateway.parse().unwrap();
    let answers = (0..ASKED).map(|_| ask(gateway, "localhost", "/eth"));
    answers
        .filter(|answer| {
            assert_eq!(answer.status, 200);
            answer.node.as_deref() == Some("alpha")
        })
        .count()
}

/// Tells the simulated node at `url` how to behave.
fn tell(url: &str, orders: &Value) {
    let address = url.strip_prefix("http://").unwrap().trim_end_matches('/');
    let body = orders.to_string();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "POST /sim/control HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}

/// Each wait is for at most a minute.
fn loses_and_regains_its_weight(worse: &Value, better: &Value) {
    let data_dir = TempDir::new().unwrap();
    let system = System::start(&data_dir, &["--demo"]);
    let url = system.json(&["rpc", "get", ALPHA_RPC])["url"]
        .as_str()
        .unwrap()
        .to_owned();
    eventually("a first run", || points(&system).filter(|points| *points > 40.0));
    tell(&url, worse);
    eventually("a low weight", || points(&system).filter(|points| *points < 10.0));
    eventually("less traffic", || (answered(&system) <= ASKED / 5).then_some(()));
    let runs = system.json(&["recommendation", "runs", ROUTE]);
    let applied = runs
        .as_array()
        .unwrap()
        .iter()
        .find(|run| run["state"] == "applied");
    assert!(
        applied.unwrap()["weights_revision"].as_u64().unwrap() > 0,
        "{runs}"
    );
    tell(&url, better);
    eventually("its weight again", || {
        points(&system).filter(|points| *points > 40.0)
    });
    eventually("its traffic again", || {
        (answered(&system) >= ASKED * 2 / 5).then_some(())
    });
    assert_eq!(system.stop(), 0);
}

#[test]
fn a_lagging_node_loses_its_weight_within_a_minute_and_gets_it_back() {
    loses_and_regains_its_weight(&json!({"lag": 40}), &json!({"lag": 0}));
}

#[test]
fn a_slow_node_loses_its_weight_within_a_minute_and_gets_it_back() {
    loses_and_regains_its_weight(&json!({"latency_ms": 400}), &json!({"latency_ms": 0}));
}

#[test]
fn a_node_that_throttles_loses_its_weight_within_a_minute_and_gets_it_back() {
    loses_and_regains_its_weight(&json!({"rate_limit": 1}), &json!({"rate_limit": null}));
}
