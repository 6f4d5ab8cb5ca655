//! A damaged store: its newest backup is served, nothing is written, and a command makes a store of it again.

use std::{fs, path::Path};

use tempfile::TempDir;
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tyrscale_proto::v1::{
    self, Resume, apply_request::Part, discovery_service_server::SERVICE_NAME, resource::Resource,
    status_service_client::StatusServiceClient,
};

use crate::{
    follower::{Follower, hello},
    plane::{apply_parts, connect, get, network, rpc, upsert},
    program::{Program, check, document, store_command, write},
};

const BACKED_UP: [&str; 4] = ["--backup-interval-ms", "1000", "--backup-keep", "2"];

async fn health(channel: &Channel, service: &str) -> ServingStatus {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel.clone()).check(request).await;
    answer.unwrap().into_inner().status()
}

/// Overwrites the first half of the database.
fn damage(home: &Path) {
    let mut bytes = fs::read(home.join("db")).unwrap();
    let half = bytes.len() / 2;
    bytes[..half].fill(0);
    fs::write(home.join("db"), bytes).unwrap();
}

fn backups(home: &Path) -> usize {
    fs::read_dir(home.join("backups")).map_or(0, Iterator::count)
}

/// Makes a store with backups of all of it, and damages it.
async fn lost(home: &Path) -> (std::collections::BTreeMap<usize, u64>, Follower) {
    let mut program = Program::start(home);
    let channel = connect(program.grpc).await;
    let acknowledged = write(channel.clone(), 0..20).await;
    let mut follower = Follower::synced(&channel, "n").await;
    follower.follow_to(20).await;
    program.kill();
    // The first backup is made at the start.
    let mut program = Program::start_with(home, &BACKED_UP);
    program.says("store backed up").await;
    program.kill();
    damage(home);
    (acknowledged, follower)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_is_served_from_its_backup_and_restored_by_a_command() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("store");
    let (acknowledged, mut follower) = lost(&home).await;

    let mut program = Program::start_with(&home, &BACKED_UP);
    let channel = connect(program.grpc).await;
    assert!(program.has_said("recovery mode"));
    assert!(program.has_said("revocations since the backup was taken"));
    // Reads and subscribers are served: nobody is sent backwards, who is new gets everything.
    assert_eq!(check(&channel, &acknowledged).await, 20);
    let plan = follower.reconnect(&channel, "n").await;
    assert_eq!(plan.resume(), Resume::InSync);
    assert_eq!(Follower::synced(&channel, "m").await.rows, follower.rows);
    // Writes are refused, with the cause and the command.
    let refused = apply_parts(&channel, document(20)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    for words in ["is damaged", "revision 20 of its backup", "tyrctl store restore"] {
        assert!(refused.message().contains(words), "{}", refused.message());
    }
    assert_eq!(health(&channel, "").await, ServingStatus::NotServing);
    assert_eq!(health(&channel, SERVICE_NAME).await, ServingStatus::Serving);
    program.kill();
    assert_eq!(backups(&home), 1, "no backup is made of a backup");

    let place = home.display().to_string();
    let restored = store_command(&["restore", "--data-dir", &place]);
    let told = String::from_utf8(restored.stdout).unwrap();
    assert!(
        restored.status.success() && told.contains("revision: 20"),
        "{told}"
    );
    assert!(
        told.contains("warning: tokens and nodes that were revoked since 20"),
        "{told}"
    );
    let program = Program::start(&home);
    let channel = connect(program.grpc).await;
    check(&channel, &acknowledged).await;
    // The order is another one; the content is the same, so nothing is sent.
    let lineage = follower.running.clone().unwrap().lineage;
    let plan = follower.reconnect(&channel, "n").await;
    assert_eq!(plan.resume(), Resume::InSync, "{}", plan.why);
    assert_ne!(follower.running.as_ref().unwrap().lineage, lineage);
    apply_parts(&channel, document(20)).await.unwrap();
    follower.follow_to(21).await;
    // What was there is kept.
    let aside = told
        .lines()
        .find_map(|line| line.strip_prefix("set_aside: "))
        .unwrap();
    assert!(Path::new(aside).join("db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_runs_more_than_the_backup_has_is_never_sent_backwards() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("store");
    let (_, mut follower) = lost(&home).await;
    // As if a revision had come after the backup.
    follower.running.as_mut().unwrap().revision += 1;
    let mut program = Program::start_with(&home, &BACKED_UP);
    let channel = connect(program.grpc).await;
    let plan = follower.reconnect(&channel, "n").await;
    assert_eq!(plan.resume(), Resume::Hold, "{}", plan.why);
    program.kill();
    let place = home.display().to_string();
    assert!(store_command(&["restore", "--data-dir", &place]).status.success());
    let program = Program::start(&home);
    // The content is another one, as far as it is known.
    follower.running.as_mut().unwrap().digest = vec![7; 32].into();
    let plan = follower.reconnect(&connect(program.grpc).await, "n").await;
    assert_eq!(
        plan.resume(),
        Resume::Hold,
        "an older state must be taken over: {}",
        plan.why
    );
    drop(program);
    let program = Program::start_with(&home, &["--take-over", "--backup-interval-ms", "0"]);
    let plan = follower.reconnect(&connect(program.grpc).await, "n").await;
    assert_eq!(plan.resume(), Resume::Snapshot, "{}", plan.why);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_backup_a_damaged_store_is_not_started_over() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("store");
    let mut program = Program::start(&home);
    write(connect(program.grpc).await, 0..5).await;
    program.kill();
    damage(&home);
    let program = Program::start(&home);
    let channel = connect(program.grpc).await;
    assert_eq!(health(&channel, "").await, ServingStatus::NotServing);
    let refused = apply_parts(&channel, document(5)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    assert!(
        refused.message().contains("tyrctl store adopt"),
        "{}",
        refused.message()
    );
    let refused = Follower::try_greet(&channel, "n").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    let answer = get(program.rest, "/api/v1/networks").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("is damaged"), "{answer}");
    drop(program);
    let program = Program::start_with(&home, &["--tokens"]);
    let refused = apply_parts(&connect(program.grpc).await, document(5))
        .await
        .unwrap_err();
    let answer = get(program.rest, "/api/v1/networks").await;
    let place = home.display().to_string();
    for words in [refused.message(), &answer] {
        assert!(
            words.contains("recovery mode") && !words.contains(&place),
            "{words}"
        );
    }
    drop(program);
    let looked = store_command(&["verify", "--data-dir", &place]);
    assert_eq!(looked.status.code(), Some(4), "it is still damaged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_beside_its_backups_is_not_begun_anew() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("store");
    let (acknowledged, mut follower) = lost(&home).await;
    for file in ["db", "conf", "acknowledged"] {
        fs::remove_file(home.join(file)).unwrap();
    }
    let program = Program::start_with(&home, &BACKED_UP);
    let channel = connect(program.grpc).await;
    assert_eq!(check(&channel, &acknowledged).await, 20);
    assert_eq!(follower.reconnect(&channel, "n").await.resume(), Resume::InSync);
    let refused = apply_parts(&channel, document(20)).await.unwrap_err();
    assert!(
        refused.message().contains("it is missing"),
        "{}",
        refused.message()
    );
}

/// The whole data directory is removed; backups lie elsewhere. Gives the program that is started over nothing.
async fn gone(dir: &Path, resources: Vec<Part>) -> (Program, Channel) {
    let (home, elsewhere) = (dir.join("store"), dir.join("backups").display().to_string());
    let words = ["--backup-interval-ms", "60000", "--backup-dir", &elsewhere];
    let mut program = Program::start(&home);
    let channel = connect(program.grpc).await;
    apply_parts(&channel, resources).await.unwrap();
    program.kill();
    let mut program = Program::start_with(&home, &words);
    program.says("store backed up").await;
    program.kill();
    fs::remove_dir_all(&home).unwrap();
    let program = Program::start_with(&home, &words);
    assert!(program.has_said("recovery mode"));
    let channel = connect(program.grpc).await;
    (program, channel)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_whole_directory_is_gone_its_backup_is_served_and_restored() {
    let dir = TempDir::new().unwrap();
    let (mut program, channel) = gone(dir.path(), document(0)).await;
    assert_eq!(check(&channel, &[(0, 1)].into()).await, 1);
    Follower::synced(&channel, "n").await;
    program.kill();
    let (home, elsewhere) = (dir.path().join("store"), dir.path().join("backups"));
    let (place, backups) = (home.display().to_string(), elsewhere.display().to_string());
    let restored = store_command(&["restore", "--data-dir", &place, "--backup-dir", &backups]);
    assert!(restored.status.success(), "{restored:?}");
    // No secret was ever set: the lost master key is made anew.
    let program = Program::start(&home);
    let channel = connect(program.grpc).await;
    apply_parts(&channel, document(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_master_key_a_backup_is_served_to_who_needs_no_value() {
    let dir = TempDir::new().unwrap();
    let rpc = v1::Rpc {
        url: "https://eth.example/${secret:a}".to_owned(),
        ..rpc(1, "eth")
    };
    let secret = v1::Secret {
        name: "a".to_owned(),
        value: Some("canary".to_owned()),
        ..v1::Secret::default()
    };
    let resources = vec![
        Part::Header(v1::ApplyHeader::default()),
        upsert(network("eth", 1)),
        upsert(Resource::Secret(secret)),
        upsert(Resource::Rpc(rpc)),
        Part::Commit(v1::ApplyCommit { count: 3 }),
    ];
    let (program, channel) = gone(dir.path(), resources).await;
    program.says("values of secrets stay closed").await;
    program.says("--secrets-key-file").await;
    let mut hello = hello("recommender", "boot");
    if let Some(node) = &mut hello.node {
        node.role = v1::NodeRole::Recommender.into();
    }
    let mut served = Follower::greet(&channel, hello).await.0;
    assert_eq!(served.follow().await.upserts.len(), 3);
    let (mut held, _) = Follower::connect(&channel, "gateway").await;
    held.wire.stays_quiet().await;
    let mut status = StatusServiceClient::new(channel.clone());
    let listed = status.list_nodes(v1::ListNodesRequest {}).await.unwrap();
    let listed = format!("{:?}", listed.into_inner());
    assert!(listed.contains("a backup is served without the keys"), "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_imported_only_when_that_is_said() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("store");
    lost(&home).await;
    let backup = fs::read_dir(home.join("backups"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let backup = backup.path().display().to_string();
    let other = dir.path().join("other").display().to_string();
    let refused = store_command(&["import", &backup, "--data-dir", &other]);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("`store restore {backup}`")), "{told}");
    assert!(!Path::new(&other).exists());
    let taken = store_command(&["import", &backup, "--allow-backup", "--data-dir", &other]);
    assert!(taken.status.success(), "{taken:?}");
}
