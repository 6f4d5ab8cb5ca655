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
use tyrscale_model::{Selection, Version, View};

pub(crate) struct Watched {
    /// Each with what it selects.
    gateways: Vec<(Selection, watch::Receiver<SubscriptionStatus>)>,
    backwards: Arc<AtomicU64>,
}

impl Watched {
    /// Starts these gateways, with the addresses of control planes that each has and what it selects.
    pub(crate) fn start(
        endpoints: impl Fn(usize) -> Vec<String>,
        selections: impl Fn(usize) -> Selection,
        gateways: Range<usize>,
        stop: &CancellationToken,
    ) -> Self {
        let backwards = Arc::<AtomicU64>::default();
        let start = |gateway: usize| {
            let (endpoints, selection) = (endpoints(gateway), selections(gateway));
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
                selection: selection.clone(),
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
            (selection, seen)
        };
        Self {
            gateways: gateways.map(start).collect(),
            backwards,
        }
    }

    /// Waits until each runs what it is to run by its selection.
    pub(crate) async fn reach(
        &self,
        version_of: impl Fn(&Selection) -> anyhow::Result<Version>,
        within: Duration,
    ) -> anyhow::Result<()> {
        let reaching = async {
            for (selection, status) in &self.gateways {
                let (mut status, version) = (status.clone(), version_of(selection)?);
                status.wait_for(|status| status.running == Some(version)).await?;
            }
            anyhow::Ok(())
        };
        let late = || {
            let gateways = self.gateways.iter();
            let running = gateways.map(|(selection, status)| {
                (selection.labels(), version_of(selection), status.borrow().running)
            });
            format!("not all run what they are to: {:?}", running.collect::<Vec<_>>())
        };
        timeout(within, reaching).await.with_context(late)?
    }

    /// What they select.
    pub(crate) fn selections(&self) -> impl Iterator<Item = &Selection> {
        self.gateways.iter().map(|(selection, _)| selection)
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
