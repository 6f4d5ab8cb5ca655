//! `tyrctl up`.

use std::{collections::BTreeMap, net::TcpListener};

use serde_json::{Value, json};
use tempfile::TempDir;
use tyrscale_simnode::{Fault, SimNode, SimNodeConfig};

use crate::harness::{System, ask, eventually, tyrctl, up_words};

const ALPHA: &str = "00de3000-0005-4000-8000-000000000001";

fn up_once(data_dir: &TempDir, more: &[&str]) -> crate::harness::Ended {
    let words = up_words(data_dir.path());
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.extend_from_slice(more);
    words.push("--once");
    tyrctl(&words)
}

#[test]
fn the_demo_balances_by_weight_and_ends_when_told_once() {
    let data_dir = TempDir::new().unwrap();
    let ended = up_once(&data_dir, &["--demo"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let mut served: BTreeMap<String, usize> = BTreeMap::new();
    for answer in ended.json()["trial"]["answers"].as_array().unwrap() {
        assert_eq!(answer["status"], 200);
        assert!(answer["answer"].as_str().unwrap().starts_with("0x"), "{answer}");
        *served
            .entry(answer["node"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    let expected = [("alpha", 5), ("beta", 3), ("gamma", 2)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(served, BTreeMap::from(expected));
}

#[test]
fn people_are_told_what_to_try_next() {
    let data_dir = TempDir::new().unwrap();
    let ended = up_once(&data_dir, &["--demo", "-o", "table"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for part in [
        "curl -i http://localhost:",
        "/eth",
        "--weight 0",
        " status",
        "/metrics",
        "served 5",
    ] {
        assert!(ended.data.contains(part), "{part}: {}", ended.data);
    }
}

#[test]
fn a_system_stops_on_sigterm_and_finds_its_data_again() {
    let data_dir = TempDir::new().unwrap();
    let system = System::start(&data_dir, &["--demo"]);
    system.json(&[
        "network",
        "create",
        "--name",
        "kept",
        "--blockchain",
        "b",
        "--chain-id",
        "5",
    ]);
    system.json(&["upstream", "update", ALPHA, "--weight", "0"]);
    assert_eq!(system.stop(), 0);

    let system = System::start(&data_dir, &["--demo"]);
    assert_eq!(system.json(&["network", "get", "kept"])["chain_id"], 5);
    let trial = &system.said["trial"];
    let answers = trial["answers"].as_array().unwrap();
    assert!(
        answers.iter().all(|answer| answer["status"] == 200),
        "{answers:?}"
    );
    assert!(
        answers.iter().all(|answer| answer["node"] != "alpha"),
        "alpha is drained: {answers:?}"
    );
    assert_eq!(system.stop(), 0);
}

#[test]
fn a_weight_changed_while_it_runs_reaches_the_gateway() {
    let data_dir = TempDir::new().unwrap();
    let system = System::start(&data_dir, &["--demo"]);
    let gateway = system
        .address("gateway")
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    for node in ["1", "2"] {
        let id = format!("00de3000-0005-4000-8000-00000000000{node}");
        system.json(&["upstream", "update", &id, "--weight", "0"]);
    }
    let status = system.json(&["status", "--wait"]);
    let head = &status["head"]["revision"];
    let nodes = status["nodes"].as_array().unwrap();
    let roles: Vec<_> = nodes.iter().map(|node| node["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["exporter", "gateway", "recommender"]);
    assert!(
        nodes
            .iter()
            .all(|node| node["state"] == "synced" && node["revision"] == *head),
        "{status}"
    );
    for _ in 0..3 {
        let answer = ask(gateway, "localhost", "/eth");
        assert_eq!((answer.status, answer.node.as_deref()), (200, Some("gamma")));
    }
}

#[test]
fn a_port_in_use_is_named_with_its_flag() {
    let data_dir = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = up_words(data_dir.path());
    let mut words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with("--rest"))
        .collect();
    words.extend(["--rest-listen", &address]);
    let ended = tyrctl(&words);
    assert_eq!(ended.code, 1);
    assert!(
        ended.talk.contains(&address) && ended.talk.contains("--rest-listen"),
        "{ended:?}"
    );
}

#[test]
fn data_that_another_system_uses_is_refused() {
    let data_dir = TempDir::new().unwrap();
    let system = System::start(&data_dir, &[]);
    assert_eq!(system.said["trial"], Value::Null);
    let ended = up_once(&data_dir, &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.talk.contains("control plane"), "{ended:?}");
}

async fn node(name: &str, chain_id: u64) -> SimNode {
    let config = SimNodeConfig {
        chain_id,
        ..SimNodeConfig::named(name)
    };
    SimNode::start(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn real_endpoints_get_a_network_of_their_chain() {
    let data_dir = TempDir::new().unwrap();
    let (one, two, silent) = (
        node("one", 10).await,
        node("two", 10).await,
        node("three", 10).await,
    );
    silent.set_fault(Fault::CloseBeforeAnswer);
    let urls = [
        one.url(),
        two.url(),
        format!("{}/0123456789abcdef0123456789abcdef", silent.url()),
    ];
    let flags: Vec<&str> = urls.iter().flat_map(|url| ["--upstream", url.as_str()]).collect();
    let system = System::start(&data_dir, &flags);
    assert_eq!(system.json(&["network", "get", "default"])["chain_id"], 10);
    assert_eq!(system.json(&["upstream", "list"]).as_array().unwrap().len(), 3);
    let rpcs = system.json(&["rpc", "list"]).to_string();
    assert!(!rpcs.contains("0123456789abcdef0123456789abcdef"), "{rpcs}");
    assert_eq!(system.stop(), 0);

    // Fewer endpoints, in another order: what is left over goes.
    let system = System::start(&data_dir, &["--upstream", &urls[1]]);
    let rpcs = system.json(&["rpc", "list"]);
    let listed: Vec<_> = rpcs
        .as_array()
        .unwrap()
        .iter()
        .map(|rpc| rpc["url"].clone())
        .collect();
    assert_eq!(listed, [json!(urls[1])]);
    assert_eq!(system.json(&["upstream", "list"]).as_array().unwrap().len(), 1);
    let gateway = system
        .address("gateway")
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    eventually("the other endpoint", || {
        (ask(gateway, "localhost", "/").node.as_deref() == Some("two")).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_do_not_answer_or_disagree_are_refused() {
    let data_dir = TempDir::new().unwrap();
    let (one, other) = (node("one", 1).await, node("other", 2).await);
    let ended = up_once(&data_dir, &["--upstream", &one.url(), "--upstream", &other.url()]);
    assert_eq!(ended.code, 1);
    assert!(ended.talk.contains("different chains"), "{ended:?}");
    let gone = one.url();
    one.stop().await;
    let ended = up_once(&data_dir, &["--upstream", &gone]);
    assert_eq!(ended.code, 1);
    assert!(ended.talk.contains("eth_chainId"), "{ended:?}");
    assert_eq!(up_once(&data_dir, &["--upstream", "ftp://h"]).code, 2);
}
