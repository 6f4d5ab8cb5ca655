//! What a subscriber's answers lead to.

use tokio::time::Instant;
use tonic::Status;
use tyrscale_model::wire;
use tyrscale_proto::v1::{self, stream_config_request};

use super::{Stream, endings::breached};
use crate::{
    discovery::{scrub, session::Acknowledged},
    fleet::{Notes, Refusal},
};

impl Stream<'_> {
    /// Takes what the subscriber says.
    pub(super) fn take(&mut self, request: v1::StreamConfigRequest) -> Result<(), Status> {
        match request.message {
            Some(stream_config_request::Message::Hello(_)) => {
                Err(Status::failed_precondition("hello was said already"))
            }
            Some(stream_config_request::Message::Ack(ack)) => self.take_ack(ack),
            Some(stream_config_request::Message::Nack(nack)) => self.take_nack(nack),
            // Said by a newer subscriber; it may be passed over.
            None => {
                self.membership.seen();
                Ok(())
            }
        }
    }

    fn take_ack(&mut self, ack: v1::Ack) -> Result<(), Status> {
        let Some(lane) = self.lanes.answered(ack.nonce).map_err(breached)? else {
            self.membership.seen();
            self.log_stale(ack.nonce);
            return Ok(());
        };
        let running = ack.running.as_ref().and_then(wire::version_from_wire);
        let session = self.lanes.get_mut(lane);
        match session.map(|session| session.ack(running)) {
            Some(Acknowledged::Proved) => {
                let notes = Notes {
                    warnings: scrub::texts(ack.warnings),
                    persisted: ack.persisted,
                };
                self.membership.acknowledged(lane, notes);
            }
            Some(Acknowledged::Diverged) => {
                self.membership.seen();
                self.hub.metrics.diverged();
                let lane = lane.as_str();
                tracing::error!(node.id = %self.subscriber.node.id, lane, "subscriber runs another content than was sent");
            }
            None => {}
        }
        Ok(())
    }

    fn take_nack(&mut self, nack: v1::Nack) -> Result<(), Status> {
        let Some(lane) = self.lanes.answered(nack.nonce).map_err(breached)? else {
            self.membership.seen();
            self.log_stale(nack.nonce);
            return Ok(());
        };
        let running = nack.running.as_ref().and_then(wire::version_from_wire);
        let reason = nack.reason();
        let session = self.lanes.get_mut(lane);
        let refused = session.and_then(|session| session.nack(running, reason, Instant::now()));
        let Some(version) = refused else {
            self.membership.seen();
            return Ok(());
        };
        self.hub.metrics.refused(reason);
        tracing::warn!(
            node.id = %self.subscriber.node.id,
            lane = lane.as_str(),
            revision = %version.revision,
            reason = reason.as_str_name(),
            violations = nack.violations_total,
            "subscriber refused an update"
        );
        let refusal = Refusal {
            version,
            reason,
            violations: scrub::violations(nack.violations),
        };
        self.membership.refused(lane, refusal);
        Ok(())
    }

    fn log_stale(&self, nonce: u64) {
        let count = self.lanes.stale_answers();
        tracing::debug!(node.id = %self.subscriber.node.id, nonce, count, "answer to an earlier message");
    }
}
