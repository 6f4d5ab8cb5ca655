//! Gateways in this process: the client that every gateway has, and what it ran.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tyrscale_client::{
    ClientTls, NodeIdentity, NodeRole, SubscriptionConfig, SubscriptionStatus, Timing, Update,
};
use tyrscale_model::{Version, View};

pub(crate) struct Watched {
    statuses: Vec<watch::Receiver<SubscriptionStatus>>,
    backwards: Arc<AtomicU64>,
}

impl Watched {
    /// Starts these gateways, with the addresses of control planes that each has.
    pub(crate) fn start(
        endpoints: impl Fn(usize) -> Vec<String>,
        gateways: Range<usize>,
        stop: &CancellationToken,
    ) -> Self {
        let backwards = Arc::<AtomicU64>::default();
        let start = |gateway: usize| {
            let endpoints = endpoints(gateway);
            let config = SubscriptionConfig {
                endpoints: endpoints.iter().filter_map(|way| way.parse().ok()).collect(),
                tls: ClientTls::default(),
                node: NodeIdentity {
                    id: format!("gw-{gateway:02}"),
                    group: String::new(),
                    zone: String::new(),
                    role: NodeRole::Gateway,
                    labels: BTreeMap::new(),
                    build: "chaos".to_owned(),
                },
                view: View::ALL,
                selection: tyrscale_model::Selection::default(),
                weights: false,
                last_good: None,
                timing: Timing::default(),
                max_message_bytes: 0,
            };
            let (status, seen) = watch::channel(SubscriptionStatus::default());
            let take = |_: &Update| Ok(Vec::new());
            tokio::spawn(tyrscale_client::subscription::run(
                config,
                take,
                status,
                stop.clone(),
            ));
            tokio::spawn(look(seen.clone(), Arc::clone(&backwards)));
            seen
        };
        Self {
            statuses: gateways.map(start).collect(),
            backwards,
        }
    }

    /// Waits until all run a version.
    pub(crate) async fn reach(&self, version: &Version, within: Duration) -> anyhow::Result<()> {
        let reaching = async {
            for status in &self.statuses {
                let mut status = status.clone();
                status
                    .wait_for(|status| status.running.as_ref() == Some(version))
                    .await?;
            }
            anyhow::Ok(())
        };
        let late = || {
            let running = self.statuses.iter().map(|status| status.borrow().running);
            format!("not all run {version:?}: {:?}", running.collect::<Vec<_>>())
        };
        timeout(within, reaching).await.with_context(late)?
    }

    /// How often one ran a lower revision than before.
    pub(crate) fn went_backwards(&self) -> u64 {
        self.backwards.load(Ordering::Relaxed)
    }
}

async fn look(mut status: watch::Receiver<SubscriptionStatus>, backwards: Arc<AtomicU64>) {
    let mut highest = None;
    while status.changed().await.is_ok() {
        let running = status.borrow_and_update().running.map(|version| version.revision);
        if running < highest {
            backwards.fetch_add(1, Ordering::Relaxed);
        }
        highest = highest.max(running);
    }
}
