//! Changes that are valid and do harm, over real processes: one control plane, three gateways, and who starts them again.

use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::eventually,
    processes::{ControlPlane, DEADLY, Supervised},
};

struct Fleet {
    gateways: Vec<Supervised>,
    control_plane: ControlPlane,
    _dir: TempDir,
}

impl Fleet {
    /// Three gateways that serve one route at revision 1.
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let control_plane = ControlPlane::start(&dir.path().join("control-plane"));
        let start = |name: &str| Supervised::start(dir.path(), name, &control_plane);
        let gateways = ["gw-1", "gw-2", "gw-3"].map(start).into();
        control_plane.roll_out("all", &json!([route(1), upstream(1, "node.example")]));
        control_plane.settle(3, 1);
        Self {
            gateways,
            control_plane,
            _dir: dir,
        }
    }

    /// Waits until a rollout was undone by itself, and gives it.
    fn reverted(&self) -> Value {
        eventually("the rollout to be reverted", || {
            let rollouts = self.control_plane.told(&["rollout", "list"]);
            (rollouts[0]["state"] == "reverted").then(|| rollouts[0].clone())
        })
    }

    /// Revision 2 was offered to one gateway and is undone by revision 3 everywhere; gives that gateway and the others.
    fn only_one_saw_it(&self, canary: &str) -> (&Supervised, Vec<&Supervised>) {
        self.control_plane.settle(3, 3);
        let (canaries, others): (Vec<_>, Vec<_>) =
            self.gateways.iter().partition(|gateway| gateway.name == canary);
        for gateway in &others {
            assert!(!gateway.has_served(2), "{} got it", gateway.name);
            assert_eq!(gateway.starts(), 1, "{} died", gateway.name);
            assert!(gateway.has_served(3), "{} goes on", gateway.name);
        }
        let status = self.control_plane.told(&["status"]);
        for node in status["nodes"].as_array().unwrap() {
            assert_eq!(node["last_refusal"], Value::Null, "settled: {node}");
        }
        let differing = self.control_plane.told(&["diff", "1", "3"]);
        assert_eq!(differing, json!([]), "it is as it was");
        (canaries[0], others)
    }
}

fn id(kind: u64, number: u64) -> String {
    format!("00000000-0000-4000-{kind:04}-{number:012}")
}

fn route(number: u64) -> Value {
    json!({"kind": "route", "id": id(1, number), "host": format!("r{number}.example"), "path": "/"})
}

fn upstream(number: u64, host: &str) -> Value {
    json!({"kind": "upstream", "id": id(2, number), "route_id": id(1, number), "weight": 50,
           "address": {"scheme": "https", "host": host, "port": 443, "path": "/"}})
}

/// The first gateway dies with it, again and again, until it says so instead of taking it.
#[test]
fn what_kills_the_first_gateway_never_reaches_a_second_and_is_undone_by_itself() {
    let fleet = Fleet::start();
    let routes: Vec<Value> = (1..=DEADLY).map(route).collect();
    fleet.control_plane.roll_out("1 1h", &json!(routes));
    let rollout = fleet.reverted();
    let why = rollout["why"].as_str().unwrap();
    let (canary, reason) = why.split_once(": ").unwrap();
    assert_eq!(reason, "CRASHED", "{why}");
    let (canary, _) = fleet.only_one_saw_it(canary);
    assert!(
        canary.has_served(2) && canary.starts() >= 3,
        "{} starts",
        canary.starts()
    );
}

/// No name of a host has a part of more than 63 characters, which the gateway notices first.
#[test]
fn what_the_first_gateway_refuses_never_reaches_a_second_and_is_undone_by_itself() {
    let fleet = Fleet::start();
    let host = format!("{}.example", "a".repeat(64));
    fleet.control_plane.roll_out("1 1h", &json!([upstream(1, &host)]));
    let rollout = fleet.reverted();
    let why = rollout["why"].as_str().unwrap();
    let (canary, reason) = why.split_once(": ").unwrap();
    assert!(reason.starts_with("INVALID"), "{why}");
    let (canary, _) = fleet.only_one_saw_it(canary);
    assert!(!canary.has_served(2) && canary.starts() == 1);
}

/// It went everywhere at once; so does its undoing. How long that takes is measured elsewhere: here it is only no minute.
#[test]
fn what_does_harm_is_undone_everywhere_by_one_command() {
    let fleet = Fleet::start();
    fleet
        .control_plane
        .roll_out("all", &json!([upstream(1, "nowhere.example")]));
    fleet.control_plane.settle(3, 2);
    let begun = Instant::now();
    let told = fleet.control_plane.told(&["rollback", "1"]);
    let answered = begun.elapsed();
    fleet.control_plane.settle(3, 3);
    let everywhere = begun.elapsed();
    println!("undone after {answered:?}, everywhere after {everywhere:?}: {told}");
    assert!(everywhere.as_secs() < 10, "{everywhere:?}");
    let differing = fleet.control_plane.told(&["diff", "1", "3"]);
    assert_eq!(differing, json!([]));
}
