//! `tyrctl secret`: values go in, and nothing that is answered has them.

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Ended, System};

const RPC: &str = "44444444-4444-4444-8444-444444444444";
const VALUE: &str = "canary-S3cret-0123456789";
const OTHER: &str = "canary-0ther-9876543210";

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Runs a command that must do what it is told, and checks that it tells no value.
#[track_caller]
fn done(system: &System, command: &[&str], input: &str) -> Ended {
    let ended = system.grpc_fed(&[&["-o", "json"], command].concat(), input);
    assert_eq!(ended.code, 0, "{command:?}: {ended:?}");
    let shown = format!("{}{}", ended.data, ended.talk);
    assert!(!shown.contains("canary"), "{command:?}: {shown}");
    ended
}

#[test]
fn a_secret_is_set_listed_and_deleted_and_its_value_never_told() {
    let data_dir = TempDir::new().unwrap();
    let system = System::start(&data_dir, &[]);
    let revision = || system.json(&["status"])["head"]["revision"].as_u64().unwrap();

    let tried = done(&system, &["secret", "set", "provider", "--dry-run"], VALUE);
    assert!(tried.talk.contains("nothing was changed"), "{tried:?}");
    assert_eq!(system.json(&["secret", "list"]), json!([]));

    let labelled = ["secret", "set", "provider", "--label", "team=a"];
    let set = done(&system, &labelled, &format!("{VALUE}\n")).json();
    assert_eq!((&set["name"], revision()), (&json!("provider"), 1));
    let file = data_dir.path().join("value");
    std::fs::write(&file, VALUE).unwrap();
    let from_file = ["secret", "set", "provider", "--from-file", file.to_str().unwrap()];
    let same = done(&system, &from_file, "").json();
    assert_eq!((&same["fingerprint"], revision()), (&set["fingerprint"], 1));
    let other = done(&system, &["secret", "set", "provider"], OTHER).json();
    assert_ne!(other["fingerprint"], set["fingerprint"]);
    assert_eq!((&other["labels"], revision()), (&json!({"team": "a"}), 2));

    let listed = done(&system, &["secret", "list"], "").json();
    assert_eq!(listed, json!([other]));
    done(&system, &["secret", "delete", "provider", "--dry-run"], "");
    assert_eq!((system.json(&["secret", "list"]), revision()), (listed, 2));
    done(&system, &["secret", "delete", "provider"], "");
    assert_eq!((system.json(&["secret", "list"]), revision()), (json!([]), 3));
    let gone = system.grpc(&["secret", "delete", "provider"]);
    assert_eq!(gone.code, 1, "{gone:?}");
}

#[test]
fn a_secret_in_use_is_told_by_whom_and_stays() {
    let data_dir = TempDir::new().unwrap();
    let system = System::start(&data_dir, &[]);
    done(&system, &["secret", "set", "provider"], VALUE);
    system.json(&words(
        "network create --name eth --blockchain ethereum --chain-id 1",
    ));
    let url = "http://127.0.0.1:1/v2/${secret:provider}";
    let rpc = format!(
        "rpc create --id {RPC} --network eth --provider p --visibility private --collector net_peers --url {url}"
    );
    assert_eq!(system.json(&words(&rpc))["url"], url);

    let listed = done(&system, &["secret", "list"], "").json();
    assert_eq!(listed[0]["used_by"], json!([format!("rpc/{RPC}")]));
    let refused = system.grpc(&["secret", "delete", "provider"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.talk.contains(&format!("is used by rpc/{RPC}")),
        "{refused:?}"
    );
    assert_eq!(done(&system, &["secret", "list"], "").json(), listed);
}

#[test]
fn a_value_that_breaks_a_rule_is_refused_without_being_told_and_rest_has_no_secrets() {
    let data_dir = TempDir::new().unwrap();
    let system = System::start(&data_dir, &[]);
    let blank = system.grpc_fed(&["secret", "set", "provider"], "canary blank");
    assert_eq!(blank.code, 1, "{blank:?}");
    assert!(blank.talk.contains("visible ASCII"), "{blank:?}");
    assert!(!blank.talk.contains("canary"), "{blank:?}");
    let rest = system.rest(&["secret", "list"]);
    assert_eq!(rest.code, 2, "{rest:?}");
    assert!(rest.talk.contains("REST knows no secrets"), "{rest:?}");
}
