//! `tyrctl apply`.

use serde_json::json;
use tempfile::TempDir;

use crate::harness::System;

const DOCUMENTS: &str = "
kind: network
name: eth
blockchain: ethereum
chain_id: 1
---
- kind: route
  id: 22222222-2222-4222-8222-222222222222
  host: a.example
  load_balancer: failover-priority
- kind: upstream
  id: 33333333-3333-4333-8333-333333333333
  route_id: 22222222-2222-4222-8222-222222222222
  address: {scheme: http, host: 127.0.0.1, port: 1, path: /}
  weight: 10
";

#[test]
fn many_resources_are_one_change_all_or_nothing() {
    let data_dir = TempDir::new().unwrap();
    let system = System::start(&data_dir, &[]);
    let apply = |more: &[&str], text: &str| {
        system.grpc_fed(&[&["-o", "json", "apply", "-f", "-"], more].concat(), text)
    };
    let revision = || system.json(&["status"])["head"]["revision"].as_u64().unwrap();

    let planned = apply(&["--dry-run"], DOCUMENTS);
    assert_eq!((planned.code, revision()), (0, 0), "{planned:?}");
    let applied = apply(&["-m", "first", "--expected-revision", "0"], DOCUMENTS);
    assert_eq!((applied.code, revision()), (0, 1), "{applied:?}");
    assert_eq!(applied.json(), planned.json());
    assert_eq!(applied.json()[1]["action"], "created");
    let again = apply(&[], DOCUMENTS);
    assert_eq!((again.code, again.json(), revision()), (0, json!([]), 1));
    for (more, words) in [
        (&["--dry-run"][..], "nothing would change"),
        (&[], "nothing changed"),
    ] {
        let words = format!("{words}: revision 1 says so already");
        let told = system.grpc_fed(&[&["apply", "-f", "-"], more].concat(), DOCUMENTS);
        assert_eq!((told.data.as_str(), told.talk.trim()), ("", words.as_str()));
    }

    let stale = apply(&["--expected-revision", "0"], DOCUMENTS);
    assert_eq!(stale.code, 1);
    assert!(stale.talk.contains("(revision_mismatch)"), "{stale:?}");
    let half_good = DOCUMENTS
        .replace("chain_id: 1", "chain_id: 2")
        .replace("weight: 10", "weight: 1000");
    let refused = apply(&[], &half_good);
    assert_eq!(refused.code, 1);
    assert!(
        refused
            .talk
            .contains("upstream/33333333-3333-4333-8333-333333333333: weight"),
        "{refused:?}"
    );
    assert_eq!(system.json(&["network", "get", "eth"])["chain_id"], 1);
    let unknown = apply(&[], "kind: networks");
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.talk.contains("resource 1: kind must be one of"),
        "{unknown:?}"
    );
}

/// Scenario N12.
#[test]
fn a_key_that_is_not_known_is_refused_by_its_name() {
    let data_dir = TempDir::new().unwrap();
    let system = System::start(&data_dir, &[]);
    for (document, key) in [
        ("kind: route\nhost: a.example\nretrys: {}\n", "retrys"),
        ("kind: route\nhost: a.example\nretry:\n  attemps: 3\n", "attemps"),
    ] {
        let refused = system.grpc_fed(&["apply", "-f", "-"], document);
        assert_eq!(refused.code, 2);
        assert!(refused.talk.contains(key), "{refused:?}");
    }
}
