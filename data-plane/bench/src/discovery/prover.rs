//! A subscriber as gateways are: it keeps the content and proves each version by its own digest.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tyrscale_client::{
    ClientTls, NodeIdentity, NodeRole, SubscriptionConfig, SubscriptionStatus, Timing, Update,
};
use tyrscale_model::View;

/// Starts one; what it runs shows in the status until `stop`.
pub(crate) fn start(
    (endpoint, tls): (String, ClientTls),
    id: String,
    stop: &CancellationToken,
) -> anyhow::Result<watch::Receiver<SubscriptionStatus>> {
    let config = SubscriptionConfig {
        endpoints: vec![endpoint.parse()?],
        tls,
        node: NodeIdentity {
            id,
            group: String::new(),
            zone: String::new(),
            role: NodeRole::Gateway,
            labels: std::collections::BTreeMap::new(),
            build: "tyrscale-bench".to_owned(),
        },
        view: View::ALL,
        selection: tyrscale_model::Selection::default(),
        weights: false,
        last_good: None,
        timing: Timing::default(),
        max_message_bytes: 0,
    };
    let (status, seen) = watch::channel(SubscriptionStatus::default());
    let accept = |_: &Update| Ok(Vec::new());
    let stop = stop.clone();
    tokio::spawn(async move {
        if let Err(error) = tyrscale_client::subscription::run(config, accept, status, stop).await {
            tracing::error!(%error, "a subscriber that proves could not run");
        }
    });
    Ok(seen)
}
