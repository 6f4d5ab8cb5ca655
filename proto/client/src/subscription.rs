//! The subscription to the configuration: connects, resumes, proves, acknowledges, remembers.
//!
//! What the messages of a stream ask for (`session`), whether an update may follow what runs (`replica`) and
//! how long to wait before the next connection (`backoff`) are decided without I/O; `engine` blocks, `stream`
//! talks.

mod assembly;
mod backoff;
mod codec;
mod config;
mod engine;
mod refusal;
mod replica;
mod session;
mod status;
mod stream;
mod terse;
mod weights;

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, task::JoinError, time::Instant};
use tokio_util::sync::CancellationToken;
use tyrscale_model::{Lane, Rejection, ResourceKey, Snapshot, Version};

use self::{backoff::Backoff, engine::Engine, stream::End};
use crate::{ClientError, endpoint::Server, last_good::LastGood, last_weights::LastWeights};

pub use self::{
    config::{NodeIdentity, NodeRole, SubscriptionConfig, Timing},
    refusal::{NackReason, Refusal},
    status::SubscriptionStatus,
    weights::{WeightChange, WeightsStatus},
};

/// A whole new content.
#[derive(Debug, Clone)]
pub struct Update {
    /// All of it.
    pub snapshot: Snapshot,
    /// Its version in the subscription's view.
    pub version: Version,
    /// What differs from the content before: put, changed or gone. Empty when only the version is new.
    pub changed: Vec<ResourceKey>,
}

/// Who works with the configuration.
pub trait Consumer: Send + 'static {
    /// Takes a whole new content and gives warnings for the operator, or refuses it. Called where blocking is
    /// allowed, off the workers, once at a time; the control plane waits for the answer. A panic counts as a
    /// refusal.
    ///
    /// # Errors
    /// Why it is refused; the consumer then goes on with what it had.
    fn accept(&mut self, update: &Update) -> Result<Vec<String>, Rejection>;

    /// Takes recommended weights that are new or hold no more. They may be for upstreams that are not there (yet).
    /// Called as [`Consumer::accept`] is; consumers that do not follow weights get none.
    fn weigh(&mut self, changes: &[WeightChange]) {
        let _ = changes;
    }
}

impl<F> Consumer for F
where
    F: FnMut(&Update) -> Result<Vec<String>, Rejection> + Send + 'static,
{
    fn accept(&mut self, update: &Update) -> Result<Vec<String>, Rejection> {
        self(update)
    }
}

/// Follows the configuration until `shutdown`: hands the consumer the last good content from disk, if any,
/// then every content the control plane sends, and connects again whenever the stream is lost. `status` tells
/// how it stands.
///
/// It returns when the update under way, if any, is finished. Dropping the future leaves that one to finish by
/// itself.
///
/// # Errors
/// [`ClientError::NoEndpoint`], [`ClientError::InvalidEndpoint`] or [`ClientError::InvalidNodeId`], at once.
pub async fn run(
    config: SubscriptionConfig,
    consumer: impl Consumer,
    status: watch::Sender<SubscriptionStatus>,
    shutdown: CancellationToken,
) -> Result<(), ClientError> {
    let subscriber = Subscriber::new(config, consumer, status)?;
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = subscriber.follow() => {}
        () = subscriber.prove() => {}
        () = subscriber.expire() => {}
    }
    subscriber.note(|status, now| status.note_connected(false, now));
    if subscriber.blocking(Engine::stop).await.is_err() {
        tracing::warn!("subscription stopped while an update was under way");
    }
    Ok(())
}

struct Subscriber<C> {
    config: SubscriptionConfig,
    endpoints: Vec<Server>,
    /// Random per start of the process.
    boot_id: String,
    engine: Arc<Mutex<Engine<C>>>,
    status: watch::Sender<SubscriptionStatus>,
}

