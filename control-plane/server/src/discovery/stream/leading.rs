//! The messages of an update, or why there are none.

use std::time::Duration;

use tokio::time::Instant;
use tyrscale_model::Lane;

use super::Stream;
use crate::{
    discovery::{
        session::{Obstacle, Update},
        update::{Messages, UpdateError},
    },
    secrets::SecretsError,
};

/// How long what may pass is given to pass.
const RETRY: Duration = Duration::from_secs(5);

impl Stream<'_> {
    /// The messages of an update; none when it cannot be sent, of which the session is told.
    pub(super) async fn lead(&mut self, lane: Lane, update: &Update) -> Option<Messages> {
        match self.build(lane, update).await {
            Ok(messages) => Some(messages),
            Err(error) => {
                tracing::error!(node.id = %self.subscriber.node.id, %error, "update is held back");
                let obstacle = Obstacle {
                    why: error.why(),
                    until: error.passes().then(|| Instant::now() + RETRY),
                };
                if let Some(session) = self.lanes.get_mut(lane) {
                    session.cannot_send(obstacle);
                }
                None
            }
        }
    }

    async fn build(&self, lane: Lane, update: &Update) -> Result<Messages, UpdateError> {
        let content = self.content(lane);
        let (updates, format) = (self.hub.updates(lane), self.subscriber.format);
        let led = updates.lead(&content, update.base, format).await;
        let Err(UpdateError::Secrets(SecretsError::UnknownKey(_))) = &led else {
            return led;
        };
        // Another control plane made it a moment ago.
        if let Err(error) = self.hub.vault.reload().await {
            tracing::warn!(%error, "keys of secrets cannot be read");
        }
        updates.lead(&content, update.base, format).await
    }
}
