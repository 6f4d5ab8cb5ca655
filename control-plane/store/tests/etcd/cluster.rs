//! An etcd cluster of this test, and changes for it.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;
use tyrscale_model::{ChangeSet, Network, Operation, Rejection, Resource, Snapshot};
use tyrscale_store::{Committed, EtcdOptions, Store, StoreError, StoreOptions};

/// A member that runs until it is dropped.
pub(crate) struct Member {
    child: Child,
    pub(crate) endpoint: String,
    arguments: Vec<String>,
}

impl Member {
    fn start(endpoint: String, arguments: Vec<String>) -> Self {
        let child = spawn(&arguments);
        Self {
            child,
            endpoint,
            arguments,
        }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn data(&self) -> PathBuf {
        let place = self
            .arguments
            .iter()
            .position(|word| word == "--data-dir")
            .unwrap();
        self.arguments[place + 1].clone().into()
    }

    /// Copies the data of a member that does not run.
    pub(crate) fn keep_data(&self) {
        copy(&self.data(), &self.data().with_extension("kept"));
    }

    /// Puts the copy in the place of the data.
    pub(crate) fn put_data_back(&self) {
        std::fs::remove_dir_all(self.data()).unwrap();
        copy(&self.data().with_extension("kept"), &self.data());
    }

    /// Starts it again with the data it had.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.arguments);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It may have been killed by the test.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

fn spawn(arguments: &[String]) -> Child {
    Command::new("etcd")
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd must be installed")
}

pub(crate) struct Cluster {
    pub(crate) members: Vec<Member>,
    _data: TempDir,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

impl Cluster {
    pub(crate) fn start(size: usize) -> Self {
        let data = TempDir::new().unwrap();
        let ports: Vec<(u16, u16)> = (0..size).map(|_| (free_port(), free_port())).collect();
        let peers: Vec<String> = (0..)
            .zip(&ports)
            .map(|(number, (_, peer))| format!("m{number}=http://127.0.0.1:{peer}"))
            .collect();
        let members = (0..).zip(&ports).map(|(number, (client, peer))| {
            let client = format!("http://127.0.0.1:{client}");
            let peer = format!("http://127.0.0.1:{peer}");
            let dir = data.path().join(format!("m{number}")).display().to_string();
            let arguments = [
                ("--name", format!("m{number}")),
                ("--data-dir", dir),
                ("--listen-client-urls", client.clone()),
                ("--advertise-client-urls", client.clone()),
                ("--listen-peer-urls", peer.clone()),
                ("--initial-advertise-peer-urls", peer),
                ("--initial-cluster", peers.join(",")),
                ("--initial-cluster-state", "new".to_owned()),
            ];
            let arguments = arguments
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value]);
            Member::start(client, arguments.collect())
        });
        Self {
            members: members.collect(),
            _data: data,
        }
    }

    pub(crate) fn options(&self) -> EtcdOptions {
        EtcdOptions {
            endpoints: self
                .members
                .iter()
                .map(|member| member.endpoint.parse().unwrap())
                .collect(),
            cluster: "test".to_owned(),
            tls: tyrscale_tls::ClientTls::default(),
        }
    }

    /// A control plane's store.
    pub(crate) async fn store(&self) -> Store {
        self.store_with(StoreOptions::default()).await
    }

    pub(crate) async fn store_with(&self, options: StoreOptions) -> Store {
        Store::open_etcd(self.options(), options).await.unwrap()
    }
}

static NEXT: AtomicU32 = AtomicU32::new(1);

/// Puts a network with a chain id that no other has.
pub(crate) async fn put(store: &Store, name: &str) -> Result<Committed, StoreError> {
    let chain_id = u64::from(NEXT.fetch_add(1, Ordering::Relaxed));
    let resource = Resource::Network(Network {
        name: name.parse().unwrap(),
        blockchain: "ethereum".parse().unwrap(),
        chain_id: chain_id.try_into().unwrap(),
    });
    store
        .commit(move |_: &Snapshot| {
            Ok::<_, Rejection>(ChangeSet {
                operations: vec![Operation::put(resource.clone())],
                ..ChangeSet::default()
            })
        })
        .await
}

/// Waits until a store has at least this revision.
pub(crate) async fn reaches(store: &Store, revision: tyrscale_model::Revision) {
    let mut heads = store.subscribe();
    let reached = heads.wait_for(|head| head.snapshot.revision() >= revision);
    tokio::time::timeout(std::time::Duration::from_secs(30), reached)
        .await
        .unwrap()
        .unwrap();
}
