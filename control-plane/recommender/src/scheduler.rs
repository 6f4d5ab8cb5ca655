//! When runs are made: those that are due, by the leader, each once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tyrscale_model::{Recommendation, RouteId, Snapshot, UnixMillis};
use tyrscale_proto::v1::{self, RunState};

use crate::{
    candidates, clock,
    leader::Leadership,
    metrics::Counts,
    run::{Ran, Run},
    source::Source,
    telemetry::Memory,
};

/// Runs made at once.
const AT_ONCE: usize = 8;
/// How long nobody looks, at most.
const LOOK: Duration = Duration::from_secs(1);
/// How many records are looked through for the last change of a route's weights.
const RECORDS: u32 = 200;

/// What is known of a route between its runs.
#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    /// Runs up to this time were made or left out.
    until: UnixMillis,
    changed_at: Option<UnixMillis>,
}

/// Makes the runs that are due.
#[derive(Debug)]
pub(crate) struct Scheduler {
    pub(crate) content: watch::Receiver<Option<Snapshot>>,
    pub(crate) leadership: watch::Receiver<Option<Leadership>>,
    pub(crate) source: Source,
    pub(crate) memory: Arc<Mutex<Memory>>,
    pub(crate) node_id: String,
    pub(crate) counts: Counts,
}

impl Scheduler {
    /// Until `stop`. A run that is under way then is dropped: it wrote its weights as a whole, or nothing.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut token = None;
        let mut routes: BTreeMap<RouteId, Progress> = BTreeMap::new();
        let started = clock::now();
        loop {
            let leadership = self.leadership.borrow_and_update().clone();
            let snapshot = self.content.borrow_and_update().clone();
            if let (Some(leadership), Some(snapshot)) = (&leadership, &snapshot) {
                let recommendations = candidates::recommendations(snapshot);
                self.remember(&recommendations);
                if token != Some(leadership.token) {
                    routes = last_changes(leadership).await;
                    token = Some(leadership.token);
                }
                routes.retain(|route, _| recommendations.contains_key(route));
                let due = due(&recommendations, &mut routes, started);
                let made = self.make(due, &routes, leadership, snapshot);
                tokio::select! {
                    () = stop.cancelled() => return,
                    made = made => note(made, &mut routes),
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = self.leadership.changed() => {}
                _ = self.content.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn remember(&self, recommendations: &BTreeMap<RouteId, Recommendation>) {
        let longest = recommendations.values().map(Recommendation::window_s).max();
        if let Some(longest) = longest {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.retain(u64::from(longest) * 1000);
        }
    }

    async fn make(
        &self,
        due: Vec<(Recommendation, UnixMillis)>,
        routes: &BTreeMap<RouteId, Progress>,
        leadership: &Leadership,
        snapshot: &Snapshot,
    ) -> Vec<(RouteId, Ran)> {
        let runs = due.into_iter().map(|(recommendation, due)| async move {
            let route = recommendation.route_id;
            let run = Run {
                recommendation: &recommendation,
                snapshot,
                due,
                source: &self.source,
                node_id: &self.node_id,
                leadership,
                changed_at: routes.get(&route).and_then(|progress| progress.changed_at),
            };
            if !leadership.holds() {
                return None;
            }
            match run.make().await {
                Ok(Some(ran)) => {
                    self.counts.made(ran.state);
                    Some((route, ran))
                }
                Ok(None) => {
                    tracing::debug!(%route, "the run was made by another recommender");
                    None
                }
                Err(error) => {
                    tracing::warn!(%route, %error, "the run could not be made");
                    self.counts.made(RunState::Failed);
                    None
                }
            }
        });
        stream::iter(runs)
            .buffer_unordered(AT_ONCE)
            .filter_map(async |ran| ran)
            .collect()
            .await
    }
}

fn note(made: Vec<(RouteId, Ran)>, routes: &mut BTreeMap<RouteId, Progress>) {
    for (route, ran) in made {
        if let (Some(progress), Some(changed)) = (routes.get_mut(&route), ran.changed_at) {
            progress.changed_at = Some(changed);
        }
    }
}

/// The runs that are due, each with the time it is for. Of several that were missed only the last is made up for.
fn due(
    recommendations: &BTreeMap<RouteId, Recommendation>,
    routes: &mut BTreeMap<RouteId, Progress>,
    started: UnixMillis,
) -> Vec<(Recommendation, UnixMillis)> {
    let now = clock::now();
    let mut found = Vec::new();
    for (route, recommendation) in recommendations {
        let is_new = !routes.contains_key(route);
        let progress = routes.entry(*route).or_default();
        if progress.until.0 == 0 {
            progress.until = now;
        }
        if is_new && recommendation.schedule.is_at_start() {
            found.push((recommendation.clone(), started));
        }
        if let Some(due) = last_due(recommendation, progress.until, now) {
            progress.until = due;
            found.push((recommendation.clone(), due));
        }
    }
    found
}

/// The last time after `until` and not after `now` at which it is due.
fn last_due(recommendation: &Recommendation, until: UnixMillis, now: UnixMillis) -> Option<UnixMillis> {
    let mut last = None;
    let mut next = recommendation.schedule.next_run(until);
    while let Some(due) = next.filter(|due| due.0 <= now.0) {
        last = Some(due);
        next = recommendation.schedule.next_run(due);
    }
    last
}

/// When runs last changed each route's weights, as their records tell; nothing when they cannot be read.
async fn last_changes(leadership: &Leadership) -> BTreeMap<RouteId, Progress> {
    let request = v1::ListRunsRequest {
        route_id: String::new(),
        limit: RECORDS,
    };
    let answer = leadership
        .control_plane
        .recommendation_runs()
        .list_runs(request)
        .await;
    let runs = match answer {
        Ok(answer) => answer.into_inner().runs,
        Err(status) => {
            tracing::warn!(
                reason = status.message(),
                "the records of earlier runs cannot be read"
            );
            Vec::new()
        }
    };
    let mut routes: BTreeMap<RouteId, Progress> = BTreeMap::new();
    for run in runs
        .iter()
        .filter(|run| matches!(run.state(), RunState::Applied | RunState::Approved))
    {
        let finished = run
            .finish_time
            .as_ref()
            .and_then(|time| u64::try_from(time.seconds).ok());
        if let (Ok(route), Some(finished)) = (run.route_id.parse::<RouteId>(), finished) {
            let progress = routes.entry(route).or_default();
            let changed = UnixMillis(finished.saturating_mul(1000));
            progress.changed_at = progress.changed_at.max(Some(changed));
        }
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(text: &str) -> Recommendation {
        Recommendation::new(
            "00000000-0000-4000-8000-000000000001".parse().unwrap(),
            "eth".parse().unwrap(),
            text.parse().unwrap(),
            tyrscale_model::RecommendationStrategy::Balanced,
        )
    }

    #[test]
    fn of_the_runs_that_were_missed_the_last_is_made() {
        let due = |until, now| last_due(&every("@every 10s"), UnixMillis(until), UnixMillis(now));
        assert_eq!(due(100_000, 109_999), None);
        assert_eq!(due(100_000, 110_000), Some(UnixMillis(110_000)));
        assert_eq!(due(100_000, 137_000), Some(UnixMillis(130_000)));
    }
}
