//! `CoordinationService`: who is in, who measures what, and who leads.
//!
//! The leases are a pure table (`leases.rs`) behind this one door, in this process: another engine may hold them
//! instead. What must outlive a restart (members, leaders, tokens) is on the disk before it is told.

mod journal;
mod leases;
mod service;
mod shares;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep_until},
};
use tyrscale_model::RpcId;
use tyrscale_store::Store;

pub use self::journal::JournalError;
pub(crate) use self::service::Coordinator;

use self::{
    journal::Journal,
    leases::{Full, Leadership, Leases},
};

/// Why something cannot be coordinated.
#[derive(Debug, thiserror::Error)]
enum CoordinationError {
    #[error(transparent)]
    Full(#[from] Full),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The members and what each measures.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shares {
    revision: u64,
    members: Vec<String>,
    of: BTreeMap<String, Vec<RpcId>>,
}

/// Members and leaders; clones share them.
#[derive(Debug, Clone)]
pub struct Coordination {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    leases: Mutex<Leases>,
    journal: Journal,
    shares: watch::Sender<Arc<Shares>>,
}

impl Coordination {
    /// Goes on with what is kept in `directory`, if anything.
    ///
    /// # Errors
    /// [`JournalError`] when that cannot be read: tokens must not fall.
    pub(crate) fn open(store: Store, directory: &Path) -> Result<Self, JournalError> {
        let journal = Journal::in_directory(directory);
        let mut leases = journal.read()?;
        leases.resume(Instant::now());
        let shares = watch::Sender::new(Arc::new(shares_of(&leases, &store)));
        Ok(Self {
            shared: Arc::new(Shared {
                store,
                leases: Mutex::new(leases),
                journal,
                shares,
            }),
        })
    }

    /// Whether `token` is that of the leadership there is of `election`: whether who holds it may still write.
    pub async fn is_led_by(&self, election: &str, token: u64) -> bool {
        let leases = self.shared.leases.lock().await;
        leases.is_led_by(election, token, Instant::now())
    }

    /// How many members there are.
    pub(crate) fn member_count(&self) -> usize {
        self.shared.shares.borrow().members.len()
    }

    /// Lets go of members that are silent, and keeps the shares true to the configuration. Ends with the store.
    pub(crate) async fn keep(&self) {
        let mut heads = self.shared.store.subscribe();
        loop {
            heads.borrow_and_update();
            let next_end = self.expire().await;
            let mut changes = self.shared.shares.subscribe();
            changes.borrow_and_update();
            tokio::select! {
                changed = heads.changed() => if changed.is_err() { return },
                _ = changes.changed() => {}
                () = sleep_until(next_end.unwrap_or_else(Instant::now)), if next_end.is_some() => {}
            }
        }
    }

    fn subscribe(&self) -> watch::Receiver<Arc<Shares>> {
        self.shared.shares.subscribe()
    }

    async fn expire(&self) -> Option<Instant> {
        let mut leases = self.shared.leases.lock().await;
        let gone = leases.expire(Instant::now());
        if !gone.is_empty() {
            tracing::warn!(members = ?gone, "members are silent: others take their shares");
            self.keep_members(&leases).await;
        }
        self.publish(&leases);
        leases.next_end()
    }

    async fn renew(&self, member: &str, capacity: u32, ttl: Duration) -> Result<(), CoordinationError> {
        let mut leases = self.shared.leases.lock().await;
        if leases.renew(member, capacity, ttl, Instant::now())? {
            tracing::info!(member, "member is in");
            self.keep_members(&leases).await;
            self.publish(&leases);
        }
        Ok(())
    }

    async fn leave(&self, member: &str) {
        let mut leases = self.shared.leases.lock().await;
        if leases.leave(member) {
            tracing::info!(member, "member left");
            self.keep_members(&leases).await;
            self.publish(&leases);
        }
    }

    async fn campaign(
        &self,
        election: &str,
        candidate: &str,
        ttl: Duration,
    ) -> Result<Leadership, CoordinationError> {
        let mut leases = self.shared.leases.lock().await;
        let mut next = leases.clone();
        let before = next.token(election);
        let leadership = next.campaign(election, candidate, ttl, Instant::now())?;
        if leadership.token != before {
            self.shared.journal.write(&next).await?;
            tracing::info!(
                election,
                leader = candidate,
                token = leadership.token,
                "a leadership begins"
            );
        }
        *leases = next;
        Ok(leadership)
    }

    async fn resign(&self, election: &str, candidate: &str) -> Leadership {
        let mut leases = self.shared.leases.lock().await;
        leases.resign(election, candidate, Instant::now())
    }

    /// Keeps on disk who is in. Without it a restart makes everybody join anew, which moves shares twice, no more.
    async fn keep_members(&self, leases: &Leases) {
        if let Err(error) = self.shared.journal.write(leases).await {
            tracing::warn!(%error, "members are not on disk");
        }
    }

    fn publish(&self, leases: &Leases) {
        let shares = shares_of(leases, &self.shared.store);
        self.shared.shares.send_if_modified(|known| {
            let is_new = **known != shares;
            if is_new {
                *known = Arc::new(shares);
            }
            is_new
        });
    }
}

fn shares_of(leases: &Leases, store: &Store) -> Shares {
    let members = leases.members();
    let head = store.head();
    let rpcs = head.snapshot.rpcs().map(|rpc| rpc.id);
    Shares {
        revision: leases.revision(),
        of: shares::shares(&members, rpcs),
        members: members.into_keys().collect(),
    }
}
