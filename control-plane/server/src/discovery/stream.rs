//! The task of one stream: waits for what happens, tells the session, sends what it decides.

mod patience;

use std::sync::Arc;

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tonic::{Status, Streaming};
use tyrscale_model::{Version, View, wire};
use tyrscale_proto::v1::{
    self, NackReason, SyncState, stream_config_request, stream_config_response::Message,
};
use tyrscale_store::Head;

use super::{
    Hub, Subject, admission,
    ageing::Ageing,
    gate::Room,
    hello::{self, PROTOCOL, Subscriber},
    resume::{Difference, Offer, Resume},
    scrub,
    session::{Acknowledged, Breach, Session, Update},
    update::difference,
};
use crate::{
    fleet::{Membership, Notes, Refusal, Standing},
    rollout::Targets,
};

type Inbox = Streaming<v1::StreamConfigRequest>;
type Outbox = mpsc::Sender<Result<v1::StreamConfigResponse, Status>>;

/// Serves one stream until either side ends it.
pub(crate) async fn serve(hub: Arc<Hub>, mut inbox: Inbox, peer: Subject, outbox: Outbox) {
    let last_words = hub.timing.ack_deadline;
    let ended = match open(&hub, &mut inbox, peer).await {
        Ok(Some((subscriber, membership))) => {
            let id = subscriber.node.id.clone();
            let stream = Stream::new(&hub, subscriber, membership, outbox.clone());
            let ended = stream.run(inbox).await;
            let reason = ended.as_ref().err().map(ToString::to_string);
            tracing::info!(node.id = %id, reason, "subscriber left");
            ended
        }
        Ok(None) => Ok(()),
        Err(status) => Err(status),
    };
    if let Err(status) = ended {
        // Nobody is there to be told when this fails.
        outbox.send_timeout(Err(status), last_words).await.ok();
    }
}

/// Waits for the hello; `None` when the subscriber leaves before.
async fn open(
    hub: &Hub,
    inbox: &mut Inbox,
    peer: Subject,
) -> Result<Option<(Subscriber, Membership)>, Status> {
    let first = tokio::select! {
        () = hub.shutdown.cancelled() => return Err(stopping()),
        first = timeout(hub.timing.hello_deadline, inbox.message()) => first,
    };
    let first = first.map_err(|_| Status::deadline_exceeded("no hello came in time"))??;
    let Some(first) = first else { return Ok(None) };
    let Some(stream_config_request::Message::Hello(hello)) = first.message else {
        return Err(Status::failed_precondition("hello first"));
    };
    let attempt = hello.attempt;
    let subscriber = hello::read(hello)?;
    if let (Some(guard), Some(caller)) = (&hub.guard, &peer.caller) {
        admission::admit(guard, caller, &subscriber.node).await?;
    }
    let peer = peer.address;
    let joined = hub.fleet.join(subscriber.node.clone(), peer.clone());
    let membership = joined.map_err(|full| Status::resource_exhausted(full.to_string()))?;
    for version in &subscriber.quarantined {
        hub.metrics.refused(NackReason::Crashed);
        membership.refused(Refusal {
            version: *version,
            reason: NackReason::Crashed,
            violations: Vec::new(),
        });
    }
    tracing::info!(node.id = %subscriber.node.id, %peer, attempt, "subscriber came");
    Ok(Some((subscriber, membership)))
}

fn stopping() -> Status {
    Status::unavailable("the control plane is stopping")
}

fn breached(breach: Breach) -> Status {
    match breach {
        Breach::FutureNonce => Status::invalid_argument(breach.to_string()),
        Breach::Unanswered => Status::unavailable(breach.to_string()),
    }
}

struct Stream<'a> {
    hub: &'a Hub,
    subscriber: Subscriber,
    membership: Membership,
    outbox: Outbox,
    session: Session,
    targets: watch::Receiver<Arc<Targets>>,
    /// What the subscriber is to run.
    head: Arc<Head>,
    /// Why that is not the newest; empty when it is.
    held: &'static str,
    /// For the whole content that is on its way.
    room: Option<Room>,
    ageing: Ageing,
}

impl<'a> Stream<'a> {
    fn new(hub: &'a Hub, subscriber: Subscriber, membership: Membership, outbox: Outbox) -> Self {
        let mut targets = hub.rollouts.targets();
        let target = targets.borrow_and_update().of(&subscriber.node);
        Self {
            session: Session::new(
                subscriber.have,
                subscriber.quarantined.clone(),
                hub.timing.ack_deadline,
            ),
            hub,
            subscriber,
            membership,
            outbox,
            targets,
            head: target.head,
            held: target.held,
            room: None,
            ageing: Ageing::new(Instant::now(), hub.timing.stream_age, fastrand::f64()),
        }
    }

