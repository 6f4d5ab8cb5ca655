//! Why a stream waits, and when it has been long enough.

use tokio::time::Instant;
use tonic::Status;
use tyrscale_model::{Lane, Version};
use tyrscale_proto::v1::{self, stream_config_response::Message};

use super::Stream;
use crate::discovery::{
    ageing::{Due, WITHIN},
    gate::{Line, Room},
};

impl Stream<'_> {
    /// Whether there is room for a whole content on its way. If not, the lane waits in line for it, and the subscriber
    /// serves from what it has; other lanes go on.
    pub(super) fn has_room(&mut self, messages: &[Message]) -> bool {
        let gate = &self.hub.gate;
        let held = self.room.take();
        self.room = held
            .filter(|room| gate.fits(room, messages))
            .or_else(|| gate.try_pass(messages));
        if self.room.is_some() {
            return true;
        }
        self.line = Some(Box::pin(gate.pass(messages)));
        if let Some(session) = self.lanes.get_mut(Lane::Config) {
            session.postpone("waits in line for the whole content");
        }
        false
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

/// Room for what waits in line, once there is some; never when nothing waits.
pub(super) async fn passed(line: &mut Option<Line>) -> Option<Room> {
    match line {
        Some(line) => line.await,
        None => std::future::pending().await,
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
