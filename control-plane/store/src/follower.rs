//! The thread that hears of what other processes write.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::sync::{mpsc, watch};
use tracing::{error, warn};
use tyrscale_model::Revision;

use crate::{engine::Engine, head::Head, writer::Command};

const PAUSE: Duration = Duration::from_secs(1);

/// Waits for what other processes write, where there can be any.
pub(crate) fn spawn_follower(
    engine: Weak<dyn Engine>,
    head: watch::Receiver<Arc<Head>>,
    commands: mpsc::WeakSender<Command>,
) {
    let follow = move || {
        let mut told = Revision(0);
        loop {
            let Some(engine) = engine.upgrade() else { return };
            let after = head.borrow().snapshot.revision().max(told);
            let waited = engine.wait_head(after);
            drop(engine);
            let Some(commands) = commands.upgrade() else {
                return;
            };
            match waited {
                Ok(None) => return,
                Ok(Some(newer)) if newer > after => {
                    if commands.blocking_send(Command::CatchUp).is_err() {
                        return;
                    }
                    told = newer;
                }
                Ok(Some(_)) => {}
                Err(error) => {
                    warn!(%error, "store cannot hear of other processes");
                    pause();
                }
            }
        }
    };
    let spawned = std::thread::Builder::new()
        .name("store-follower".into())
        .spawn(follow);
    if let Err(error) = spawned {
        error!(%error, "store follower thread cannot be started");
    }
}

/// Between two tries.
#[expect(
    clippy::disallowed_methods,
    reason = "the follower's own thread, which has nothing else to do"
)]
fn pause() {
    std::thread::sleep(PAUSE);
}
