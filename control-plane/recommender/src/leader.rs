//! Which of several recommenders acts: the one that holds the lease.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tyrscale_client::{ClientError, ControlPlane};
use tyrscale_proto::v1;

use crate::connection::Endpoints;

/// The name of the election.
const ELECTION: &str = "recommender";
/// How long a leader that is not heard of stays one.
const TTL: Duration = Duration::from_secs(10);
/// How long before its lease ends a leader stops to act.
const MARGIN: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(1);

/// The right to act, until a time.
#[derive(Debug, Clone)]
pub(crate) struct Leadership {
    /// Shows who leads.
    pub(crate) token: u64,
    pub(crate) control_plane: ControlPlane,
    until: Instant,
}

impl Leadership {
    /// One that holds for a minute.
    #[cfg(test)]
    pub(crate) fn of(control_plane: ControlPlane, token: u64) -> Self {
        Self {
            token,
            control_plane,
            until: Instant::now() + Duration::from_secs(60),
        }
    }

    /// Whether the lease surely holds.
    pub(crate) fn holds(&self) -> bool {
        Instant::now() < self.until
    }
}

/// Campaigns until `stop`, then resigns. `leadership` has the lease while this process has it.
pub(crate) async fn campaign(
    mut endpoints: Endpoints,
    candidate: String,
    leadership: watch::Sender<Option<Leadership>>,
    stop: CancellationToken,
) {
    loop {
        let kept = async {
            let control_plane = endpoints.connect().await?;
            keep(&control_plane, &candidate, &leadership).await
        };
        tokio::select! {
            () = stop.cancelled() => break,
            Err(error) = kept => tracing::debug!(%error, "cannot campaign"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
    let held = leadership.send_replace(None);
    if let Some(held) = held {
        let resign = request(&candidate, true);
        let resigned = tokio::time::timeout(MARGIN, held.control_plane.coordination().campaign(resign)).await;
        tracing::debug!(resigned = resigned.is_ok(), "leadership given up");
    }
}

fn request(candidate: &str, resign: bool) -> v1::CampaignRequest {
    v1::CampaignRequest {
        election: ELECTION.to_owned(),
        candidate_id: candidate.to_owned(),
        ttl: prost_types::Duration::try_from(TTL).ok(),
        resign,
    }
}

async fn keep(
    control_plane: &ControlPlane,
    candidate: &str,
    leadership: &watch::Sender<Option<Leadership>>,
) -> Result<std::convert::Infallible, ClientError> {
    loop {
        let asked = Instant::now();
        let answer = control_plane
            .coordination()
            .campaign(request(candidate, false))
            .await;
        let answer = answer.inspect_err(|_| lapse(leadership))?.into_inner();
        let led = leadership.borrow().as_ref().map(|held| held.token);
        let held = answer.leader.then(|| Leadership {
            token: answer.fencing_token,
            control_plane: control_plane.clone(),
            until: asked + TTL - MARGIN,
        });
        match (&held, led) {
            (Some(held), led) if led != Some(held.token) => {
                tracing::info!(fencing_token = held.token, "leads: weights are computed here");
            }
            (None, Some(_)) => tracing::info!(leader = answer.leader_id, "leads no more"),
            _ => {}
        }
        leadership.send_replace(held);
        let within = answer
            .renew_within
            .and_then(|within| Duration::try_from(within).ok());
        tokio::time::sleep(
            within
                .unwrap_or(TTL / 3)
                .clamp(Duration::from_millis(200), TTL / 3),
        )
        .await;
    }
}

/// Forgets a lease that has ended; one that still holds may be renewed over another connection.
fn lapse(leadership: &watch::Sender<Option<Leadership>>) {
    leadership.send_if_modified(|held| {
        let ended = held.as_ref().is_some_and(|held| !held.holds());
        if ended {
            *held = None;
        }
        ended
    });
}
