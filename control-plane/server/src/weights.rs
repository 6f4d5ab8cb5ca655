//! The weights that were recommended: guarded when they are set, kept in memory, expiring.
//!
//! They are soft: a control plane that starts alone has none, and gateways keep those they have until they expire or new
//! ones are set. Several control planes over one store share them through it (`shelf.rs`), and the one that leads ends
//! them.

mod book;
mod guard;
mod head;
mod shelf;

use std::time::Duration;

use tokio::{sync::watch, time::sleep_until};
use tokio_util::sync::CancellationToken;
use tyrscale_store::Store;

use crate::leader::Leader;

pub(crate) use book::{Book, Outcome, Proposal, SetError, effective};
pub(crate) use guard::Guards;
pub(crate) use head::Head;

/// Between two looks at what other control planes set.
const LOOK: Duration = Duration::from_millis(500);

/// Takes in what other control planes set; and, on the one that leads, drops what expired and what was recommended for
/// upstreams that are gone. Until `shutdown`.
pub(crate) async fn keep(book: Book, store: Store, leader: Leader, shutdown: CancellationToken) {
    let mut configurations = store.subscribe();
    let mut heads: watch::Receiver<_> = book.subscribe();
    loop {
        let now = tokio::time::Instant::now();
        let snapshot = configurations.borrow_and_update().snapshot.clone();
        let kept = async {
            book.catch_up(now).await?;
            match leader.token() {
                Some(_) => book.drop_dead(&snapshot, now).await,
                None => Ok(()),
            }
        };
        if let Err(error) = kept.await {
            tracing::warn!(%error, "recommended weights cannot be shared");
        }
        let next = heads.borrow_and_update().next_deadline();
        let wake_at = if leader.is_alone() {
            // Without a deadline there is nothing to wait for but a change.
            next.unwrap_or(now + Duration::from_secs(3600))
        } else {
            now + LOOK
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = configurations.changed() => if changed.is_err() { return },
            changed = heads.changed() => if changed.is_err() { return },
            () = sleep_until(wake_at) => {}
        }
    }
}
