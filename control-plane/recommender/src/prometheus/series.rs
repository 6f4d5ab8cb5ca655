//! Series of Prometheus as histories. The names are those of docs/metrics.md.

use std::collections::BTreeMap;

use tyrscale_model::{RouteId, RpcId, UpstreamId};
use tyrscale_scoring::{Distribution, HeightPoint, History, TrafficPoint, TrafficSeries};

use super::{Sample, Series};
use crate::source::Subject;

const ATTEMPTS: &str = "tyrscale_upstream_attempts_total";
const LATENCY_SUM: &str = "upstream_duration_seconds_sum";
const LATENCY_COUNT: &str = "upstream_duration_seconds_count";
const LATENCY_BUCKET: &str = "upstream_duration_seconds_bucket";
const UPSTREAM_HEIGHT: &str = "tyrscale_upstream_height";
const RPC_HEIGHT: &str = "tyrscale_rpc_block_height";
const RPC_HEIGHT_AGE: &str = "tyrscale_rpc_block_height_age_seconds";

/// What to ask for: the series of a route's upstreams, and those of their rpcs.
pub(super) fn selectors(route: RouteId, subjects: &[Subject]) -> Vec<String> {
    let names = [
        ATTEMPTS,
        LATENCY_SUM,
        LATENCY_COUNT,
        LATENCY_BUCKET,
        UPSTREAM_HEIGHT,
    ];
    let mut selectors = vec![format!(
        "{{__name__=~\"{}\",route_uuid=\"{route}\"}}",
        names.join("|")
    )];
    let rpcs: Vec<String> = subjects
        .iter()
        .filter_map(|subject| subject.rpc.as_ref().map(ToString::to_string))
        .collect();
    if !rpcs.is_empty() {
        let names = [RPC_HEIGHT, RPC_HEIGHT_AGE].join("|");
        selectors.push(format!(
            "{{__name__=~\"{names}\",rpc_uuid=~\"{}\"}}",
            rpcs.join("|")
        ));
    }
    selectors
}

/// The labels that tell processes apart, not what they count.
const INSTANCE: [&str; 2] = ["job", "instance"];

fn label<'a>(metric: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    metric.get(name).map_or("", String::as_str)
}

fn instance(metric: &BTreeMap<String, String>) -> String {
    INSTANCE.map(|name| label(metric, name)).join("|")
}

/// The points of a series as milliseconds and numbers.
fn points(series: &Series) -> impl Iterator<Item = (u64, f64)> {
    let read = |(at, value): &(f64, String)| {
        let value: f64 = value.parse().ok()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time is positive and far below 2^63 milliseconds"
        )]
        let at = (at * 1000.0).round().max(0.0) as u64;
        value.is_finite().then_some((at, value))
    };
    series.values.iter().filter_map(read)
}

/// The counters of one process at each time it was scraped.
type Counters = BTreeMap<u64, TrafficPoint>;

fn add_counter(counters: &mut Counters, series: &Series) {
    let (name, outcome) = (
        label(&series.metric, "__name__"),
        label(&series.metric, "outcome"),
    );
    for (at, value) in points(series) {
        let point = counters.entry(at).or_insert_with(|| TrafficPoint {
            at,
            ..TrafficPoint::default()
        });
        match (name, outcome) {
            (ATTEMPTS, "answered") => point.answered += value,
            (ATTEMPTS, outcome) => {
                point.failures += value;
                if outcome == "rate_limited" {
                    point.throttled += value;
                }
            }
            (LATENCY_SUM, _) => point.latency_sum += value,
            (LATENCY_COUNT, _) => point.latency_count += value,
            (LATENCY_BUCKET, _) => {
                if let Some(bound) = bound(label(&series.metric, "le")) {
                    point.latency.buckets.insert(bound, value);
                }
            }
            _ => {}
        }
    }
}

/// The upper bound of a bucket, microseconds; none for the last, which has none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bound is positive, and is cut to what fits"
)]
fn bound(le: &str) -> Option<u64> {
    let seconds: f64 = le.parse().ok()?;
    seconds
        .is_finite()
        .then(|| (seconds * 1e6).round().max(0.0) as u64)
}