impl<C: Consumer> Subscriber<C> {
    fn new(
        config: SubscriptionConfig,
        consumer: C,
        status: watch::Sender<SubscriptionStatus>,
    ) -> Result<Self, ClientError> {
        let id = config.node.id.as_bytes();
        if !(1..=128).contains(&id.len()) || !id.iter().all(u8::is_ascii_graphic) {
            return Err(ClientError::InvalidNodeId);
        }
        let endpoints = config
            .endpoints
            .iter()
            .map(|uri| Server::new(uri, config.timing.connect_timeout, &config.tls))
            .collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(ClientError::NoEndpoint);
        }
        let last_good = config
            .last_good
            .clone()
            .map(|directory| LastGood::new(directory, config.view, &config.node.build));
        let last_weights = config.last_good.clone().filter(|_| config.weights);
        let last_weights = last_weights.map(LastWeights::new);
        Ok(Self {
            endpoints,
            boot_id: format!("{:032x}", fastrand::u128(..)),
            engine: Arc::new(Mutex::new(Engine::new(
                config.view,
                consumer,
                last_good,
                last_weights,
            ))),
            config,
            status,
        })
    }

    async fn follow(&self) {
        match self.blocking(Engine::restore).await {
            Ok(restored) => {
                if let Some(version) = restored.running {
                    tracing::info!(revision = version.revision.0, "running the last good content");
                    self.note(|status, now| status.note_running(version, true, now));
                }
                self.note(|status, _| status.quarantined = restored.quarantined);
                self.weigh(|_, _| ()).await;
            }
            Err(error) => tracing::error!(%error, "last good content could not be restored"),
        }
        let mut backoff = Backoff::default();
        let mut endpoints = self.endpoints.iter().cycle();
        let mut next = endpoints.next();
        while let Some(endpoint) = next {
            let (held, end) = self.stream(endpoint, backoff.attempt()).await;
            self.note(|status, now| status.note_connected(false, now));
            let host = endpoint.host();
            let directed = match end {
                End::Directed => true,
                End::Lost(error) => {
                    tracing::warn!(
                        host,
                        error = &error as &dyn Error,
                        "stream to the control plane ended"
                    );
                    false
                }
            };
            let wait = backoff.after(held, &self.config.timing, fastrand::f64());
            let held_well = backoff.attempt() == 0;
            // A directed end was spread over its time already.
            if !(directed && held_well) {
                tokio::time::sleep(wait).await;
            }
            if directed || !held_well {
                next = endpoints.next();
            }
        }
    }

    /// Ends the trial of what runs whenever it has run for long enough.
    async fn prove(&self) {
        let mut status = self.status.subscribe();
        loop {
            let running = status.borrow_and_update().running;
            let replaced = status.wait_for(|status| status.running != running);
            if tokio::time::timeout(self.config.timing.proven_after, replaced)
                .await
                .is_ok()
            {
                continue;
            }
            if self.blocking(Engine::pass).await.is_err() {
                tracing::warn!("what runs could not be noted as proved");
            }
            if status.wait_for(|status| status.running != running).await.is_err() {
                return;
            }
        }
    }

    /// Ends recommended weights when their time has come, connected or not.
    async fn expire(&self) {
        let mut status = self.status.subscribe();
        loop {
            let next = status.borrow_and_update().weights.next_deadline;
            let ended = async {
                let changed = status.wait_for(|status| status.weights.next_deadline != next);
                changed.await.is_err()
            };
            tokio::select! {
                ended = ended => if ended { return },
                () = sleep_until(next) => self.weigh(Engine::expire).await,
            }
        }
    }

    /// Does something about the recommended weights and notes how they stand then.
    async fn weigh(&self, work: impl FnOnce(&mut Engine<C>, Instant) + Send + 'static) {
        let now = Instant::now();
        let standing = self
            .blocking(move |engine| {
                work(engine, now);
                engine.weights_status()
            })
            .await;
        match standing {
            Ok(standing) => self.note_weights(&standing),
            Err(_) => tracing::error!("recommended weights could not be worked on"),
        }
    }

    /// Notes how the recommended weights stand; what only streams know stays.
    fn note_weights(&self, standing: &WeightsStatus) {
        self.note(|status, _| {
            let known = status.weights;
            status.weights = WeightsStatus {
                head: known.head,
                taken_at: known.taken_at,
                refused: known.refused,
                ..*standing
            };
        });
    }

    /// Runs `work` on the engine where blocking is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine<C>) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let engine = Arc::clone(&self.engine);
        tokio::task::spawn_blocking(move || {
            let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut engine)
        })
        .await
    }

    fn running(&self, lane: Lane) -> Option<Version> {
        let status = self.status.borrow();
        match lane {
            Lane::Config => status.running,
            Lane::Weights => status.weights.running,
        }
    }

    fn note(&self, change: impl FnOnce(&mut SubscriptionStatus, Instant)) {
        self.status.send_modify(|status| change(status, Instant::now()));
    }
}

/// Until then; without a time, for ever.
async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// How long a stream held and why it ended.
type Ended = (Duration, End);

#[cfg(test)]
mod bytes;
#[cfg(test)]
mod tests;
