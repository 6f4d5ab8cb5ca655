//! One run of a recommendation: measure, score, decide, write, and say why.

use std::{collections::BTreeMap, time::Duration};

use tonic::Code;
use tyrscale_client::{ClientError, ControlPlane};
use tyrscale_model::{Recommendation, RecommendationMode, Snapshot, UnixMillis, UpstreamId};
use tyrscale_proto::v1::{self, RunState};
use tyrscale_scoring::{Measurements, Rule, Scoring, Span, Standing, decide, measure, prior_points, score};

use crate::{
    candidates::{self, Eligible},
    clock,
    leader::Leadership,
    prometheus::PrometheusError,
    record::{Draft, Outcome},
    source::{Source, Subject},
};

/// The shortest time to live of weights that are written.
const MIN_TTL: Duration = Duration::from_secs(120);
/// The longest the control plane takes.
const MAX_TTL: Duration = Duration::from_secs(7 * 24 * 3600);
/// Runs that may fail before weights expire.
const RUNS_OF_TTL: u32 = 3;

/// What a run works on.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) recommendation: &'a Recommendation,
    pub(crate) snapshot: &'a Snapshot,
    /// The time it was due, which names it.
    pub(crate) due: UnixMillis,
    pub(crate) source: &'a Source,
    pub(crate) node_id: &'a str,
    pub(crate) leadership: &'a Leadership,
    /// When the route's weights last changed by a run.
    pub(crate) changed_at: Option<UnixMillis>,
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) state: RunState,
    /// When it changed weights.
    pub(crate) changed_at: Option<UnixMillis>,
}

/// Why a run came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Prometheus(#[from] PrometheusError),
}

impl From<tonic::Status> for RunError {
    fn from(status: tonic::Status) -> Self {
        Self::Client(status.into())
    }
}

/// What counts now: the weights, and how long those that were recommended still hold.
struct Current {
    weights: BTreeMap<UpstreamId, f64>,
    /// Of the recommended weights that count, the one that ends first.
    remaining: Option<Duration>,
}

