//! A process that dies with a content, again and again, started anew each time as a supervisor would.

use std::{
    env,
    path::Path,
    process::{Child, Command, Stdio},
};

use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use tyrscale_client::{SubscriptionStatus, Update, subscription};
use tyrscale_model::{Row, Version, wire};
use tyrscale_proto::v1::NackReason;

use crate::{
    server::{PATIENCE, ScriptedServer, ScriptedStream, chunk, delta},
    subscriber::{LINEAGE, Subscriber, VIEW, config, content, key, network},
};

/// Set for the processes under test: where the control plane is, and their directory.
const URI: &str = "TYRSCALE_TEST_CRASHING_URI";
const DIRECTORY: &str = "TYRSCALE_TEST_CRASHING_DIRECTORY";
/// A content with this network kills the process.
const DEADLY: &str = "deadly";

fn version(revision: u64, rows: &[Row]) -> Version {
    content(LINEAGE, revision, rows).version(VIEW)
}

/// The process under test; does nothing when it is not started by the other test.
#[tokio::test]
async fn subscriber_that_dies() {
    let (Ok(uri), Ok(directory)) = (env::var(URI), env::var(DIRECTORY)) else {
        return;
    };
    let consumer = |update: &Update| {
        if update.snapshot.get(&key(DEADLY)).is_some() {
            std::process::abort();
        }
        Ok(vec![])
    };
    let uri = uri.parse().unwrap();
    let config = config(&[&uri], Some(Path::new(&directory)));
    let (status, _) = watch::channel(SubscriptionStatus::default());
    subscription::run(config, consumer, status, CancellationToken::new())
        .await
        .unwrap();
}

fn supervised(server: &ScriptedServer, directory: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "crash_loop::subscriber_that_dies"])
        .env(URI, server.uri.to_string())
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The process that lives on; it is ended with the test.
struct Survivor(Child);

impl Drop for Survivor {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

async fn offer(stream: &mut ScriptedStream, base: &Version, target: &Version, rows: &[Row]) {
    stream.send_unanswered(delta(base, target, rows, &[])).await;
}

async fn dies(mut process: Child) {
    let ended = tokio::task::spawn_blocking(move || process.wait());
    let ended = timeout(PATIENCE, ended).await.expect("still alive");
    assert!(!ended.unwrap().unwrap().success());
}

#[tokio::test]
async fn c105_a_content_that_killed_two_starts_is_quarantined_and_the_one_before_runs() {
    let directory = tempfile::tempdir().unwrap();
    let server = ScriptedServer::start().await;
    let rows = [network("a", 1), network(DEADLY, 2)];
    let (good, deadly) = (version(5, &rows[..1]), version(6, &rows));

    let process = supervised(&server, directory.path());
    let mut stream = server.welcome().await;
    stream.ask_for_ack(chunk(None, &good, 0, 1, &rows[..1])).await;
    offer(&mut stream, &good, &deadly, &rows[1..]).await;
    dies(process).await;

    let process = supervised(&server, directory.path());
    let mut stream = server.welcome().await;
    assert_eq!(stream.have(), Some(good));
    assert_eq!(stream.hello.quarantined, []);
    offer(&mut stream, &good, &deadly, &rows[1..]).await;
    dies(process).await;

    let _process = Survivor(supervised(&server, directory.path()));
    let mut stream = server.welcome().await;
    assert_eq!(stream.have(), Some(good));
    assert_eq!(stream.hello.quarantined, [wire::version_to_wire(&deadly)]);
    let same_again = Version {
        revision: tyrscale_model::Revision(7),
        ..deadly
    };
    for refused in [deadly, same_again] {
        let nack = stream.ask_for_nack(delta(&good, &refused, &rows[1..], &[])).await;
        assert_eq!(nack.reason(), NackReason::Crashed);
    }
    let repair = [network("b", 3)];
    let repaired = version(8, &[rows[0].clone(), repair[0].clone()]);
    stream.ask_for_ack(delta(&good, &repaired, &repair, &[])).await;
}

/// A content on trial that is no longer the newest thing on disk must not be run by accident either.
#[tokio::test]
async fn a_content_that_kills_the_process_after_it_was_kept_is_not_restored() {
    let directory = tempfile::tempdir().unwrap();
    let server = ScriptedServer::start().await;
    let config = config(&[&server.uri], Some(directory.path()));
    let rows = [network("a", 1), network(DEADLY, 2)];
    let (good, deadly) = (version(5, &rows[..1]), version(6, &rows));
    // Here it is taken and kept without harm, as if the harm came later.
    let subscriber = Subscriber::start(config);
    let mut stream = server.welcome().await;
    stream.ask_for_ack(chunk(None, &good, 0, 1, &rows[..1])).await;
    stream.ask_for_ack(delta(&good, &deadly, &rows[1..], &[])).await;
    subscriber.stop().await;

    dies(supervised(&server, directory.path())).await;
    let _process = Survivor(supervised(&server, directory.path()));
    let stream = server.accept().await;
    assert_eq!(stream.have(), Some(good));
    assert_eq!(stream.hello.quarantined, [wire::version_to_wire(&deadly)]);
}
