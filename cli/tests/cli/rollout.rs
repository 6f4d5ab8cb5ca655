//! Changes that real gateways get one after the other, or not yet.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    fleet::{ControlPlane, Gateway},
    harness::{eventually, tyrctl_fed},
};

impl ControlPlane {
    fn roll_out(&self, policy: &str, chain_id: u64) {
        let server = format!("http://{}", self.grpc);
        let network = json!([{"kind": "network", "name": "eth", "blockchain": "evm", "chain_id": chain_id}]);
        let words = ["--server", &server, "apply", "-f", "-", "--rollout", policy];
        let ended = tyrctl_fed(&words, &network.to_string());
        assert_eq!(ended.code, 0, "{ended:?}");
    }

    fn told(&self, words: &[&str]) -> Value {
        let ended = self.tyrctl(words);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.json()
    }

    /// Waits until as many gateways run the newest revision as wait for it.
    fn halfway(&self) {
        eventually("half of the gateways", || {
            let status = self.told(&["status"]);
            let nodes = status["nodes"].as_array().unwrap();
            let in_state = |state: &str| nodes.iter().filter(|node| node["state"] == state).count();
            (in_state("synced") == 1 && in_state("held") == 1).then_some(())
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_goes_to_one_gateway_then_to_all_and_stays_when_frozen() {
    let dir = TempDir::new().unwrap();
    let control_plane = ControlPlane::start(&dir.path().join("control-plane")).await;
    let first = Gateway::start(&dir.path().join("one"), control_plane.grpc).await;
    let second = Gateway::start(&dir.path().join("two"), control_plane.grpc).await;
    control_plane.roll_out("all", 1);
    control_plane.settle(2);

    control_plane.roll_out("1 1h", 2);
    control_plane.halfway();
    let rollout = control_plane.told(&["rollout", "status"]);
    assert_eq!(
        (&rollout["state"], &rollout["stage"]),
        (&json!("running"), &json!("1/1"))
    );
    control_plane.told(&["rollout", "promote"]);
    control_plane.settle(2);
    let rollouts = control_plane.told(&["rollout", "list"]);
    assert_eq!(rollouts[0]["state"], "succeeded");

    control_plane.roll_out("1 1h", 3);
    control_plane.halfway();
    control_plane.told(&["rollout", "abort"]);
    control_plane.settle(2);
    assert_eq!(control_plane.told(&["rollout", "list"])[0]["state"], "reverted");
    assert_eq!(control_plane.told(&["network", "get", "eth"])["chain_id"], 2);

    assert_eq!(control_plane.tyrctl(&["freeze", "-m", "a holiday"]).code, 0);
    control_plane.roll_out("all", 4);
    eventually("both wait", || {
        let status = control_plane.told(&["status"]);
        let mut nodes = status["nodes"].as_array().unwrap().iter();
        nodes
            .all(|node| node["reason"] == "the fleet is frozen")
            .then_some(())
    });
    let listed = control_plane.tyrctl(&["rollout", "list"]);
    assert!(listed.talk.contains("a holiday"), "{listed:?}");
    assert_eq!(control_plane.tyrctl(&["unfreeze"]).code, 0);
    control_plane.settle(2);
    first.stop().await;
    second.stop().await;
    control_plane.kill().await;
}

#[test]
fn a_policy_that_is_none_is_a_wrong_command_line() {
    let ended = tyrctl_fed(&["apply", "-f", "-", "--rollout", "some"], "[]");
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.talk.contains("is no stage"), "{ended:?}");
}