impl Run<'_> {
    /// Makes the run, unless another recommender has: then there is nothing to tell.
    ///
    /// # Errors
    /// [`RunError`] when the control plane cannot be asked; no weights were written then that no record tells of.
    pub(crate) async fn make(&self) -> Result<Option<Ran>, RunError> {
        let mut draft = Draft::open(self);
        match self.record(&draft).await {
            Ok(()) => {}
            Err(status) if status.code() == Code::AlreadyExists => return Ok(None),
            Err(status) => return Err(status.into()),
        }
        let outcome = match self.decide(&mut draft).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::failed("measurements_unavailable", error.to_string()),
        };
        let changed = outcome.state == RunState::Applied && outcome.changed;
        draft.close(outcome, clock::now());
        self.record(&draft).await?;
        Ok(Some(Ran {
            state: draft.state(),
            changed_at: changed.then(clock::now),
        }))
    }

    async fn record(&self, draft: &Draft) -> Result<(), tonic::Status> {
        let request = v1::RecordRunRequest {
            run: Some(draft.message().clone()),
            fencing_token: self.leadership.token,
        };
        let control_plane = &self.leadership.control_plane;
        control_plane
            .recommendation_runs()
            .record_run(request)
            .await
            .map(|_| ())
    }

    async fn decide(&self, draft: &mut Draft) -> Result<Outcome, RunError> {
        let route = self.recommendation.route_id;
        let eligible = candidates::eligible(self.snapshot, route);
        let current = current(&self.leadership.control_plane, &route.to_string()).await?;
        let subjects: Vec<Subject> = eligible.iter().map(|one| one.subject.clone()).collect();
        let window = u64::from(self.recommendation.window_s()) * 1000;
        let now = clock::now();
        let span = Span {
            from: now.0.saturating_sub(window),
            to: now.0,
        };
        let histories = self.source.histories(route, &subjects, span).await?;
        let measured = self.measure(&eligible, histories, span);
        let scores = self.score(&subjects, &measured, span.to).await?;
        let standings = self.standings(&eligible, &current, &measured, &scores);
        let dwelled = self.changed_at.map(|changed| now.0.saturating_sub(changed.0));
        let decision = decide(&standings, self.recommendation.guards(), dwelled);
        draft.tell(&standings, &measured, &decision);
        let weights: Vec<(UpstreamId, f64)> = standings
            .iter()
            .zip(&decision.moved)
            .map(|(standing, moved)| (standing.id, moved.after))
            .collect();
        let outcome = Outcome::of(&decision, self.recommendation);
        match (outcome.state, self.recommendation.mode) {
            (RunState::Applied, _) => Ok(self.write(outcome, &weights, draft).await),
            (RunState::Held, RecommendationMode::Apply | RecommendationMode::Propose)
                if decision.rule != Rule::NothingMeasured =>
            {
                self.renew(&weights, &current).await;
                Ok(outcome)
            }
            _ => Ok(outcome),
        }
    }

    fn measure(
        &self,
        eligible: &[Eligible],
        histories: Vec<tyrscale_scoring::History>,
        span: Span,
    ) -> Vec<Measurements> {
        let each = eligible.iter().zip(histories);
        let candidates: Vec<_> = each.map(|(one, history)| one.with_history(history)).collect();
        let recommendation = self.recommendation;
        measure(
            &candidates,
            span,
            recommendation.guards(),
            recommendation.parameters().mix,
            recommendation.prior,
        )
    }

    async fn score(
        &self,
        subjects: &[Subject],
        measured: &[Measurements],
        at: u64,
    ) -> Result<Vec<Option<f64>>, RunError> {
        let given = match &self.recommendation.promql {
            Some(promql) => self.source.scores(promql.as_str(), subjects, at).await?,
            None => None,
        };
        let scoring = Scoring {
            strategy: self.recommendation.strategy,
            parameters: self.recommendation.parameters(),
            guards: self.recommendation.guards(),
            expression: self.recommendation.expression.as_ref(),
            given: given.as_ref(),
        };
        let ids: Vec<UpstreamId> = subjects.iter().map(|subject| subject.upstream).collect();
        Ok(score(&scoring, &ids, measured))
    }

    fn standings(
        &self,
        eligible: &[Eligible],
        current: &Current,
        measured: &[Measurements],
        scores: &[Option<f64>],
    ) -> Vec<Standing> {
        let bare: Vec<_> = eligible
            .iter()
            .map(|one| one.with_history(Default::default()))
            .collect();
        let priors = prior_points(&bare, self.recommendation.prior);
        let points = candidates::points(eligible, &current.weights);
        debug_assert_eq!(measured.len(), eligible.len());
        let each = eligible.iter().zip(priors).zip(points).zip(scores);
        each.map(|(((one, prior), current), score)| Standing {
            id: one.subject.upstream,
            tier: one.tier,
            prior,
            current,
            score: *score,
        })
        .collect()
    }

    /// How long weights of this run live: a few more runs.
    pub(crate) fn ttl(&self) -> Duration {
        let next = self.recommendation.schedule.next_run(self.due);
        let gap = next.map_or(0, |next| next.0.saturating_sub(self.due.0));
        Duration::from_millis(gap)
            .saturating_mul(RUNS_OF_TTL)
            .clamp(MIN_TTL, MAX_TTL)
    }

    async fn set(
        &self,
        weights: &[(UpstreamId, f64)],
        reason: &str,
    ) -> Result<v1::SetWeightsResponse, tonic::Status> {
        let ttl = prost_types::Duration::try_from(self.ttl()).ok();
        let weight = |(id, weight): &(UpstreamId, f64)| v1::Weight {
            upstream_id: id.to_string(),
            weight: weight.clamp(0.0, 100.0),
            ttl,
            ..v1::Weight::default()
        };
        let request = v1::SetWeightsRequest {
            route_id: self.recommendation.route_id.to_string(),
            weights: weights.iter().map(weight).collect(),
            fencing_token: Some(self.leadership.token),
            based_on_config_revision: self.snapshot.revision().0,
            reason: reason.to_owned(),
            dry_run: false,
        };
        let mut client = self.leadership.control_plane.recommendations();
        client.set_weights(request).await.map(tonic::Response::into_inner)
    }

    /// Writes the weights. What stands against it is told in the record; an operator's change in between is one.
    async fn write(&self, outcome: Outcome, weights: &[(UpstreamId, f64)], draft: &mut Draft) -> Outcome {
        match self.set(weights, outcome.reason()).await {
            Ok(answer) => {
                draft.written(&answer);
                outcome
            }
            Err(status) => {
                let rule = match status.code() {
                    Code::Aborted => "overtaken",
                    Code::ResourceExhausted => "set_a_moment_ago",
                    _ => "write_refused",
                };
                tracing::info!(
                    route = %self.recommendation.route_id,
                    rule,
                    reason = status.message(),
                    "weights were not written"
                );
                Outcome::failed(rule, status.message().to_owned())
            }
        }
    }

    /// Keeps weights that still hold from expiring before the next runs.
    async fn renew(&self, weights: &[(UpstreamId, f64)], current: &Current) {
        let is_due = current
            .remaining
            .is_some_and(|remaining| remaining < self.ttl().mul_f64(0.6));
        if is_due && let Err(status) = self.set(weights, "renewed").await {
            tracing::info!(
                route = %self.recommendation.route_id,
                reason = status.message(),
                "weights were not renewed"
            );
        }
    }
}

async fn current(control_plane: &ControlPlane, route_id: &str) -> Result<Current, ClientError> {
    let request = v1::ListWeightsRequest {
        route_id: route_id.to_owned(),
    };
    let answer = control_plane
        .recommendations()
        .list_weights(request)
        .await?
        .into_inner();
    let weight = |weight: &v1::EffectiveWeight| Some((weight.upstream_id.parse().ok()?, weight.effective));
    let recommended = answer
        .weights
        .iter()
        .filter(|weight| weight.standing() == v1::WeightStanding::Recommended);
    let remaining = recommended
        .filter_map(|weight| weight.remaining)
        .filter_map(|remaining| Duration::try_from(remaining).ok())
        .min();
    Ok(Current {
        weights: answer.weights.iter().filter_map(weight).collect(),
        remaining,
    })
}

#[cfg(test)]
mod tests;
