//! The real program, killed at any moment: what was acknowledged is there, and nothing is half there.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tyrscale_proto::v1::{
    self, Resume, apply_request::Part, network_service_client::NetworkServiceClient, resource::Resource,
    rpc_service_client::RpcServiceClient,
};

use crate::{
    follower::Follower,
    plane::{apply_parts, connect, network, rpc, upsert},
};

const KILLS: u64 = 20;
const WRITERS: usize = 3;

/// The program, killed when dropped.
struct Program {
    child: Child,
    grpc: SocketAddr,
}

impl Program {
    fn start(dir: &TempDir) -> Self {
        let any = "127.0.0.1:0";
        let mut child = Command::new(env!("CARGO_BIN_EXE_tyrscale-control-plane"))
            .args(["--grpc-listen", any, "--rest-listen", any, "--log-format", "json"])
            .arg("--data-dir")
            .arg(dir.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let serving = lines
            .find(|line| line.contains("control plane serves"))
            .expect("it serves");
        std::thread::spawn(move || lines.for_each(drop));
        let address = serving
            .split("\"grpc\":\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        Self {
            grpc: address.parse().unwrap(),
            child,
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A document of three resources that belong together, named by its number.
fn document(number: usize) -> Vec<Part> {
    let name = format!("n{number}");
    let rpcs = [2 * number, 2 * number + 1].map(|rpc_number| upsert(Resource::Rpc(rpc(rpc_number, &name))));
    let [one, two] = rpcs;
    vec![
        Part::Header(v1::ApplyHeader::default()),
        upsert(network(&name, 1)),
        one,
        two,
        Part::Commit(v1::ApplyCommit { count: 3 }),
    ]
}

/// Writes documents until the server is gone; gives the acknowledged ones with their revisions.
async fn write(channel: Channel, numbers: impl Iterator<Item = usize>) -> BTreeMap<usize, u64> {
    let mut acknowledged = BTreeMap::new();
    for number in numbers {
        let Ok(answer) = apply_parts(&channel, document(number)).await else {
            break;
        };
        acknowledged.insert(number, answer.version.unwrap().revision);
    }
    acknowledged
}

async fn networks(channel: &Channel) -> BTreeMap<String, u64> {
    let mut client = NetworkServiceClient::new(channel.clone());
    let mut found = BTreeMap::new();
    let mut page = v1::ListNetworksRequest {
        page_size: 1000,
        ..Default::default()
    };
    loop {
        let listed = client.list_networks(page.clone()).await.unwrap().into_inner();
        let with_revision = |network: v1::Network| (network.name, network.meta.unwrap().create_revision);
        found.extend(listed.networks.into_iter().map(with_revision));
        page.page_token = listed.next_page_token;
        if page.page_token.is_empty() {
            return found;
        }
    }
}

async fn rpcs(channel: &Channel) -> BTreeMap<String, usize> {
    let mut client = RpcServiceClient::new(channel.clone());
    let mut found = BTreeMap::new();
    let mut page = v1::ListRpcsRequest {
        page_size: 1000,
        ..Default::default()
    };
    loop {
        let listed = client.list_rpcs(page.clone()).await.unwrap().into_inner();
        for rpc in listed.rpcs {
            *found.entry(rpc.network).or_default() += 1;
        }
        page.page_token = listed.next_page_token;
        if page.page_token.is_empty() {
            return found;
        }
    }
}

/// Everything acknowledged is there, every document whole, revisions dense.
async fn check(channel: &Channel, acknowledged: &BTreeMap<usize, u64>) -> u64 {
    let networks = networks(channel).await;
    for (number, revision) in acknowledged {
        assert_eq!(
            networks.get(&format!("n{number}")),
            Some(revision),
            "n{number} was acknowledged"
        );
    }
    let rpcs = rpcs(channel).await;
    assert!(rpcs.keys().eq(networks.keys()), "a document is whole or absent");
    assert!(rpcs.values().all(|count| *count == 2), "a document is whole");
    let revisions: BTreeSet<u64> = networks.values().copied().collect();
    let head = u64::try_from(networks.len()).unwrap();
    assert_eq!(
        revisions,
        (1..=head).collect(),
        "each document is one revision, without holes"
    );
    head
}

/// The subscriber comes back and has what the store has, proved by its digest.
async fn resume(follower: &mut Option<Follower>, channel: &Channel, head: u64) {
    match follower {
        None => {
            let (mut fresh, plan) = Follower::connect(channel, "n").await;
            if plan.resume() == Resume::Snapshot {
                fresh.follow_to(head).await;
                *follower = Some(fresh);
            }
        }
        Some(follower) => {
            let plan = follower.reconnect(channel, "n").await;
            assert_ne!(
                plan.resume(),
                Resume::Hold,
                "what was pushed was durable: {}",
                plan.why
            );
            follower.follow_to(head).await;
        }
    }
}

/// Follows what is pushed until the server is gone.
async fn follow(follower: &mut Follower) {
    while let Ok(update) = follower.try_receive().await {
        follower.apply(&update);
        follower.ack(&update).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c88_killed_at_any_moment_nothing_acknowledged_is_lost_and_nothing_is_half_there() {
    let dir = TempDir::new().unwrap();
    let mut acknowledged = BTreeMap::new();
    let mut follower = None;
    let mut next = 0;
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..KILLS {
        let mut program = Program::start(&dir);
        let channel = connect(program.grpc).await;
        let head = check(&channel, &acknowledged).await;
        resume(&mut follower, &channel, head).await;
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let numbers = (next + writer..).step_by(WRITERS).take(1000);
            writers.spawn(write(channel.clone(), numbers));
        }
        next += 1000 * WRITERS;
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let moment = tokio::time::sleep(Duration::from_millis((seed >> 33) % 120));
        tokio::select! {
            () = moment => {}
            () = async {
                match &mut follower {
                    Some(follower) => follow(follower).await,
                    None => std::future::pending().await,
                }
            } => {}
        }
        program.kill();
        while let Some(written) = writers.join_next().await {
            acknowledged.extend(written.unwrap());
        }
    }
    let program = Program::start(&dir);
    let head = check(&connect(program.grpc).await, &acknowledged).await;
    assert!(head >= KILLS, "something was written: {head}");
}
