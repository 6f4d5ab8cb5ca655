//! Looking at files again.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Calls `refresh`, which may block, every five seconds, and at once when the process gets SIGHUP; never ends by itself.
pub async fn follow_files(refresh: impl Fn() + Clone + Send + 'static) {
    let mut hangup = signal(SignalKind::hangup())
        .inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be listened for"))
        .ok();
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let asked = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tick.tick() => {}
            _ = asked => tracing::info!("certificates are read anew on SIGHUP"),
        }
        if tokio::task::spawn_blocking(refresh.clone()).await.is_err() {
            tracing::error!("certificates could not be looked at");
        }
    }
}
