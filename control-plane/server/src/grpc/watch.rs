//! The nodes as they change.

use std::{collections::BTreeMap, time::Duration};

use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tyrscale_model::{View, wire};
use tyrscale_proto::v1;
use tyrscale_store::Store;

use crate::fleet::Fleet;

/// Between two messages, so that a fleet that answers costs a watcher little.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a watcher may take to read.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) type Outbox = mpsc::Sender<Result<v1::WatchNodesResponse, Status>>;

/// What a watcher was told of each process.
type Told = BTreeMap<(String, String), v1::NodeStatus>;

/// Tells of the nodes until the watcher leaves, does not read, or `stop`.
pub(super) async fn watch(fleet: Fleet, store: Store, outbox: Outbox, stop: CancellationToken) {
    let (mut nodes, mut heads) = (fleet.subscribe(), store.subscribe());
    let mut told: Option<Told> = None;
    loop {
        nodes.borrow_and_update();
        let head = wire::version_to_wire(&heads.borrow_and_update().snapshot.version(View::ALL));
        let now: Told = fleet
            .list()
            .into_iter()
            .map(|status| (key(&status), status))
            .collect();
        let news = news(told.as_ref(), &now, head);
        told = Some(now);
        if outbox.send_timeout(Ok(news), PATIENCE).await.is_err() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {
                // It may be gone as well.
                outbox.try_send(Err(Status::unavailable("the control plane is stopping"))).ok();
                return;
            }
            () = outbox.closed() => return,
            Ok(()) = nodes.changed() => {}
            Ok(()) = heads.changed() => {}
        }
        sleep(PAUSE).await;
    }
}

fn key(status: &v1::NodeStatus) -> (String, String) {
    let node = status.node.as_ref();
    node.map_or_else(Default::default, |node| (node.id.clone(), node.boot_id.clone()))
}

fn news(told: Option<&Told>, now: &Told, head: v1::Version) -> v1::WatchNodesResponse {
    let is_news = |key, status| told.and_then(|told| told.get(key)) != Some(status);
    let gone = told
        .into_iter()
        .flat_map(Told::keys)
        .filter(|key| !now.contains_key(*key));
    v1::WatchNodesResponse {
        nodes: now
            .iter()
            .filter(|(key, status)| is_news(*key, *status))
            .map(|(_, status)| status.clone())
            .collect(),
        head: Some(head),
        gone: gone
            .map(|(id, boot_id)| v1::GoneNode {
                id: id.clone(),
                boot_id: boot_id.clone(),
            })
            .collect(),
    }
}
