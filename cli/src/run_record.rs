//! The record of a recommendation's run, in words and numbers.

use std::collections::BTreeMap;

use serde::Serialize;
use tyrscale_proto::v1;

use crate::{
    Failure, Output,
    output::{Columns, write_data},
    resource::word::Word,
};

/// What a list of runs shows.
pub(crate) const LIST_COLUMNS: Columns = &[
    "route_id",
    "id",
    "state",
    "rule",
    "moved",
    "weights_revision",
    "reason",
];

/// A run.
#[derive(Debug, Serialize)]
pub(crate) struct RunRecord {
    route_id: String,
    id: String,
    state: String,
    rule: String,
    reason: String,
    strategy: String,
    mode: String,
    source: String,
    node_id: String,
    finish_time: Option<String>,
    config_revision: u64,
    weights_revision: Option<u64>,
    ttl_s: u32,
    decided_by: String,
    /// Points that moved, or would have.
    moved: f64,
    upstreams: Vec<RunUpstream>,
}

#[derive(Debug, Serialize)]
struct RunUpstream {
    upstream: String,
    score: Option<f64>,
    before: f64,
    target: f64,
    after: f64,
    measurements: BTreeMap<String, f64>,
}

impl RunRecord {
    pub(crate) fn from_message(message: v1::RecommendationRun) -> Self {
        let (state, source) = (message.state(), message.source());
        let upstreams: Vec<RunUpstream> = message
            .upstreams
            .into_iter()
            .map(RunUpstream::from_message)
            .collect();
        let moved: f64 = upstreams
            .iter()
            .map(|upstream| (upstream.after - upstream.before).abs())
            .sum();
        Self {
            state: short(state.as_str_name(), "RUN_STATE_"),
            source: short(source.as_str_name(), "MEASUREMENT_SOURCE_"),
            strategy: Word::<v1::RecommendationStrategy>::from_number(message.strategy)
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            mode: Word::<v1::RecommendationMode>::from_number(message.mode)
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            finish_time: message.finish_time.map(|time| time.to_string()),
            weights_revision: Some(message.weights_revision).filter(|revision| *revision > 0),
            route_id: message.route_id,
            id: message.id,
            rule: message.rule,
            reason: message.reason,
            node_id: message.node_id,
            config_revision: message.config_revision,
            ttl_s: message.ttl_s,
            decided_by: message.decided_by,
            moved: rounded(moved / 2.0),
            upstreams,
        }
    }
}

impl RunUpstream {
    fn from_message(message: v1::RunUpstream) -> Self {
        Self {
            upstream: message.upstream_id,
            score: message.score.map(rounded),
            before: rounded(message.weight_before),
            target: rounded(message.weight_target),
            after: rounded(message.weight_after),
            measurements: message
                .measurements
                .into_iter()
                .map(|(name, value)| (name, rounded(value)))
                .collect(),
        }
    }
}

/// The value of an enum as a word.
fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}

/// To four digits behind the point: what people read.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Shows a run: what decided in words, then a line per upstream.
pub(crate) fn explain(run: Option<v1::RecommendationRun>, output: Output) -> Result<(), Failure> {
    let run = run.ok_or_else(|| Failure::Refused("the control plane sent no run".to_owned()))?;
    let record = RunRecord::from_message(run);
    if output != Output::Table {
        return output.write_document(&record);
    }
    write_data(&headline(&record))?;
    output.write_all(
        &record.upstreams,
        &["upstream", "score", "before", "target", "after"],
    )?;
    for upstream in &record.upstreams {
        let measured = upstream
            .measurements
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let measured: Vec<String> = measured.collect();
        let text = if measured.is_empty() {
            "nothing measured".to_owned()
        } else {
            measured.join(" ")
        };
        write_data(&format!("{}  {text}", upstream.upstream))?;
    }
    Ok(())
}

fn headline(record: &RunRecord) -> String {
    let mut lines = vec![
        format!("run {} of route {}: {}", record.id, record.route_id, record.state),
        format!(
            "{} ({}), measured by {}, configuration revision {}, made by {}",
            record.strategy, record.mode, record.source, record.config_revision, record.node_id
        ),
    ];
    if !record.rule.is_empty() {
        lines.push(format!("rule {}: {}", record.rule, record.reason));
    }
    if let Some(revision) = record.weights_revision {
        lines.push(format!(
            "weights written in revision {revision}, for {} s",
            record.ttl_s
        ));
    }
    if !record.decided_by.is_empty() {
        lines.push(format!("decided by {}", record.decided_by));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_in_words() {
        let record = RunRecord::from_message(v1::RecommendationRun {
            route_id: "r".to_owned(),
            id: "t".to_owned(),
            state: v1::RunState::Applied.into(),
            strategy: v1::RecommendationStrategy::Balanced.into(),
            mode: v1::RecommendationMode::Apply.into(),
            source: v1::MeasurementSource::Telemetry.into(),
            node_id: "n".to_owned(),
            rule: "scored".to_owned(),
            reason: "20.0 points move".to_owned(),
            config_revision: 7,
            weights_revision: 3,
            ttl_s: 120,
            upstreams: vec![
                v1::RunUpstream {
                    weight_before: 50.0,
                    weight_after: 70.0,
                    ..v1::RunUpstream::default()
                },
                v1::RunUpstream {
                    weight_before: 50.0,
                    weight_after: 30.0,
                    ..v1::RunUpstream::default()
                },
            ],
            ..v1::RecommendationRun::default()
        });
        assert_eq!(record.moved, 20.0);
        assert_eq!(
            headline(&record),
            "run t of route r: applied\n\
             STRATEGY_BALANCED (apply), measured by telemetry, configuration revision 7, made by n\n\
             rule scored: 20.0 points move\n\
             weights written in revision 3, for 120 s"
        );
    }
}