    /// What the subscriber is to run may be another.
    fn retarget(&mut self) {
        let target = self.targets.borrow_and_update().of(&self.subscriber.node);
        self.head = target.head;
        self.held = target.held;
    }

    const fn view(&self) -> View {
        self.subscriber.view
    }

    fn target(&self) -> Version {
        self.head.snapshot.version(self.view())
    }

    /// Asks the session something that depends on what the server has.
    fn ask<T>(&mut self, question: impl FnOnce(&mut Session, &Offer<'_>) -> T) -> T {
        let (head, view) = (Arc::clone(&self.head), self.view());
        let difference = move |have: &Version| -> Difference { difference(&head, view, have) };
        let target = self.target();
        let nothing = self.head.history.nothing().digest(target.lane, view);
        let offer = Offer {
            target,
            difference: &difference,
            nothing,
            takes_over: self.hub.takes_over,
        };
        question(&mut self.session, &offer)
    }

    fn report(&self) {
        let is_held = self.session.state() == SyncState::Synced && !self.held.is_empty();
        self.membership.stands(Standing {
            state: if is_held {
                SyncState::Held
            } else {
                self.session.state()
            },
            reason: if is_held { self.held } else { self.session.reason() },
            running: self.session.running(),
            target: self.target(),
        });
    }

    async fn run(mut self, mut inbox: Inbox) -> Result<(), Status> {
        let welcome = self.welcome();
        self.send(welcome).await?;
        let beat = self.hub.timing.heartbeat;
        let mut heartbeat = interval_at(Instant::now() + beat, beat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.hub.shutdown.clone();
        let replaced = self.membership.replaced().clone();
        loop {
            self.retarget();
            self.push().await?;
            self.report();
            if !self.session.is_in_flight() {
                self.room = None;
            }
            self.ageing.note_behind(self.is_behind(), Instant::now());
            let (wake_at, old_at) = (self.session.wake_at(), self.ageing.wake_at());
            tokio::select! {
                () = shutdown.cancelled() => return Err(stopping()),
                () = replaced.cancelled() => return Err(replacement()),
                message = inbox.message() => match message? {
                    Some(message) => self.take(message)?,
                    None => return Ok(()),
                },
                changed = self.targets.changed() => changed.map_err(|_| stopping())?,
                () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {
                    self.session.on_time(Instant::now()).map_err(breached)?;
                }
                () = sleep_until(old_at) => self.age().await?,
                _ = heartbeat.tick() => {
                    let beat = self.heartbeat();
                    self.send(beat).await?;
                }
            }
        }
    }

    fn welcome(&mut self) -> Message {
        let (resume, why) = self.ask(Session::welcome);
        tracing::info!(node.id = %self.subscriber.node.id, ?resume, why, "subscriber goes on");
        let resume = match resume {
            Resume::InSync => v1::Resume::InSync,
            Resume::Delta => v1::Resume::Delta,
            Resume::Snapshot => v1::Resume::Snapshot,
            Resume::Hold => v1::Resume::Hold,
        };
        let timing = &self.hub.timing;
        Message::Welcome(v1::Welcome {
            protocol: PROTOCOL,
            features: Vec::new(),
            server_id: self.hub.fleet.server_id().to_owned(),
            session_id: uuid::Uuid::new_v4().to_string(),
            lanes: vec![v1::LanePlan {
                lane: v1::Lane::Config.into(),
                resume: resume.into(),
                target: Some(wire::version_to_wire(&self.target())),
                why: why.to_owned(),
            }],
            heartbeat: prost_types::Duration::try_from(timing.heartbeat).ok(),
            ack_deadline: prost_types::Duration::try_from(timing.ack_deadline).ok(),
        })
    }

    /// Sends the update that is due, if any.
    async fn push(&mut self) -> Result<(), Status> {
        let now = Instant::now();
        let Some(update) = self.ask(|session, offer| session.next_update(offer, now)) else {
            return Ok(());
        };
        self.report();
        let head = Arc::clone(&self.head);
        let format = self.subscriber.format;
        let led = self
            .hub
            .updates
            .lead(&head, self.view(), update.base, format)
            .await;
        let messages = match led {
            Ok(messages) => messages,
            Err(error) => {
                tracing::error!(node.id = %self.subscriber.node.id, %error, "update is held back");
                self.session.cannot_send();
                return Ok(());
            }
        };
        if update.base.is_none() {
            self.room = self.wait_in_line(&messages).await?;
        }
        self.hub.metrics.sent(update.base.is_some());
        let replaces = |running: Version| running.lineage != update.target.lineage;
        if self.hub.takes_over && self.session.running().is_some_and(replaces) {
            self.send(resync()).await?;
        }
        self.send_all(&messages, &update).await?;
        self.session.sent(Instant::now());
        Ok(())
    }

    fn heartbeat(&self) -> Message {
        let head = vec![wire::version_to_wire(&self.target())];
        Message::Heartbeat(v1::Heartbeat { head })
    }

    async fn send_all(&mut self, messages: &[Message], update: &Update) -> Result<(), Status> {
        let Some((last, first)) = messages.split_last() else {
            return Ok(());
        };
        for message in first {
            self.send(message.clone()).await?;
        }
        self.send_with_nonce(last.clone(), update.nonce).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Status> {
        self.send_with_nonce(message, 0).await
    }

    /// Hands a message to the transport. A subscriber that does not read is stalled after the time for an
    /// answer, and cut off after twice that.
    async fn send_with_nonce(&mut self, message: Message, nonce: u64) -> Result<(), Status> {
        let response = v1::StreamConfigResponse {
            message: Some(message),
            nonce,
        };
        let patience = self.hub.timing.ack_deadline;
        let outbox = self.outbox.clone();
        let shutdown = self.hub.shutdown.clone();
        let replaced = self.membership.replaced().clone();
        let mut sending = std::pin::pin!(outbox.send(Ok(response)));
        for is_stalled in [false, true] {
            tokio::select! {
                () = shutdown.cancelled() => return Err(stopping()),
                () = replaced.cancelled() => return Err(replacement()),
                sent = timeout(patience, &mut sending) => match sent {
                    Ok(sent) => return sent.map_err(|_| Status::cancelled("the subscriber is gone")),
                    Err(_) if is_stalled => break,
                    Err(_) => {
                        self.session.stall();
                        self.report();
                    }
                },
            }
        }
        Err(Status::unavailable("the subscriber does not read"))
    }

    fn take(&mut self, request: v1::StreamConfigRequest) -> Result<(), Status> {
        self.membership.seen();
        match request.message {
            Some(stream_config_request::Message::Hello(_)) => {
                Err(Status::failed_precondition("hello was said already"))
            }
            Some(stream_config_request::Message::Ack(ack)) => self.take_ack(ack),
            Some(stream_config_request::Message::Nack(nack)) => self.take_nack(nack),
            // Said by a newer subscriber; it may be passed over.
            None => Ok(()),
        }
    }

    fn take_ack(&mut self, ack: v1::Ack) -> Result<(), Status> {
        let running = ack.running.as_ref().and_then(wire::version_from_wire);
        match self.session.ack(ack.nonce, running).map_err(breached)? {
            Acknowledged::Proved => self.membership.acknowledged(Notes {
                warnings: scrub::texts(ack.warnings),
                persisted: ack.persisted,
            }),
            Acknowledged::Diverged => {
                self.hub.metrics.diverged();
                tracing::error!(node.id = %self.subscriber.node.id, "subscriber runs another content than was sent");
            }
            Acknowledged::Stale => self.log_stale(ack.nonce),
        }
        Ok(())
    }

    fn take_nack(&mut self, nack: v1::Nack) -> Result<(), Status> {
        let running = nack.running.as_ref().and_then(wire::version_from_wire);
        let reason = nack.reason();
        let refused = self.session.nack(nack.nonce, running, reason, Instant::now());
        let Some(version) = refused.map_err(breached)? else {
            self.log_stale(nack.nonce);
            return Ok(());
        };
        self.hub.metrics.refused(reason);
        tracing::warn!(
            node.id = %self.subscriber.node.id,
            revision = %version.revision,
            reason = reason.as_str_name(),
            violations = nack.violations_total,
            "subscriber refused an update"
        );
        self.membership.refused(Refusal {
            version,
            reason,
            violations: scrub::violations(nack.violations),
        });
        Ok(())
    }

    fn log_stale(&self, nonce: u64) {
        let count = self.session.stale_answers();
        tracing::debug!(node.id = %self.subscriber.node.id, nonce, count, "answer to an earlier message");
    }
}

/// Without it a subscriber keeps the content it has rather than take one of another lineage.
fn resync() -> Message {
    let lane = v1::Lane::Config.into();
    let resync = v1::directive::Directive::Resync(v1::Resync { lane });
    Message::Directive(v1::Directive {
        directive: Some(resync),
    })
}

fn replacement() -> Status {
    Status::aborted("a newer stream of the same process replaces this one")
}
