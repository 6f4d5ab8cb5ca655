//! One prober asks one question of one place and tells all who want to know.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tyrscale_model::{HttpUrl, ProxyAddress, UpstreamHeaders, UpstreamProtocol};

use super::chain::Chain;
use super::failure::Failure;
use super::question::{NotSeen, Question, Seen};
use super::rhythm::Rhythm;
use super::watch::{Leave, Watch};
use crate::endpoint::Endpoint;

/// The first probe comes within this time of the start, so that not all places are probed at once.
const FIRST_WITHIN: Duration = Duration::from_millis(200);

/// What is asked, and where: all who want the same share one prober.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) url: HttpUrl,
    pub(super) proxy: Option<ProxyAddress>,
    pub(super) protocol: UpstreamProtocol,
    pub(super) headers: UpstreamHeaders,
    pub(super) question: Question,
    /// How long an answer may take.
    pub(super) timeout: Duration,
}

/// What one probe saw.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation {
    pub(super) seen: Result<Seen, Failure>,
    /// The chain that the place last said to be on, if it was ever asked.
    pub(super) chain: Option<u64>,
}

/// A running prober; dropped, it ends at once.
#[derive(Debug)]
pub(super) struct Prober {
    audience: Arc<Audience>,
    task: AbortHandle,
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who wants to know.
#[derive(Debug, Default)]
struct Audience {
    heard: Mutex<Heard>,
    has_grown: Notify,
}

#[derive(Debug, Default)]
struct Heard {
    listeners: Vec<Listener>,
    last: Option<(Instant, Observation)>,
}

/// A route's upstream.
#[derive(Debug, Clone)]
struct Listener {
    watch: Arc<Watch>,
    position: usize,
}

impl Prober {
    pub(super) fn start(place: &Place) -> Self {
        let audience = Arc::<Audience>::default();
        let asking = Asking {
            question: place.question.clone(),
            timeout: place.timeout,
            audience: Arc::clone(&audience),
            chain: Chain::default(),
        };
        let task = tokio::spawn(asking.run()).abort_handle();
        Self { audience, task }
    }

    /// Tells the route what is seen from now on, and at once what was seen within its interval, unless that
    /// `is_carried` over from the route before.
    pub(super) fn tell(&self, watch: &Arc<Watch>, position: usize, is_carried: bool) {
        let mut heard = self.audience.heard();
        heard.listeners.push(Listener {
            watch: Arc::clone(watch),
            position,
        });
        let last = heard.last.filter(|(at, _)| at.elapsed() <= watch.interval());
        drop(heard);
        if let Some((_, observation)) = last.filter(|_| !is_carried) {
            watch.replay(position, &observation);
        }
        self.audience.has_grown.notify_one();
    }

    /// Tells the route no more. Returns whether nobody is left.
    pub(super) fn forget(&self, watch: &Arc<Watch>) -> bool {
        let mut heard = self.audience.heard();
        heard.listeners.retain(|it| !Arc::ptr_eq(&it.watch, watch));
        heard.listeners.is_empty()
    }
}

impl Audience {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> Vec<Listener> {
        self.heard().listeners.clone()
    }

