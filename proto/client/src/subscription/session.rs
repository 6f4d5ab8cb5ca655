//! What one stream's messages ask for, without doing it.

use std::time::Duration;

use tyrscale_model::{Lane, Selection, Version, View, Violation, ViolationCode, wire};
use tyrscale_proto::v1::{
    self, Resume, StreamConfigResponse, directive::Directive, stream_config_response::Message,
};

use super::{
    assembly::{Assembly, Offer, Taken},
    codec,
    refusal::{NackReason, Refusal},
};

/// A longer notice would outlive most streams.
const MAX_RECONNECT_WITHIN: Duration = Duration::from_secs(600);
/// A rarer heartbeat would tell nothing.
const MAX_HEARTBEAT: Duration = Duration::from_secs(600);

/// The control plane broke the protocol in a way that cannot be answered; the stream is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("first message is not Welcome")]
    NoWelcome,
    #[error("second Welcome")]
    SecondWelcome,
    #[error("update without nonce")]
    NoNonce,
    #[error("said to be in sync with another content")]
    NotInSync,
    #[error("knows nothing of labels, and would send what is not selected")]
    LabelsUnknown,
}

/// What a message asks for.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing.
    Continue,
    /// The stream stands. `adopt`: the contents that run have these versions now.
    Welcome {
        heartbeat: Option<Duration>,
        adopt: Vec<Version>,
        /// Whether it sends no more than what is selected.
        selects: bool,
    },
    /// The newest version of each lane.
    Heads(Vec<Version>),
    /// Connect again within this time.
    Reconnect(Duration),
    /// Judge this update and answer.
    Judge { nonce: u64, offer: Offer },
    /// Answer that it is refused.
    Refuse { nonce: u64, refusal: Refusal },
    /// Give the stream up.
    GiveUp(Fault),
}

/// One stream, as far as messages go.
#[derive(Debug)]
pub(crate) struct Session {
    welcomed: bool,
    resync: bool,
    assembly: Assembly,
}

impl Session {
    /// A new stream; an update may hold `limit` bytes of memory.
    pub(crate) const fn new(view: View, weights: bool, limit: usize) -> Self {
        Self {
            welcomed: false,
            resync: false,
            assembly: Assembly::new(view, weights, limit),
        }
    }

    /// Takes the next message.
    pub(crate) fn receive(&mut self, response: StreamConfigResponse) -> Step {
        let nonce = response.nonce;
        match response.message {
            Some(Message::Welcome(_)) if self.welcomed => Step::GiveUp(Fault::SecondWelcome),
            Some(Message::Welcome(welcome)) => {
                self.welcomed = true;
                read_welcome(&welcome)
            }
            _ if !self.welcomed => Step::GiveUp(Fault::NoWelcome),
            Some(Message::Delta(delta)) => {
                let taken = self.assembly.delta(delta);
                self.step(nonce, taken)
            }
            Some(Message::Chunk(chunk)) => {
                let taken = match codec::unfold(chunk) {
                    Ok(chunk) => self.assembly.chunk(chunk, nonce != 0),
                    Err(error) => {
                        let refusal = Refusal::decode(None, "chunk.data", &error.to_string());
                        self.assembly.fail(refusal, nonce != 0)
                    }
                };
                self.step(nonce, taken)
            }
            Some(Message::Heartbeat(heartbeat)) => heads_of(&heartbeat),
            Some(Message::Directive(directive)) => self.directive(directive),
            None if nonce == 0 => Step::Continue,
            None => {
                let violation =
                    Violation::new("", ViolationCode::Invalid, "message is unknown to this build");
                let refusal = Refusal::new(NackReason::Unsupported, None, violation);
                Step::Refuse { nonce, refusal }
            }
        }
    }

    fn step(&mut self, nonce: u64, taken: Taken) -> Step {
        match taken {
            Taken::Incomplete => Step::Continue,
            Taken::Complete(_) | Taken::Broken(_) if nonce == 0 => Step::GiveUp(Fault::NoNonce),
            Taken::Complete(mut offer) => {
                if offer.base.is_none() && offer.target.lane == Lane::Config {
                    offer.forced = std::mem::take(&mut self.resync);
                }
                Step::Judge { nonce, offer }
            }
            Taken::Broken(refusal) => Step::Refuse { nonce, refusal },
        }
    }

    fn directive(&mut self, directive: v1::Directive) -> Step {
        match directive.directive {
            Some(Directive::Reconnect(reconnect)) => {
                let within = reconnect.within.and_then(read_duration);
                Step::Reconnect(within.unwrap_or_default().min(MAX_RECONNECT_WITHIN))
            }
            Some(Directive::Resync(resync)) => {
                self.resync |= resync.lane == i32::from(v1::Lane::Config);
                Step::Continue
            }
            None => Step::Continue,
        }
    }
}

fn read_welcome(welcome: &v1::Welcome) -> Step {
    let heartbeat = welcome
        .heartbeat
        .and_then(read_duration)
        .filter(|heartbeat| !heartbeat.is_zero())
        .map(|heartbeat| heartbeat.min(MAX_HEARTBEAT));
    let mut adopt = Vec::new();
    let in_sync = welcome
        .lanes
        .iter()
        .filter(|plan| plan.resume() == Resume::InSync);
    for plan in in_sync.filter(|plan| wire::lane_from_wire(plan.lane).is_some()) {
        match plan.target.as_ref().and_then(wire::version_from_wire) {
            Some(target) => adopt.push(target),
            None => return Step::GiveUp(Fault::NotInSync),
        }
    }
    Step::Welcome {
        heartbeat,
        adopt,
        selects: welcome.features.iter().any(|word| word == Selection::FEATURE),
    }
}

fn read_duration(duration: prost_types::Duration) -> Option<Duration> {
    duration.try_into().ok()
}

fn heads_of(heartbeat: &v1::Heartbeat) -> Step {
    Step::Heads(
        heartbeat
            .head
            .iter()
            .filter_map(wire::version_from_wire)
            .collect(),
    )
}
