//! One stream: opens it, feeds the session, answers.

use std::time::Duration;

use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tyrscale_model::{Feature, Lane, Selection, Version, wire};
use tyrscale_proto::v1::{
    self, StreamConfigRequest, StreamConfigResponse, discovery_service_client::DiscoveryServiceClient,
    stream_config_request::Message,
};

use crate::endpoint::Server;

use super::{
    Consumer, Ended, Subscriber,
    backoff::spread,
    codec,
    engine::{Applied, Engine},
    refusal::Refusal,
    session::{Fault, Session, Step},
    terse,
};

const PROTOCOL: u32 = 1;
/// Answers are sent one at a time.
const OUTBOUND: usize = 4;
/// Memory that an update may take while it is put together.
const MAX_UPDATE: usize = 512 << 20;
/// What the control plane sends at most when it chooses.
const DEFAULT_MESSAGE: usize = 4 << 20;

/// Why a stream ended.
#[derive(Debug)]
pub(super) enum End {
    /// The control plane asked for it.
    Directed,
    /// Anything else.
    Lost(StreamError),
}

/// What ended a stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("control plane could not be reached")]
    Connect(#[source] tonic::transport::Error),
    #[error("control plane did not say welcome in time")]
    NoWelcome,
    #[error("{}: {}", .0.code(), .0.message())]
    Status(#[from] tonic::Status),
    #[error("control plane ended the stream")]
    Closed,
    #[error("no heartbeat in time")]
    Silent,
    #[error("control plane does not read answers")]
    Stalled,
    #[error("control plane broke the protocol: {0}")]
    Protocol(#[from] Fault),
    #[error("update could not be worked on")]
    Engine(#[from] tokio::task::JoinError),
}

/// A stream that stands.
struct Stream {
    session: Session,
    outbound: mpsc::Sender<StreamConfigRequest>,
    inbound: Streaming<StreamConfigResponse>,
    /// Without any message for so long it is given up.
    patience: Duration,
    reconnect_at: Option<Instant>,
}

impl Stream {
    async fn next(&mut self) -> Result<StreamConfigResponse, End> {
        let reconnect_at = self.reconnect_at;
        let directed = async move {
            match reconnect_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = self.inbound.message() => match message {
                Ok(Some(message)) => Ok(message),
                Ok(None) => Err(End::Lost(StreamError::Closed)),
                Err(status) => Err(End::Lost(status.into())),
            },
            () = directed => Err(End::Directed),
            () = tokio::time::sleep(self.patience) => Err(End::Lost(StreamError::Silent)),
        }
    }

    async fn answer(&self, message: Message) -> Result<(), StreamError> {
        let request = StreamConfigRequest {
            message: Some(message),
        };
        match tokio::time::timeout(self.patience, self.outbound.send(request)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(StreamError::Closed),
            Err(_) => Err(StreamError::Stalled),
        }
    }
}

impl<C: Consumer> Subscriber<C> {
    /// Holds a stream until it ends.
    pub(super) async fn stream(&self, endpoint: &Server, attempt: u32) -> Ended {
        let opening = tokio::time::timeout(self.config.timing.connect_timeout, self.open(endpoint, attempt));
        let (mut stream, adopt) = match opening.await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return (Duration::ZERO, End::Lost(error)),
            Err(_) => return (Duration::ZERO, End::Lost(StreamError::NoWelcome)),
        };
        let began = Instant::now();
        for target in adopt {
            if let Err(error) = self.adopt(target).await {
                return (Duration::ZERO, End::Lost(error));
            }
        }
        self.note(|status, now| status.note_connected(true, now));
        tracing::info!(host = endpoint.host(), "following the control plane");
        loop {
            let end = match stream.next().await {
                Ok(message) => match self.obey(&mut stream, message).await {
                    Ok(()) => continue,
                    Err(error) => End::Lost(error),
                },
                Err(end) => end,
            };
            return (began.elapsed(), end);
        }
    }

    /// Connects and says hello until the control plane has said welcome, perhaps with a version to adopt.
    async fn open(&self, endpoint: &Server, attempt: u32) -> Result<(Stream, Vec<Version>), StreamError> {
        let channel = endpoint.connect().await.map_err(StreamError::Connect)?;
        let (outbound, requests) = mpsc::channel(OUTBOUND);
        let hello = StreamConfigRequest {
            message: Some(Message::Hello(self.hello(attempt))),
        };
        outbound.send(hello).await.map_err(|_| StreamError::Closed)?;
        let mut inbound = DiscoveryServiceClient::new(channel)
            .max_decoding_message_size(self.max_message())
            .stream_config(ReceiverStream::new(requests))
            .await?
            .into_inner();
        let first = inbound.message().await?.ok_or(StreamError::Closed)?;
        let mut session = Session::new(self.config.view, self.config.weights, MAX_UPDATE);
        let (heartbeat, adopt) = match session.receive(first) {
            Step::Welcome { selects: false, .. } if !self.config.selection.is_everything() => {
                return Err(Fault::LabelsUnknown.into());
            }
            Step::Welcome { heartbeat, adopt, .. } => (heartbeat, adopt),
            Step::GiveUp(fault) => return Err(fault.into()),
            _ => return Err(Fault::NoWelcome.into()),
        };
        let timing = &self.config.timing;
        let heartbeat = heartbeat.unwrap_or(timing.heartbeat);
        let stream = Stream {
            session,
            outbound,
            inbound,
            patience: heartbeat.saturating_mul(timing.heartbeat_misses),
            reconnect_at: None,
        };
        Ok((stream, adopt))
    }

    fn hello(&self, attempt: u32) -> v1::Hello {
        let node = &self.config.node;
        v1::Hello {
            node: Some(v1::Node {
                id: node.id.clone(),
                group: node.group.clone(),
                zone: node.zone.clone(),
                boot_id: self.boot_id.clone(),
                build: node.build.clone(),
                labels: node.labels.clone(),
                role: node.role.to_wire().into(),
            }),
            protocol_min: PROTOCOL,
            protocol_max: PROTOCOL,
            features: features(),
            have: self.have(),
            quarantined: self
                .status
                .borrow()
                .quarantined
                .iter()
                .map(wire::version_to_wire)
                .collect(),
            selector: Some(self.selector()),
            codecs: codec::known(),
            max_message_bytes: self.config.max_message_bytes,
            attempt,
        }
    }

    fn have(&self) -> Vec<v1::Version> {
        let running = Lane::ALL.into_iter().filter_map(|lane| self.running(lane));
        running.map(|version| wire::version_to_wire(&version)).collect()
    }

    fn selector(&self) -> v1::Selector {
        let mut selector = wire::view_to_wire(self.config.view);
        selector.labels.clone_from(self.config.selection.labels());
        if self.config.weights {
            selector.kinds.push(v1::Kind::Weight.into());
        }
        selector
    }

    fn max_message(&self) -> usize {
        match usize::try_from(self.config.max_message_bytes) {
            Ok(0) | Err(_) => DEFAULT_MESSAGE,
            Ok(bytes) => bytes,
        }
    }

    async fn obey(&self, stream: &mut Stream, mut message: StreamConfigResponse) -> Result<(), StreamError> {
        terse::fill_in(&mut message, |lane| self.running(lane));
        match stream.session.receive(message) {
            Step::Continue | Step::Welcome { .. } => Ok(()),
            Step::Heads(heads) => {
                self.note(|status, now| {
                    for head in heads {
                        status.note_head(head, now);
                    }
                });
                self.persist_again().await
            }
            Step::Reconnect(within) => {
                stream.reconnect_at = Some(Instant::now() + spread(within, fastrand::f64()));
                Ok(())
            }
            Step::Refuse { nonce, refusal } => stream.answer(self.refuse(nonce, refusal)).await,
            Step::Judge { nonce, offer } => {
                let judged = self.blocking(move |engine| (engine.apply(offer), engine.weights_status()));
                let (judged, standing) = judged.await?;
                self.note_weights(&standing);
                let answer = match judged {
                    Ok(applied) => self.accept(nonce, applied),
                    Err(refusal) => self.refuse(nonce, refusal),
                };
                stream.answer(answer).await
            }
            Step::GiveUp(fault) => Err(fault.into()),
        }
    }

    /// Tries again to write what runs to disk, when that failed before.
    async fn persist_again(&self) -> Result<(), StreamError> {
        let is_due = {
            let status = self.status.borrow();
            self.config.last_good.is_some() && status.running.is_some() && !status.persisted
        };
        if is_due && self.blocking(|engine: &mut Engine<C>| engine.persist()).await? {
            self.note(|status, _| status.persisted = true);
        }
        if self.config.weights {
            self.blocking(Engine::save_weights).await?;
        }
        Ok(())
    }

    async fn adopt(&self, target: Version) -> Result<(), StreamError> {
        let adopted = self.blocking(move |engine: &mut Engine<C>| {
            let adopted = engine.adopt(target);
            (adopted, engine.weights_status())
        });
        let (adopted, standing) = adopted.await?;
        let adopted = adopted?;
        self.note_weights(&standing);
        self.note(|status, now| {
            if let Some(applied) = adopted {
                status.note_running(applied.version, applied.persisted, now);
            }
            status.note_head(target, now);
        });
        Ok(())
    }

    fn accept(&self, nonce: u64, applied: Applied) -> Message {
        let version = applied.version;
        tracing::info!(
            lane = version.lane.as_str(),
            revision = version.revision.0,
            persisted = applied.persisted,
            "update applied"
        );
        self.note(|status, now| {
            match version.lane {
                Lane::Config => {
                    status.note_running(version, applied.persisted, now);
                    status.last_refusal = None;
                    status.updates_applied += 1;
                }
                Lane::Weights => status.weights.taken_at = Some(now),
            }
            status.note_head(version, now);
        });
        Message::Ack(v1::Ack {
            nonce,
            running: Some(wire::version_to_wire(&version)),
            validate: applied.validate.try_into().ok(),
            apply: applied.apply.try_into().ok(),
            warnings: applied.warnings,
            persisted: applied.persisted,
        })
    }

    fn refuse(&self, nonce: u64, refusal: Refusal) -> Message {
        let lane = refusal.target.map_or(Lane::Config, |target| target.lane);
        tracing::warn!(
            lane = lane.as_str(),
            reason = refusal.reason.as_str_name(),
            rejection = %refusal.rejection,
            "update refused"
        );
        let nack = refusal.to_nack(nonce, self.running(lane).as_ref());
        self.note(|status, _| match lane {
            Lane::Config => {
                status.updates_refused += 1;
                status.last_refusal = Some(refusal);
            }
            Lane::Weights => status.weights.refused += 1,
        });
        Message::Nack(nack)
    }
}

/// What this build understands beyond the protocol.
fn features() -> Vec<String> {
    let meanings = Feature::ALL.map(Feature::as_str);
    let words = [terse::FEATURE, Selection::FEATURE].into_iter().chain(meanings);
    words.map(str::to_owned).collect()
}
