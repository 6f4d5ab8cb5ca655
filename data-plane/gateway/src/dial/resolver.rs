//! What names lead to. Each name in use is asked for again on a schedule, so that no request but the first waits
//! for an answer; while there is none, the last good one stands.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::dial::race::order;

/// Most addresses of a name that are used.
const MAX_ADDRESSES: usize = 16;
/// How long one answer of the system's resolver is waited for.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// How soon a name that has never led anywhere is asked for again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Asks for the addresses of a name.
type Lookup = dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> + Send + Sync;

/// The hosts in use, by name.
pub(crate) struct Resolver {
    hosts: Mutex<HashMap<String, Weak<Host>>>,
    lookup: Arc<Lookup>,
    refresh: Duration,
}

/// A name that leads nowhere, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the resolver knows no address")]
pub(crate) struct Unresolved;

impl Resolver {
    /// One that asks the system for each name again after `refresh`.
    pub(crate) fn of_the_system(refresh: Duration) -> Self {
        Self::new(refresh, |name| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        })
    }

    pub(super) fn new(
        refresh: Duration,
        lookup: impl Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            hosts: Mutex::default(),
            lookup: Arc::new(lookup),
            refresh,
        }
    }

    /// The host called `name`, or at the address `name` is; the same one for all who hold it.
    pub(crate) fn host(&self, name: &str) -> Arc<Host> {
        if let Ok(address) = name.parse() {
            return Arc::new(Host::Literal(address));
        }
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hosts.get(name).and_then(Weak::upgrade) {
            return known;
        }
        hosts.retain(|_, host| host.strong_count() > 0);
        let host = Arc::new(Host::Named(Named {
            name: Arc::new(Name {
                text: name.to_owned(),
                known: watch::Sender::default(),
                lookup: Arc::clone(&self.lookup),
                refresh: self.refresh,
            }),
            turn: AtomicUsize::new(0),
            following: Mutex::default(),
        }));
        hosts.insert(name.to_owned(), Arc::downgrade(&host));
        host
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("refresh", &self.refresh)
            .finish_non_exhaustive()
    }
}

/// A host by its address, or by a name that is followed from its first use until the host is dropped.
pub(crate) enum Host {
    Literal(IpAddr),
    Named(Named),
}

pub(crate) struct Named {
    name: Arc<Name>,
    /// How often the addresses were asked for.
    turn: AtomicUsize,
    following: Mutex<Option<AbortOnDropHandle<()>>>,
}

struct Name {
    text: String,
    known: watch::Sender<Known>,
    lookup: Arc<Lookup>,
    refresh: Duration,
}

/// What a name led to when last asked for.
#[derive(Default)]
struct Known {
    /// Whether there has been an answer, if only that there is none.
    answered: bool,
    current: Vec<IpAddr>,
    /// The answer before: those who ask a resolver that gives a part of the addresses each time do not see them
    /// come and go.
    before: Vec<IpAddr>,
}

impl Host {
    /// The addresses in the order to try them in. Waits only for the first answer there ever is.
    ///
    /// # Errors
    /// [`Unresolved`] when the name has led nowhere so far.
    pub(crate) async fn addresses(&self) -> Result<Vec<IpAddr>, Unresolved> {
        let host = match self {
            Self::Literal(address) => return Ok(vec![*address]),
            Self::Named(host) => host,
        };
        host.follow();
        let mut known = host.name.known.subscribe();
        let known = known
            .wait_for(|known| known.answered)
            .await
            .map_err(|_| Unresolved)?;
        if known.current.is_empty() {
            return Err(Unresolved);
        }
        Ok(order(&known.current, host.turn.fetch_add(1, Ordering::Relaxed)))
    }

    /// Whether `address` is in one of the last two answers.
    pub(crate) fn leads_to(&self, address: IpAddr) -> bool {
        match self {
            Self::Literal(own) => *own == address,
            Self::Named(host) => {
                let known = host.name.known.borrow();
                known.current.contains(&address) || known.before.contains(&address)
            }
        }
    }
}

impl Named {
    /// Sees to it that the name is asked for again and again. The task lives on the caller's runtime; should that
    /// end, the next caller's takes over.
    fn follow(&self) {
        let mut following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        if following.as_ref().is_none_or(AbortOnDropHandle::is_finished) {
            let task = tokio::spawn(Arc::clone(&self.name).follow());
            *following = Some(AbortOnDropHandle::new(task));
        }
    }
}

impl Name {
    async fn follow(self: Arc<Self>) {
        loop {
            let asked = (self.lookup)(self.text.clone());
            let answer = match tokio::time::timeout(LOOKUP_TIMEOUT, asked).await {
                Ok(answer) => answer,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            let is_known = self.learn(answer);
            let pause = if is_known {
                self.refresh
            } else {
                RETRY_AFTER.min(self.refresh)
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Takes over an answer; whether anything is known now. A failure changes nothing that is known.
    fn learn(&self, answer: io::Result<Vec<IpAddr>>) -> bool {
        let found = answer.and_then(|mut found| {
            let mut seen = HashSet::new();
            found.retain(|address| seen.insert(*address));
            found.truncate(MAX_ADDRESSES);
            if found.is_empty() {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(found)
        });
        let error = found.as_ref().err().map(ToString::to_string);
        let mut is_known = false;
        self.known.send_modify(|known| {
            known.answered = true;
            if let Ok(found) = found {
                known.before = std::mem::replace(&mut known.current, found);
            }
            is_known = !known.current.is_empty();
        });
        if let Some(error) = error {
            tracing::warn!(host = self.text, error, is_known, "name cannot be resolved");
        }
        is_known
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(address) => write!(f, "{address}"),
            Self::Named(host) => f.write_str(&host.name.text),
        }
    }
}

#[cfg(test)]
mod tests;
