//! The exporter as a process that dies at any moment: it goes on with what it has on its disk.

use std::{sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::time::{interval, sleep};
use tyrscale_model::{Collector, RpcId};

use crate::{
    plane::Plane,
    running::{Process, node, value},
};

const ROUNDS: u32 = 8;
const HEIGHT: [Collector; 1] = [Collector::EthBlockNumber];

fn is_measured(metrics: &str, id: RpcId) -> bool {
    value(metrics, "tyrscale_rpc_block_height", id).is_some()
}

#[tokio::test]
async fn killed_while_its_content_changes_it_measures_what_it_acknowledged() {
    let (plane, node, data) = (
        Arc::new(Plane::start().await),
        node().await,
        TempDir::new().unwrap(),
    );
    let mut rpcs = Vec::new();
    for _ in 0..ROUNDS {
        let exporter = Process::start(plane.address, &data).await;
        let (changing, url, first) = (Arc::clone(&plane), node.url(), rpcs.len());
        let changes = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_millis(20));
            for number in first.. {
                ticks.tick().await;
                let number = u32::try_from(number).unwrap();
                changing.rpc(number, &format!("{url}/{number}"), &HEIGHT);
            }
        });
        let before = plane.newest_kept();
        plane.kept_beyond(before).await;
        // Anywhere between two writes, or in one.
        sleep(Duration::from_micros(fastrand::u64(0..30_000))).await;
        exporter.kill();
        changes.abort();
        assert!(changes.await.unwrap_err().is_cancelled());
        rpcs = plane.rpcs();
        let kept = plane.newest_kept();

        // The first revision is that of the network, each other one that of an rpc.
        let known = usize::try_from(kept).unwrap() - 1;
        let alone = Process::start(([127, 0, 0, 1], 1).into(), &data).await;
        alone
            .until(|metrics| rpcs.iter().take(known).all(|id| is_measured(metrics, *id)))
            .await;
        alone.kill();
    }
}

#[tokio::test]
async fn killed_and_started_without_a_control_plane_it_measures_its_last_content() {
    let (plane, node, data) = (Plane::start().await, node().await, TempDir::new().unwrap());
    let id = plane.node(1, &node, &HEIGHT);
    let exporter = Process::start(plane.address, &data).await;
    exporter.until(|metrics| is_measured(metrics, id)).await;
    plane.kept_beyond(1).await;
    exporter.kill();
    drop(plane);
    let alone = Process::start(([127, 0, 0, 1], 1).into(), &data).await;
    alone.until(|metrics| is_measured(metrics, id)).await;
    alone.kill();
}
