//! The weights that were recommended: guarded when they are set, kept in memory, expiring.
//!
//! They are soft. Nothing of them is written to the store: a control plane that starts has none, and gateways keep
//! those they have until they expire or new ones are set.

mod book;
mod guard;
mod head;

use std::time::Duration;

use tokio::{sync::watch, time::sleep_until};
use tokio_util::sync::CancellationToken;
use tyrscale_store::Store;

pub(crate) use book::{Book, Outcome, Proposal, SetError, effective};
pub(crate) use guard::Guards;
pub(crate) use head::Head;

/// Drops what expired and what was recommended for upstreams that are gone, until `shutdown`.
pub(crate) async fn keep(book: Book, store: Store, shutdown: CancellationToken) {
    let mut configurations = store.subscribe();
    let mut heads: watch::Receiver<_> = book.subscribe();
    loop {
        let now = tokio::time::Instant::now();
        book.drop_dead(&configurations.borrow_and_update().snapshot, now);
        let next = heads.borrow_and_update().next_deadline();
        // Without a deadline there is nothing to wait for but a change.
        let wake_at = next.unwrap_or(now + Duration::from_secs(3600));
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = configurations.changed() => if changed.is_err() { return },
            changed = heads.changed() => if changed.is_err() { return },
            () = sleep_until(wake_at) => {}
        }
    }
}
