//! How messages leave.

use tokio::{sync::mpsc::error::TrySendError, time::timeout};
use tonic::Status;
use tyrscale_proto::v1::{self, stream_config_response::Message};

use super::{
    Stream,
    endings::{gone, replacement, stopping},
};

impl Stream<'_> {
    pub(super) async fn send_all(&mut self, messages: &[Message], nonce: u64) -> Result<(), Status> {
        let Some((last, first)) = messages.split_last() else {
            return Ok(());
        };
        for message in first {
            self.send(message.clone()).await?;
        }
        self.send_with_nonce(last.clone(), nonce).await
    }

    pub(super) async fn send(&mut self, message: Message) -> Result<(), Status> {
        self.send_with_nonce(message, 0).await
    }

    /// Hands a message to the transport. A subscriber that does not read is stalled after the time for an
    /// answer, and cut off after twice that.
    async fn send_with_nonce(&mut self, message: Message, nonce: u64) -> Result<(), Status> {
        let response = v1::StreamConfigResponse {
            message: Some(message),
            nonce,
        };
        let response = match self.outbox.try_send(Box::new(Ok(response))) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(response)) => response,
            Err(TrySendError::Closed(_)) => return Err(gone()),
        };
        let patience = self.hub.timing.ack_deadline;
        let outbox = self.outbox.clone();
        let shutdown = self.hub.shutdown.clone();
        let replaced = self.membership.replaced().clone();
        let mut sending = std::pin::pin!(outbox.send(response));
        for is_stalled in [false, true] {
            tokio::select! {
                () = shutdown.cancelled() => return Err(stopping()),
                () = replaced.cancelled() => return Err(replacement()),
                sent = timeout(patience, &mut sending) => match sent {
                    Ok(sent) => return sent.map_err(|_| gone()),
                    Err(_) if is_stalled => break,
                    Err(_) => {
                        self.lanes.stall();
                        self.report();
                    }
                },
            }
        }
        Err(Status::unavailable("the subscriber does not read"))
    }
}

/// Without it a subscriber keeps the content it has rather than take one of another lineage.
pub(super) fn resync() -> Message {
    let lane = v1::Lane::Config.into();
    let resync = v1::directive::Directive::Resync(v1::Resync { lane });
    Message::Directive(v1::Directive {
        directive: Some(resync),
    })
}
