//! `CoordinationService`: who is in, who measures what, and who leads.
//!
//! The leases are a pure table (`leases.rs`) behind this one door. What must outlive a restart, and what other control
//! planes over the same store must know, are documents of the store (`register.rs`): members, leaders and tokens are
//! there before anybody is told. How long a lease still holds is counted by each control plane on its own clock from
//! when it last heard of it.

mod leases;
mod register;
mod service;
mod shares;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep_until},
};
use tyrscale_model::RpcId;
use tyrscale_store::{Store, StoreError};

pub(crate) use self::service::Coordinator;

use self::{
    leases::{Full, Leadership, Leases},
    register::Register,
};

/// How often a change is tried again because another control plane was faster.
const TRIES: usize = 10;
/// Between two looks at what other control planes wrote.
const LOOK: Duration = Duration::from_secs(1);
/// How long a member counts as alive that another control plane tells of, at least.
const HEARSAY: Duration = Duration::from_secs(10);

/// Why something cannot be coordinated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CoordinationError {
    #[error(transparent)]
    Full(#[from] Full),
    #[error(transparent)]
    Store(#[from] StoreError),
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
    state: Mutex<State>,
    shares: watch::Sender<Arc<Shares>>,
}

#[derive(Debug)]
struct State {
    leases: Leases,
    register: Register,
    /// Members that renew here.
    own: BTreeSet<String>,
}

impl Coordination {
    /// Goes on with what the store holds, if anything.
    ///
    /// # Errors
    /// [`StoreError`] when that cannot be read: tokens must not fall.
    pub(crate) async fn open(store: Store) -> Result<Self, StoreError> {
        let (register, mut leases) = Register::open(&store).await?;
        leases.resume(Instant::now());
        let shares = watch::Sender::new(Arc::new(shares_of(&leases, &store)));
        let state = State {
            leases,
            register,
            own: BTreeSet::new(),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                store,
                state: Mutex::new(state),
                shares,
            }),
        })
    }

    /// Whether `token` is that of the leadership there is of `election`: whether who holds it may still write.
    ///
    /// # Errors
    /// [`StoreError`] when other control planes may know better and the store cannot be read.
    pub async fn is_led_by(&self, election: &str, token: u64) -> Result<bool, StoreError> {
        let mut state = self.shared.state.lock().await;
        let now = Instant::now();
        if self.shared.store.is_shared() {
            state.read_election(election, now).await?;
        }
        Ok(state.leases.is_led_by(election, token, now))
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
            let look = self.shared.store.is_shared().then(|| Instant::now() + LOOK);
            let wake_at = next_end.into_iter().chain(look).min();
            let mut changes = self.shared.shares.subscribe();
            changes.borrow_and_update();
            tokio::select! {
                changed = heads.changed() => if changed.is_err() { return },
                _ = changes.changed() => {}
                () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
            }
        }
    }

    /// Members that renew here: others are to be told that they live.
    pub(crate) async fn own_members(&self) -> Vec<String> {
        self.shared.state.lock().await.own.iter().cloned().collect()
    }

    /// Another control plane tells that these members live.
    pub(crate) async fn heard<'a>(&self, members: impl Iterator<Item = &'a String>) {
        let mut state = self.shared.state.lock().await;
        let now = Instant::now();
        for member in members {
            if !state.own.contains(member) {
                state.leases.heard(member, HEARSAY, now);
            }
        }
    }

    fn subscribe(&self) -> watch::Receiver<Arc<Shares>> {
        self.shared.shares.subscribe()
    }

    async fn expire(&self) -> Option<Instant> {
        let mut state = self.shared.state.lock().await;
        let expired = self
            .change_members(&mut state, |leases, now| Ok(!leases.expire(now).is_empty()))
            .await;
        if let Err(error) = expired {
            tracing::warn!(%error, "who is in cannot be kept");
        }
        let now = Instant::now();
        state.leases.next_end().map(|end| end.max(now + LOOK))
    }

    /// Changes who is in, in the store, too. `change` tells whether it did.
    async fn change_members(
        &self,
        state: &mut State,
        change: impl Fn(&mut Leases, Instant) -> Result<bool, Full>,
    ) -> Result<bool, CoordinationError> {
        for _ in 0..TRIES {
            let now = Instant::now();
            if self.shared.store.is_shared() {
                state.read_members(now).await?;
            }
            let mut next = state.leases.clone();
            let changes = change(&mut next, now)?;
            let kept = if changes {
                state.register.keep_members(&next).await
            } else {
                Ok(())
            };
            match kept {
                Err(StoreError::DocumentMoved { .. }) => state.read_members(now).await?,
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    state.leases = next;
                    self.publish(&state.leases);
                    return Ok(changes);
                }
            }
        }
        Err(StoreError::outpaced().into())
    }

    async fn renew(&self, member: &str, capacity: u32, ttl: Duration) -> Result<(), CoordinationError> {
        let mut state = self.shared.state.lock().await;
        state.own.insert(member.to_owned());
        if state.leases.is_known(member, capacity) {
            state.leases.renew(member, capacity, ttl, Instant::now())?;
            return Ok(());
        }
        let renewing = |leases: &mut Leases, now| leases.renew(member, capacity, ttl, now);
        if self.change_members(&mut state, renewing).await? {
            tracing::info!(member, "member is in");
        }
        Ok(())
    }

    /// The member's stream ended: it is no longer this control plane's to tell of.
    async fn lose(&self, member: &str) {
        self.shared.state.lock().await.own.remove(member);
    }

    async fn leave(&self, member: &str) {
        let mut state = self.shared.state.lock().await;
        state.own.remove(member);
        let left = self.change_members(&mut state, |leases, _| Ok(leases.leave(member)));
        match left.await {
            Ok(_) => tracing::info!(member, "member left"),
            Err(error) => tracing::warn!(member, %error, "that a member left cannot be kept"),
        }
    }

    pub(crate) async fn campaign(
        &self,
        election: &str,
        candidate: &str,
        ttl: Duration,
    ) -> Result<Leadership, CoordinationError> {
        let is_shared = self.shared.store.is_shared();
        let mut state = self.shared.state.lock().await;
        for _ in 0..TRIES {
            let now = Instant::now();
            if is_shared {
                state.read_election(election, now).await?;
            }
            let mut next = state.leases.clone();
            let before = next.token(election);
            let leadership = next.campaign(election, candidate, ttl, now)?;
            let is_new = leadership.token != before;
            // Others hear of a leader by what it writes; alone nothing is to be said but who leads.
            let kept = if is_new || is_shared && leadership.is_own {
                state.register.keep_election(&next, election).await
            } else {
                Ok(())
            };
            match kept {
                Err(StoreError::DocumentMoved { .. }) => continue,
                Err(error) => return Err(error.into()),
                Ok(()) => {}
            }
            if is_new {
                tracing::info!(
                    election,
                    leader = candidate,
                    token = leadership.token,
                    "a leadership begins"
                );
            }
            state.leases = next;
            return Ok(leadership);
        }
        Err(StoreError::outpaced().into())
    }

    pub(crate) async fn resign(&self, election: &str, candidate: &str) -> Leadership {
        let mut state = self.shared.state.lock().await;
        let now = Instant::now();
        if self.shared.store.is_shared()
            && let Err(error) = state.read_election(election, now).await
        {
            tracing::warn!(election, %error, "who leads cannot be read");
        }
        let mut next = state.leases.clone();
        let leadership = next.resign(election, candidate, now);
        if next != state.leases
            && let Err(error) = state.register.keep_election(&next, election).await
        {
            tracing::warn!(election, %error, "a resignation cannot be kept; the lease ends by itself");
        }
        state.leases = next;
        leadership
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

impl State {
    async fn read_members(&mut self, now: Instant) -> Result<(), StoreError> {
        if let Some(members) = self.register.read_members().await? {
            self.leases.take_members(&members, now);
        }
        Ok(())
    }

    async fn read_election(&mut self, name: &str, now: Instant) -> Result<(), StoreError> {
        if let Some(election) = self.register.read_election(name).await? {
            self.leases.take_election(name, &election, now);
        }
        Ok(())
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
