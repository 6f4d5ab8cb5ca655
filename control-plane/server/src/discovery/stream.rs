//! The task of one stream: waits for what happens, tells the session, sends what it decides.

mod answers;
mod endings;
mod lacking;
mod leading;
mod patience;
mod sending;
mod standing;

use std::sync::Arc;

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tonic::{Status, Streaming};
use tyrscale_model::{Lane, Selection, Version, View, wire};
use tyrscale_proto::v1::{self, NackReason, stream_config_request, stream_config_response::Message};
use tyrscale_store::Head;

use self::{
    endings::{breached, replacement, stopping},
    patience::passed,
    sending::resync,
};
use super::{
    Hub, Said, Subject,
    ageing::Ageing,
    content::Content,
    gate::{Line, Room},
    hello::{self, PROTOCOL, Subscriber, TERSE},
    lanes::Lanes,
    needs::Needs,
    parts::Followed,
    resume::{Offer, Resume},
    session::{Session, Update},
};
use crate::{
    fleet::{Abilities, Membership, Refusal},
    rollout::Targets,
    weights,
};

type Inbox = Streaming<v1::StreamConfigRequest>;
type Outbox = mpsc::Sender<Said>;

/// Serves one stream until either side ends it.
pub(crate) async fn serve(hub: Arc<Hub>, mut inbox: Inbox, peer: Subject, outbox: Outbox) {
    let last_words = hub.timing.ack_deadline;
    let ended = match open(&hub, &mut inbox, peer).await {
        Ok(Some((subscriber, membership))) => {
            let id = subscriber.node.id.clone();
            let ended = match Stream::new(&hub, subscriber, membership, outbox.clone()).await {
                Ok(stream) => stream.run(inbox).await,
                Err(status) => Err(status),
            };
            let reason = ended.as_ref().err().map(ToString::to_string);
            tracing::info!(node.id = %id, reason, "subscriber left");
            ended
        }
        Ok(None) => Ok(()),
        Err(status) => Err(status),
    };
    if let Err(status) = ended {
        // Nobody is there to be told when this fails.
        outbox.send_timeout(Box::new(Err(status)), last_words).await.ok();
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
    if let Some(admission) = &peer.admission {
        admission.admit((&subscriber.node).into()).await?;
    }
    let peer = peer.address;
    let joined = hub.fleet.join(subscriber.node.clone(), peer.clone());
    let membership = joined.map_err(|full| Status::resource_exhausted(full.to_string()))?;
    membership.understands(Abilities {
        features: subscriber.features,
        view: subscriber.view,
        selection: subscriber.selection.clone(),
    });
    for version in &subscriber.quarantined {
        hub.metrics.refused(NackReason::Crashed);
        let refusal = Refusal {
            version: *version,
            reason: NackReason::Crashed,
            violations: Vec::new(),
        };
        membership.refused(version.lane, refusal);
    }
    tracing::info!(node.id = %subscriber.node.id, %peer, attempt, "subscriber came");
    Ok(Some((subscriber, membership)))
}

/// A part of the configuration does not fit together, which a configuration that does never causes.
fn unfit(rejection: tyrscale_model::Rejection) -> Status {
    tracing::error!(%rejection, "the selected part of the configuration cannot be made");
    Status::internal("the selected part of the configuration cannot be made")
}

struct Stream<'a> {
    hub: &'a Hub,
    subscriber: Subscriber,
    membership: Membership,
    outbox: Outbox,
    lanes: Lanes,
    targets: watch::Receiver<Arc<Targets>>,
    weights: watch::Receiver<Arc<weights::Head>>,
    /// What of the configuration it is there for.
    followed: Arc<Followed>,
    /// What the fleet's nodes like this one are to run.
    whole: Arc<Head>,
    /// The part of it that the subscriber is to run, and its version as far as it is seen.
    head: (Arc<Head>, Version),
    weights_head: (Arc<weights::Head>, Version),
    /// Why head is not the newest; empty when it is.
    held: &'static str,
    /// The version that it was noted to lack something for.
    unable: Option<Version>,
    /// For the whole content that is on its way.
    room: Option<Room>,
    /// For that room, while there is none.
    line: Option<Line>,
    ageing: Ageing,
}