    /// The shortest interval that is asked for.
    fn interval(&self) -> Option<Duration> {
        let heard = self.heard();
        heard.listeners.iter().map(|it| it.watch.interval()).min()
    }
}

/// The task of a prober.
#[derive(Debug)]
struct Asking {
    question: Question,
    timeout: Duration,
    audience: Arc<Audience>,
    chain: Chain,
}

/// A listener whose breaker gave leave, as far as one is to be asked.
struct Willing {
    listener: Listener,
    leave: Leave,
}

impl Asking {
    async fn run(mut self) {
        let audience = Arc::clone(&self.audience);
        let mut rhythm = Rhythm::default();
        let Some(interval) = audience.first_interval().await else {
            return;
        };
        let mut next = Instant::now() + FIRST_WITHIN.min(interval).mul_f64(fastrand::f64());
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = audience.has_grown.notified() => {
                    if let Some(interval) = audience.interval() {
                        next = next.min(Instant::now() + rhythm.pause(interval, None, fastrand::f64()));
                    }
                    continue;
                }
            }
            let began = Instant::now();
            let refused = self.probe().await;
            match refused {
                Some(_) => rhythm.refused(),
                None => rhythm.accepted(),
            }
            let Some(interval) = audience.interval() else {
                return;
            };
            next = began + rhythm.pause(interval, refused.flatten(), fastrand::f64());
        }
    }

    /// Asks once and tells all. `Some` when the place asked to be left alone, with how long.
    async fn probe(&mut self) -> Option<Option<Duration>> {
        let ask_leave = |listener: Listener| {
            let leave = listener.watch.leave(listener.position)?;
            Some(Willing { listener, leave })
        };
        let willing: Vec<Willing> = self
            .audience
            .listeners()
            .into_iter()
            .filter_map(ask_leave)
            .collect();
        // All lead to the same place.
        let endpoint = Arc::clone(
            willing
                .first()?
                .listener
                .watch
                .endpoint(willing.first()?.listener.position)?,
        );
        let looked = self.look(&endpoint, &willing).await;
        let observation = Observation {
            seen: looked.map_err(|why| why.failure),
            chain: self.chain.id(),
        };
        self.audience.heard().last = Some((Instant::now(), observation));
        for Willing { listener, leave } in willing {
            listener.watch.judge(listener.position, &observation, leave);
        }
        match looked {
            Err(NotSeen {
                failure: Failure::RateLimited,
                retry_after,
            }) => Some(retry_after),
            _ => None,
        }
    }

    /// Asks for the chain if that is due, then the question.
    async fn look(&mut self, endpoint: &Endpoint, willing: &[Willing]) -> Result<Seen, NotSeen> {
        let mut is_wanted = false;
        let mut is_right = true;
        for it in willing {
            let Some(wanted) = it.listener.watch.chain_of(it.listener.position) else {
                continue;
            };
            is_wanted = true;
            is_right &= self.chain.id().is_none_or(|id| id == wanted);
        }
        let is_asked = is_wanted && self.chain.is_due(is_right);
        if is_asked {
            self.ask_chain(endpoint).await?;
        }
        let seen = self.question.ask(endpoint, self.timeout).await?;
        if let (Question::BlockNumber, Seen::Number(height)) = (&self.question, seen) {
            let max_jump = willing.iter().map(|it| it.listener.watch.max_jump()).min();
            let is_suspicious = self.chain.is_suspicious(height, max_jump.unwrap_or(u64::MAX));
            if is_suspicious && is_wanted && !is_asked && !self.ask_chain(endpoint).await? {
                // Without the chain's id such a height is not believed.
                return Ok(Seen::Nothing(Failure::Ahead));
            }
            self.chain.reached(height);
        }
        Ok(seen)
    }

    /// Whether the place said which chain it is on.
    ///
    /// # Errors
    /// [`NotSeen`] when asking something else would end as badly.
    async fn ask_chain(&mut self, endpoint: &Endpoint) -> Result<bool, NotSeen> {
        match Question::ChainId.ask(endpoint, self.timeout).await {
            Ok(Seen::Number(id)) => {
                self.chain.answered(id);
                Ok(true)
            }
            Ok(Seen::Good | Seen::Silent | Seen::Nothing(_)) => Ok(false),
            Err(why) => match why.failure {
                Failure::NotSent | Failure::Lost | Failure::Timeout | Failure::RateLimited => Err(why),
                _ => Ok(false),
            },
        }
    }
}

impl Audience {
    /// The interval of the first who listens.
    async fn first_interval(&self) -> Option<Duration> {
        self.has_grown.notified().await;
        self.interval()
    }
}
