//! A subscription under test, with what its consumer saw.

use std::{path::Path, time::Duration};

use http::Uri;
use prost::Message as _;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tyrscale_client::{
    ClientError, NodeIdentity, NodeRole, SubscriptionConfig, SubscriptionStatus, Timing, Update, subscription,
};
use tyrscale_model::{
    Kind, Lineage, Rejection, ResourceKey, Revision, Row, Snapshot, View, Violation, ViolationCode,
};
use tyrscale_proto::v1;

use crate::server::PATIENCE;

pub(crate) const VIEW: View = View::ALL;
pub(crate) const LINEAGE: Lineage = Lineage([7; 16]);

/// The consumer refuses a content with this network ...
pub(crate) const REFUSED: &str = "refused";
/// ... and panics at one with this.
pub(crate) const PANICKED: &str = "panicked";

pub(crate) fn network(name: &str, chain_id: u64) -> Row {
    let network = v1::Network {
        name: name.into(),
        blockchain: "ethereum".into(),
        chain_id,
        meta: None,
    };
    Row {
        key: key(name),
        revision: Revision(1),
        payload: network.encode_to_vec().into(),
        value: None,
    }
}

pub(crate) fn key(name: &str) -> ResourceKey {
    ResourceKey::new(Kind::Network, name)
}

pub(crate) fn content(lineage: Lineage, revision: u64, rows: &[Row]) -> Snapshot {
    Snapshot::empty(lineage)
        .advance(lineage, Revision(revision), rows.to_vec(), &[])
        .unwrap()
}

pub(crate) fn timing() -> Timing {
    Timing {
        connect_timeout: PATIENCE,
        backoff_base: Duration::from_millis(1),
        backoff_max: Duration::from_millis(2),
        ..Timing::default()
    }
}

pub(crate) fn config(endpoints: &[&Uri], last_good: Option<&Path>) -> SubscriptionConfig {
    SubscriptionConfig {
        endpoints: endpoints.iter().map(|uri| (*uri).clone()).collect(),
        tls: Default::default(),
        node: NodeIdentity {
            id: "node-1".into(),
            group: "group".into(),
            zone: String::new(),
            role: NodeRole::Gateway,
            labels: [("canary".to_owned(), "yes".to_owned())].into(),
            build: "test".into(),
        },
        view: VIEW,
        selection: tyrscale_model::Selection::default(),
        weights: false,
        last_good: last_good.map(Path::to_owned),
        timing: timing(),
        max_message_bytes: 0,
    }
}

pub(crate) struct Subscriber {
    updates: mpsc::Receiver<Update>,
    pub(crate) status: watch::Receiver<SubscriptionStatus>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ClientError>>,
}

impl Subscriber {
    pub(crate) fn start(config: SubscriptionConfig) -> Self {
        let (sender, updates) = mpsc::channel(64);
        let consumer = move |update: &Update| {
            if update.snapshot.get(&key(PANICKED)).is_some() {
                panic!("on purpose");
            }
            if update.snapshot.get(&key(REFUSED)).is_some() {
                let violation = Violation::new("name", ViolationCode::Invalid, "is not wanted");
                return Err(Rejection::from(vec![violation; 40]));
            }
            sender.try_send(update.clone()).unwrap();
            Ok(vec!["a warning".to_owned()])
        };
        let (status_sender, status) = watch::channel(SubscriptionStatus::default());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(subscription::run(
            config,
            consumer,
            status_sender,
            shutdown.clone(),
        ));
        Self {
            updates,
            status,
            shutdown,
            task,
        }
    }

    /// What the consumer was given next.
    pub(crate) async fn update(&mut self) -> Update {
        timeout(PATIENCE, self.updates.recv())
            .await
            .expect("no update")
            .unwrap()
    }

    pub(crate) fn has_no_update(&mut self) -> bool {
        self.updates.try_recv().is_err()
    }

    /// Waits for a status like this.
    pub(crate) async fn status(&mut self, is: impl FnMut(&SubscriptionStatus) -> bool) -> SubscriptionStatus {
        timeout(PATIENCE, self.status.wait_for(is))
            .await
            .expect("status never came")
            .unwrap()
            .clone()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let ended = timeout(PATIENCE, self.task).await.expect("does not stop");
        ended.unwrap().unwrap();
    }
}
