//! What a run leaves behind: numbers and words.

use tyrscale_model::{Recommendation, RecommendationMode, UnixMillis, wire};
use tyrscale_proto::v1::{self, RunState};
use tyrscale_scoring::{Decision, Measurements, Rule, Standing};

use crate::{clock, run::Run};

/// What is to be done by a decision.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) state: RunState,
    /// Whether weights change by it.
    pub(crate) changed: bool,
    rule: String,
    reason: String,
}

impl Outcome {
    pub(crate) fn failed(rule: &str, reason: String) -> Self {
        Self {
            state: RunState::Failed,
            changed: false,
            rule: rule.to_owned(),
            reason,
        }
    }

    /// What a decision means for a recommendation.
    pub(crate) fn of(decision: &Decision, recommendation: &Recommendation) -> Self {
        let changed = decision.rule.changes();
        let state = match (changed, recommendation.mode) {
            (false, _) => RunState::Held,
            (true, RecommendationMode::Apply) => RunState::Applied,
            (true, RecommendationMode::Propose) => RunState::Proposed,
            (true, RecommendationMode::Shadow) => RunState::Shadowed,
        };
        Self {
            state,
            changed,
            rule: decision.rule.as_str().to_owned(),
            reason: words(decision, recommendation),
        }
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }
}

/// A decision in words.
fn words(decision: &Decision, recommendation: &Recommendation) -> String {
    let guards = recommendation.guards();
    let distance = decision.distance;
    match decision.rule {
        Rule::NothingToChoose => "no two upstreams of a tier may get a weight".to_owned(),
        Rule::NothingMeasured => {
            let bare = recommendation.strategy == tyrscale_model::RecommendationStrategy::Custom
                && recommendation.expression.is_none()
                && recommendation.promql.is_none();
            let why = if bare {
                "it has no expression"
            } else {
                "measurements are missing, stale or too few"
            };
            format!("no upstream could be scored: {why}; weights stay")
        }
        Rule::FailOpen => "every upstream looks bad: none is believed, back to the prior".to_owned(),
        Rule::WithinHysteresis => format!(
            "{distance:.1} points would move, fewer than the {} that are worth a change",
            guards.hysteresis()
        ),
        Rule::Dwelling => format!(
            "{distance:.1} points would move, but weights changed less than {} s ago",
            guards.min_dwell_ms() / 1000
        ),
        Rule::StepLimited => format!(
            "{distance:.1} points are to move; no weight by more than {} in one run",
            guards.max_step()
        ),
        Rule::Scored => format!("{distance:.1} points move"),
    }
}

/// A record that is being made.
#[derive(Debug)]
pub(crate) struct Draft {
    message: v1::RecommendationRun,
}

impl Draft {
    /// That of a run that begins.
    pub(crate) fn open(run: &Run<'_>) -> Self {
        let recommendation = run.recommendation;
        let resource = tyrscale_model::Resource::Recommendation(recommendation.clone());
        let (strategy, mode) = match wire::resource_to_wire(&resource, wire::Exposure::Masked).resource {
            Some(v1::resource::Resource::Recommendation(message)) => (message.strategy, message.mode),
            _ => (0, 0),
        };
        Self {
            message: v1::RecommendationRun {
                route_id: recommendation.route_id.to_string(),
                id: clock::text(run.due),
                node_id: run.node_id.to_owned(),
                strategy,
                mode,
                source: run.source.to_wire().into(),
                state: RunState::Open.into(),
                config_revision: run.snapshot.revision().0,
                ttl_s: u32::try_from(run.ttl().as_secs()).unwrap_or(u32::MAX),
                ..v1::RecommendationRun::default()
            },
        }
    }

    pub(crate) const fn message(&self) -> &v1::RecommendationRun {
        &self.message
    }

    pub(crate) fn state(&self) -> RunState {
        self.message.state()
    }

    /// Notes what was seen and decided of each upstream.
    pub(crate) fn tell(&mut self, standings: &[Standing], measured: &[Measurements], decision: &Decision) {
        let each = standings.iter().zip(measured).zip(&decision.moved);
        let told = each.map(|((standing, measured), moved)| v1::RunUpstream {
            upstream_id: standing.id.to_string(),
            measurements: measured
                .0
                .iter()
                .map(|(measure, value)| (measure.as_str().to_owned(), *value))
                .collect(),
            score: standing.score,
            weight_before: standing.current,
            weight_target: moved.target,
            weight_after: moved.after,
        });
        self.message.upstreams = told.collect();
    }

    /// Notes what was written, which may be less than was asked for.
    pub(crate) fn written(&mut self, answer: &v1::SetWeightsResponse) {
        self.message.weights_revision = answer.version.as_ref().map_or(0, |version| version.revision);
        for weight in &answer.weights {
            let of = |upstream: &&mut v1::RunUpstream| upstream.upstream_id == weight.upstream_id;
            if let Some(upstream) = self.message.upstreams.iter_mut().find(of) {
                upstream.weight_after = weight.weight;
            }
        }
    }

    pub(crate) fn close(&mut self, outcome: Outcome, now: UnixMillis) {
        self.message.state = outcome.state.into();
        self.message.rule = outcome.rule;
        self.message.reason = outcome.reason;
        self.message.finish_time = Some(wire::timestamp_to_wire(now));
        if outcome.state == RunState::Failed {
            for upstream in &mut self.message.upstreams {
                upstream.weight_after = upstream.weight_before;
            }
        }
    }
}
