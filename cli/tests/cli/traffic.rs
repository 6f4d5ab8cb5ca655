//! What a change over REST does to the traffic through the gateway. Tests name the case of the compatibility
//! contract.

use std::net::SocketAddr;

use serde_json::Value;
use tempfile::TempDir;
use tyrscale_simnode::{SimNode, SimNodeConfig};

use crate::harness::{System, ask, eventually};

/// A system whose route `a.example/eth` leads to a node by an rpc with a key in its URL.
struct Scene {
    system: System,
    node: SimNode,
    rpc: String,
    route: String,
    _dir: TempDir,
}

impl Scene {
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let system = System::start(&dir, &[]);
        let node = SimNode::start(SimNodeConfig::named("a")).await.unwrap();
        let id = |made: Value| made["id"].as_str().unwrap().to_owned();
        rest(
            &system,
            "network create --name eth --blockchain ethereum --chain-id 1",
        );
        let rpc = id(rest(
            &system,
            &format!(
                "rpc create --network eth --provider own --visibility private --url http://u:p@{}/?apikey=1 \
                 --collector eth_block_number",
                node.addr()
            ),
        ));
        let route = id(rest(
            &system,
            "route create --host a.example --path /eth --load-balancer weight-round-robin",
        ));
        rest(
            &system,
            &format!("upstream create --route-id {route} --rpc-id {rpc} --weight 50"),
        );
        let scene = Self {
            system,
            node,
            rpc,
            route,
            _dir: dir,
        };
        scene.answers("a.example", 200);
        scene
    }

    fn rest(&self, line: &str) {
        rest(&self.system, line);
    }

    /// Waits until requests for the host get this status.
    fn answers(&self, host: &str, status: u16) {
        let gateway = self.system.address("gateway").trim_start_matches("http://");
        let gateway: SocketAddr = gateway.parse().unwrap();
        eventually(&format!("{status} for {host}"), || {
            (ask(gateway, host, "/eth").status == status).then_some(())
        });
    }
}

fn rest(system: &System, line: &str) -> Value {
    let words: Vec<&str> = ["-o", "json"]
        .into_iter()
        .chain(line.split_whitespace())
        .collect();
    let ended = system.rest(&words);
    assert_eq!(ended.code, 0, "{line}: {ended:?}");
    serde_json::from_str(&ended.data).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_028_a_deleted_network_takes_its_traffic_with_it() {
    let scene = Scene::start().await;
    scene.rest("network delete eth");
    scene.answers("a.example", 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_053_a_deleted_rpc_gets_no_more_traffic() {
    let scene = Scene::start().await;
    scene.rest(&format!("rpc delete {}", scene.rpc));
    scene.answers("a.example", 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_078_a_patched_route_moves_its_traffic() {
    let scene = Scene::start().await;
    scene.rest(&format!(
        "route update {} --host b.example --load-balancer least-load",
        scene.route
    ));
    scene.answers("b.example", 200);
    scene.answers("a.example", 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_083_a_deleted_route_is_unknown() {
    let scene = Scene::start().await;
    scene.rest(&format!("route delete {}", scene.route));
    scene.answers("a.example", 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_099_query_and_user_info_of_an_rpc_reach_the_node() {
    let scene = Scene::start().await;
    let seen = scene.node.captured();
    let request = seen.last().unwrap();
    assert_eq!(request.uri.query(), Some("apikey=1"));
    assert_eq!(request.headers["authorization"], "Basic dTpw");
}
