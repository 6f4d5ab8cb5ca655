//! Why a stream waits, and when it has been long enough.

use tokio::time::{Instant, sleep};
use tonic::Status;
use tyrscale_model::{Lane, Version};
use tyrscale_proto::v1::{self, SyncState, stream_config_response::Message};

use super::{Stream, replacement, stopping};
use crate::{
    discovery::{
        ageing::{Due, WITHIN},
        gate::Room,
    },
    fleet::Standing,
};

impl Stream<'_> {
    /// Waits for room for a whole content, if there is none; the subscriber serves from what it has.
    pub(super) async fn wait_in_line(&self, messages: &[Message]) -> Result<Option<Room>, Status> {
        let gate = &self.hub.gate;
        if let Some(room) = gate.try_pass(messages) {
            return Ok(Some(room));
        }
        let standing = Standing {
            state: SyncState::Held,
            reason: "waits in line for the whole content".into(),
            running: self.running(),
            target: self.target(Lane::Config),
        };
        self.membership.stands(Lane::Config, standing);
        let mut passing = std::pin::pin!(gate.pass(messages));
        loop {
            tokio::select! {
                () = self.hub.shutdown.cancelled() => return Err(stopping()),
                () = self.membership.replaced().cancelled() => return Err(replacement()),
                room = &mut passing => return Ok(room),
                () = self.outbox.closed() => return Err(Status::cancelled("the subscriber is gone")),
                () = sleep(self.hub.timing.heartbeat) => {
                    let beat = v1::StreamConfigResponse {
                        message: Some(self.heartbeat()),
                        nonce: 0,
                    };
                    // One that does not read need not be told that it waits.
                    self.outbox.try_send(Ok(beat)).ok();
                }
            }
        }
    }

    /// Whether the subscriber runs a revision that this server has not seen yet.
    pub(super) fn is_behind(&self) -> bool {
        let newest = self.hub.store.head();
        let is_ahead = |running: Version| {
            running.lineage == newest.snapshot.lineage() && running.revision > newest.snapshot.revision()
        };
        self.running().is_some_and(is_ahead)
    }

    /// Asks a subscriber that has been here for long, or runs what this server has not seen, to connect again.
    pub(super) async fn age(&mut self) -> Result<(), Status> {
        match self.ageing.due(Instant::now()) {
            None => Ok(()),
            Some(Due::Ask(why)) => self.send(reconnect(why)).await,
            Some(Due::End) => Err(Status::unavailable("the stream is old")),
        }
    }
}

fn reconnect(why: &str) -> Message {
    let reconnect = v1::Reconnect {
        within: prost_types::Duration::try_from(WITHIN).ok(),
        why: why.to_owned(),
    };
    Message::Directive(v1::Directive {
        directive: Some(v1::directive::Directive::Reconnect(reconnect)),
    })
}
