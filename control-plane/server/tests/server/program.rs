//! The real program in a process of its own, and documents that it is asked to keep.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tonic::transport::Channel;
use tyrscale_proto::v1::{
    self, apply_request::Part, network_service_client::NetworkServiceClient, resource::Resource,
    rpc_service_client::RpcServiceClient,
};

use crate::plane::{apply_parts, network, rpc, upsert};

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tyrscale-control-plane");

/// How long a line of it is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// It runs until it is killed or dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) grpc: SocketAddr,
    pub(crate) rest: SocketAddr,
    /// What it has logged.
    said: Arc<Mutex<Vec<String>>>,
}

impl Program {
    pub(crate) fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &["--backup-interval-ms", "0"])
    }

    pub(crate) fn start_with(data_dir: &Path, words: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(words);
        Self::run(command, data_dir)
    }

    /// Runs a command that becomes the program, with what else it must be told.
    pub(crate) fn run(mut command: Command, data_dir: &Path) -> Self {
        let any = "127.0.0.1:0";
        let mut child = command
            .args(["--grpc-listen", any, "--rest-listen", any, "--log-format", "json"])
            .arg("--data-dir")
            .arg(data_dir)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let mut lines = lines.inspect(move |line| heard.lock().unwrap().push(line.clone()));
        let Some(serving) = lines.find(|line| line.contains("\"grpc\":\"")) else {
            panic!("it does not serve: {:?}", said.lock().unwrap());
        };
        std::thread::spawn(move || lines.for_each(drop));
        let address = |name: &str| {
            let start = format!("\"{name}\":\"");
            let rest = serving.split(&start).nth(1).unwrap();
            rest.split('"').next().unwrap().parse().unwrap()
        };
        Self {
            grpc: address("grpc"),
            rest: address("rest"),
            child,
            said,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it logged such a line until now.
    pub(crate) fn has_said(&self, words: &str) -> bool {
        self.said.lock().unwrap().iter().any(|line| line.contains(words))
    }

    /// Waits for it to log such a line.
    pub(crate) async fn says(&self, words: &str) {
        let said = async {
            while !self.has_said(words) {
                tokio::task::yield_now().await;
            }
        };
        let heard = tokio::time::timeout(PATIENCE, said).await;
        assert!(heard.is_ok(), "{words:?}: {:?}", self.said.lock().unwrap());
    }

    pub(crate) fn kill(&mut self) {
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

/// `store VERB ...` of the program.
pub(crate) fn store_command(words: &[&str]) -> Output {
    Command::new(PROGRAM).arg("store").args(words).output().unwrap()
}

/// A document of three resources that belong together, named by its number.
pub(crate) fn document(number: usize) -> Vec<Part> {
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

/// Writes documents until one is refused; gives the acknowledged ones with their revisions.
pub(crate) async fn write(channel: Channel, numbers: impl Iterator<Item = usize>) -> BTreeMap<usize, u64> {
    let mut acknowledged = BTreeMap::new();
    for number in numbers {
        let Ok(answer) = apply_parts(&channel, document(number)).await else {
            break;
        };
        acknowledged.insert(number, answer.version.unwrap().revision);
    }
    acknowledged
}

pub(crate) async fn networks(channel: &Channel) -> BTreeMap<String, u64> {
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

/// Everything acknowledged is there, every document whole, revisions dense. Gives the head.
pub(crate) async fn check(channel: &Channel, acknowledged: &BTreeMap<usize, u64>) -> u64 {
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

/// How often a test does something at random: a number from the environment, or the default.
pub(crate) fn times(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |value| value.parse().unwrap())
}

/// Numbers that look random and are the same in each run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}
