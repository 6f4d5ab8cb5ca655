//! Documents of managers, and revisions: listed, compared, restored, named.

use serde_json::json;
use tempfile::TempDir;

use crate::harness::System;

const BOTH: &str = "
kind: network
name: eth
blockchain: ethereum
chain_id: 1
---
kind: network
name: pol
blockchain: polygon
chain_id: 137
";
const ONE: &str = "
kind: network
name: eth
blockchain: ethereum
chain_id: 1
";

#[test]
fn what_a_manager_pruned_is_told_and_comes_back() {
    let data_dir = TempDir::new().unwrap();
    let system = System::start(&data_dir, &[]);
    let apply = |more: &[&str], text: &str| {
        system.grpc_fed(&[&["-o", "json", "apply", "-f", "-"], more].concat(), text)
    };
    let networks = |more: &[&str]| {
        let listed = system.json(&[&["network", "list"], more].concat());
        listed.as_array().unwrap().len()
    };
    let revision = || system.json(&["status"])["head"]["revision"].as_u64().unwrap();

    let first = apply(&["--manager", "ci", "--request-id", "r1"], BOTH);
    let again = apply(&["--manager", "ci", "--request-id", "r1"], BOTH);
    assert_eq!((first.code, again.code, revision()), (0, 0, 1), "{again:?}");
    assert_eq!(first.json(), again.json());
    let pruned = apply(&["--manager", "ci", "--prune"], ONE);
    assert_eq!((pruned.code, networks(&[])), (0, 1), "{pruned:?}");
    let other = apply(&["--manager", "other"], ONE);
    assert_eq!(other.code, 1);
    assert!(other.talk.contains("is managed by ci"), "{other:?}");

    system.json(&["tag", "create", "good", "1"]);
    let history = system.json(&["history"]);
    assert_eq!(history.as_array().unwrap().len(), 2, "{history}");
    assert_eq!(history[1]["tags"], json!(["good"]), "{history}");
    let differences = system.json(&["diff", "1", "2"]);
    assert_eq!(differences[0]["id"], "pol", "{differences}");
    assert_eq!(networks(&["--at-revision", "1"]), 2);
    system.json(&["rollback", "1", "--dry-run"]);
    assert_eq!((networks(&[]), revision()), (1, 2));
    system.json(&["rollback", "1"]);
    assert_eq!((networks(&[]), revision()), (2, 3));
}