impl<'a> Stream<'a> {
    async fn new(
        hub: &'a Hub,
        subscriber: Subscriber,
        membership: Membership,
        outbox: Outbox,
    ) -> Result<Self, Status> {
        let (mut targets, mut weights) = (hub.rollouts.targets(), hub.weights.subscribe());
        let target = targets.borrow_and_update().of(&subscriber.node);
        let weights_head = Arc::clone(&weights.borrow_and_update());
        let followed = hub.parts.follow(&subscriber.selection);
        let followed = followed.map_err(|full| Status::resource_exhausted(full.to_string()))?;
        let head = followed.part_of(&target.head).await.map_err(unfit)?;
        let head_version = head.snapshot.version(subscriber.view);
        let weights_version = weights_head.weights.version();
        Ok(Self {
            lanes: Lanes::new(&subscriber, hub.timing.ack_deadline),
            hub,
            subscriber,
            membership,
            outbox,
            targets,
            weights,
            followed,
            whole: target.head,
            head: (head, head_version),
            weights_head: (weights_head, weights_version),
            held: target.held,
            unable: None,
            room: None,
            line: None,
            ageing: Ageing::new(Instant::now(), hub.timing.stream_age, fastrand::f64()),
        })
    }

    /// What the subscriber is to run may be another.
    ///
    /// # Errors
    /// An end of the stream when the part that it sees cannot be made.
    async fn retarget(&mut self) -> Result<(), Status> {
        let target = self.targets.borrow_and_update().of(&self.subscriber.node);
        // A version's digest is worked out once for each content, not for each look at it.
        if !Arc::ptr_eq(&self.whole, &target.head) {
            let head = self.followed.part_of(&target.head).await.map_err(unfit)?;
            let version = head.snapshot.version(self.view());
            self.head = (head, version);
            self.whole = target.head;
        }
        self.held = target.held;
        let weights = self.weights.borrow_and_update();
        if !Arc::ptr_eq(&self.weights_head.0, &weights) {
            self.weights_head = (Arc::clone(&weights), weights.weights.version());
        }
        Ok(())
    }

    const fn view(&self) -> View {
        self.subscriber.view
    }

    /// What the server has in a lane.
    fn content(&self, lane: Lane) -> Content {
        match lane {
            Lane::Config => Content::Config {
                head: Arc::clone(&self.head.0),
                target: self.head.1,
                view: self.view(),
                needs: Needs::of(self.subscriber.node.role(), self.view()),
                vault: self.hub.vault.clone(),
                features: self.subscriber.features,
            },
            Lane::Weights => Content::Weights {
                head: Arc::clone(&self.weights_head.0),
                target: self.weights_head.1,
                now: Instant::now(),
            },
        }
    }

    const fn target(&self, lane: Lane) -> Version {
        match lane {
            Lane::Config => self.head.1,
            Lane::Weights => self.weights_head.1,
        }
    }