/// Prometheus counts in a bucket all that are below its bound; here each counts in its own only.
fn apart(distribution: &mut Distribution) {
    let mut below = 0.0;
    for count in distribution.buckets.values_mut() {
        let own = (*count - below).max(0.0);
        below = *count;
        *count = own;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a height is cut to what fits"
)]
fn height(value: f64) -> u64 {
    value.max(0.0) as u64
}

/// The histories of the subjects, in their order.
pub(super) fn histories(found: &[Series], subjects: &[Subject]) -> Vec<History> {
    let rpc_heights = rpc_heights(found);
    subjects
        .iter()
        .map(|subject| {
            let own = subject.upstream.to_string();
            let own: Vec<&Series> = found
                .iter()
                .filter(|series| label(&series.metric, "upstream_uuid") == own)
                .collect();
            let read = subject.rpc.and_then(|rpc| rpc_heights.get(&rpc));
            History {
                heights: read.cloned().unwrap_or_else(|| upstream_heights(&own)),
                traffic: traffic(&own),
            }
        })
        .collect()
}

fn traffic(own: &[&Series]) -> Vec<TrafficSeries> {
    let mut processes: BTreeMap<String, Counters> = BTreeMap::new();
    for series in own
        .iter()
        .filter(|series| label(&series.metric, "__name__") != UPSTREAM_HEIGHT)
    {
        add_counter(processes.entry(instance(&series.metric)).or_default(), series);
    }
    let series = |counters: Counters| {
        let mut points: Vec<TrafficPoint> = counters.into_values().collect();
        points.iter_mut().for_each(|point| apart(&mut point.latency));
        TrafficSeries(points)
    };
    processes.into_values().map(series).collect()
}

/// The highest that any gateway saw at each time.
fn upstream_heights(own: &[&Series]) -> Vec<HeightPoint> {
    let mut heights: BTreeMap<u64, u64> = BTreeMap::new();
    for series in own
        .iter()
        .filter(|series| label(&series.metric, "__name__") == UPSTREAM_HEIGHT)
    {
        for (at, value) in points(series) {
            let highest = heights.entry(at).or_default();
            *highest = (*highest).max(height(value));
        }
    }
    heights
        .into_iter()
        .map(|(at, height)| HeightPoint { at, height })
        .collect()
}

/// The heights that exporters read, at the times they were read.
fn rpc_heights(found: &[Series]) -> BTreeMap<RpcId, Vec<HeightPoint>> {
    let of = |name: &'static str| {
        found
            .iter()
            .filter(move |series| label(&series.metric, "__name__") == name)
    };
    let mut ages: BTreeMap<(String, String, u64), f64> = BTreeMap::new();
    for series in of(RPC_HEIGHT_AGE) {
        let rpc = label(&series.metric, "rpc_uuid").to_owned();
        ages.extend(points(series).map(|(at, age)| ((instance(&series.metric), rpc.clone(), at), age)));
    }
    let mut heights: BTreeMap<RpcId, Vec<HeightPoint>> = BTreeMap::new();
    for series in of(RPC_HEIGHT) {
        let rpc = label(&series.metric, "rpc_uuid").to_owned();
        let Ok(id) = rpc.parse::<RpcId>() else { continue };
        let process = instance(&series.metric);
        let read = points(series).map(|(at, value)| {
            let age = ages
                .get(&(process.clone(), rpc.clone(), at))
                .copied()
                .unwrap_or_default();
            HeightPoint {
                at: at.saturating_sub(height(age * 1000.0)),
                height: height(value),
            }
        });
        heights.entry(id).or_default().extend(read);
    }
    for points in heights.values_mut() {
        points.sort_unstable_by_key(|point| (point.at, point.height));
        points.dedup();
    }
    heights
}

/// The values of samples by the upstream they are of.
pub(super) fn scores(samples: &[Sample], subjects: &[Subject]) -> BTreeMap<UpstreamId, f64> {
    let value = |subject: &Subject| {
        let own = subject.upstream.to_string();
        let rpc = subject.rpc.as_ref().map(ToString::to_string);
        let is_of = |sample: &&Sample| {
            label(&sample.metric, "upstream_uuid") == own
                || rpc
                    .as_deref()
                    .is_some_and(|rpc| label(&sample.metric, "rpc_uuid") == rpc)
        };
        let sample = samples.iter().find(is_of)?;
        Some((subject.upstream, sample.value.1.parse().ok()?))
    };
    subjects.iter().filter_map(value).collect()
}
