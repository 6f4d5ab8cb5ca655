//! Until the store is open: callers are told to come again, and nobody is sent an empty configuration.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tyrscale_store::StoreOptions;

use super::Listeners;
use crate::{
    config::ControlPlaneConfig,
    error::ControlPlaneError,
    opening::{self, Opened},
    refusing::{Refusal, refuse},
};

/// Callers wait this long before they are told: nearly every store is open sooner.
const UNTOLD: Duration = Duration::from_secs(2);

/// Opens the store.
pub(super) async fn open(
    config: &ControlPlaneConfig,
    options: StoreOptions,
    listeners: &Listeners,
    stop: &CancellationToken,
) -> Result<Opened, ControlPlaneError> {
    let mut opening = std::pin::pin!(opening::open(config, options));
    if let Ok(opened) = timeout(UNTOLD, &mut opening).await {
        return opened;
    }
    let loading = stop.child_token();
    let opened = async {
        let opened = opening.await;
        loading.cancel();
        opened
    };
    let overdue = async {
        loading.cancelled().await;
        sleep(Refusal::AGAIN).await;
    };
    let told = async {
        let own = listeners.try_clone()?;
        tokio::select! {
            told = refuse(config, own, Refusal::Loading, loading.clone()) => told,
            () = overdue => Ok(()),
        }
    };
    let (opened, told) = tokio::join!(opened, told);
    told?;
    opened
}