    /// Asks the session of a lane something that depends on what the server has.
    fn ask<T>(&mut self, lane: Lane, question: impl FnOnce(&mut Session, &Offer<'_>) -> T) -> Option<T> {
        let content = self.content(lane);
        let session = self.lanes.get_mut(lane)?;
        Some(content.offer(self.hub.takes_over, |offer| question(session, offer)))
    }

    async fn run(mut self, mut inbox: Inbox) -> Result<(), Status> {
        let welcome = self.welcome();
        self.send(welcome).await?;
        let beat = self.hub.timing.heartbeat;
        let mut heartbeat = interval_at(Instant::now() + beat, beat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.hub.shutdown.clone();
        let mut shutdown = std::pin::pin!(shutdown.cancelled());
        let replaced = self.membership.replaced().clone();
        let mut replaced = std::pin::pin!(replaced.cancelled());
        let mut alarm = std::pin::pin!(sleep_until(self.ageing.wake_at()));
        loop {
            self.retarget().await?;
            for lane in Lane::ALL {
                self.push(lane).await?;
            }
            self.report();
            let config = self.lanes.get(Lane::Config);
            if !config.is_some_and(Session::is_in_flight) {
                self.room = None;
            }
            self.ageing.note_behind(self.is_behind(), Instant::now());
            let old_at = self.ageing.wake_at();
            let wake_at = self.lanes.wake_at().map_or(old_at, |wake_at| wake_at.min(old_at));
            // One that rings too early does no harm, and most deadlines are met: setting it anew for each costs more.
            if wake_at < alarm.deadline() || alarm.is_elapsed() {
                alarm.as_mut().reset(wake_at);
            }
            let [heeds_targets, heeds_weights] = [Lane::Config, Lane::Weights].map(|lane| self.heeds(lane));
            tokio::select! {
                () = &mut shutdown => return Err(stopping()),
                () = &mut replaced => return Err(replacement()),
                message = inbox.message() => match message? {
                    Some(message) => self.take(message)?,
                    None => return Ok(()),
                },
                changed = self.targets.changed(), if heeds_targets => changed.map_err(|_| stopping())?,
                changed = self.weights.changed(), if heeds_weights => changed.map_err(|_| stopping())?,
                room = passed(&mut self.line) => {
                    (self.room, self.line) = (room, None);
                }
                () = &mut alarm => {
                    self.lanes.on_time(Instant::now()).map_err(breached)?;
                    self.age().await?;
                }
                _ = heartbeat.tick() => {
                    self.retarget().await?;
                    let beat = self.heartbeat();
                    self.send(beat).await?;
                }
            }
        }
    }

    /// Whether to wake for what is new in a lane: at 50 changes a second most come while an update is in flight.
    fn heeds(&self, lane: Lane) -> bool {
        !self.lanes.get(lane).is_some_and(Session::is_settling)
    }

    fn welcome(&mut self) -> Message {
        let lanes = self.subscriber.lanes.clone();
        let plans = lanes.into_iter().filter_map(|lane| self.plan(lane)).collect();
        let terse = self.subscriber.format.terse.then(|| TERSE.to_owned());
        let selects = !self.subscriber.selection.is_everything();
        let labels = selects.then(|| Selection::FEATURE.to_owned());
        let words = self.subscriber.features.words();
        let features = terse.into_iter().chain(labels).chain(words);
        let timing = &self.hub.timing;
        Message::Welcome(v1::Welcome {
            protocol: PROTOCOL,
            features: features.collect(),
            server_id: self.hub.fleet.server_id().to_owned(),
            session_id: uuid::Uuid::new_v4().to_string(),
            lanes: plans,
            heartbeat: prost_types::Duration::try_from(timing.heartbeat).ok(),
            ack_deadline: prost_types::Duration::try_from(timing.ack_deadline).ok(),
        })
    }

    /// How a lane goes on.
    fn plan(&mut self, lane: Lane) -> Option<v1::LanePlan> {
        let (resume, why) = self.ask(lane, Session::welcome)?;
        tracing::info!(node.id = %self.subscriber.node.id, lane = lane.as_str(), ?resume, why, "subscriber goes on");
        let resume = match resume {
            Resume::InSync => v1::Resume::InSync,
            Resume::Delta => v1::Resume::Delta,
            Resume::Snapshot => v1::Resume::Snapshot,
            Resume::Hold => v1::Resume::Hold,
        };
        Some(v1::LanePlan {
            lane: wire::lane_to_wire(lane).into(),
            resume: resume.into(),
            target: Some(wire::version_to_wire(&self.target(lane))),
            why: why.to_owned(),
        })
    }

    /// The configuration that the subscriber runs.
    fn running(&self) -> Option<Version> {
        self.lanes.get(Lane::Config).and_then(Session::running)
    }

    /// Recommended weights name revisions of the configuration, which mean nothing to who runs one of another lineage.
    fn runs_another_lineage(&self) -> bool {
        self.running()
            .is_some_and(|running| running.lineage != self.head.1.lineage)
    }

    /// Sends the update of a lane that is due, if any.
    async fn push(&mut self, lane: Lane) -> Result<(), Status> {
        if lane == Lane::Config && self.line.is_some() {
            return Ok(());
        }
        if lane == Lane::Weights && self.runs_another_lineage() {
            if let Some(session) = self.lanes.get_mut(lane) {
                session.hold_back("the subscriber runs a configuration of another lineage");
            }
            return Ok(());
        }
        let now = Instant::now();
        let due = self.ask(lane, |session, offer| session.next_update(offer, now));
        let Some(update) = due.flatten() else {
            self.note_unable(lane);
            return Ok(());
        };
        self.report();
        let Some(messages) = self.lead(lane, &update).await else {
            return Ok(());
        };
        if lane == Lane::Config && update.base.is_none() && !self.has_room(&messages) {
            return Ok(());
        }
        self.hub.metrics.sent(lane, update.base.is_some());
        if self.replaces_another_lineage(lane, &update) {
            self.send(resync()).await?;
        }
        let nonce = self.lanes.number(lane);
        self.send_all(&messages, nonce).await?;
        if let Some(session) = self.lanes.get_mut(lane) {
            session.sent(Instant::now());
        }
        Ok(())
    }

    fn heartbeat(&self) -> Message {
        let heads = self.lanes.followed().map(|(lane, _)| self.target(lane));
        let head = heads.map(|head| wire::version_to_wire(&head)).collect();
        Message::Heartbeat(v1::Heartbeat { head })
    }

    /// Whether an operator said that the update is to replace a configuration of another lineage.
    fn replaces_another_lineage(&self, lane: Lane, update: &Update) -> bool {
        let running = self.lanes.get(lane).and_then(Session::running);
        let replaces = running.is_some_and(|running| running.lineage != update.target.lineage);
        lane == Lane::Config && self.hub.takes_over && replaces
    }
}
