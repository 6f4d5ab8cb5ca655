//! What a node reports, checked.

use std::{collections::BTreeMap, time::Duration};

use tonic::Status;
use tyrscale_model::{LatencyHistogram, RouteId, RpcId, Traffic, UpstreamId};
use tyrscale_proto::v1;

/// The most samples of a report, whatever was asked for.
const MAX_SAMPLES: usize = 20_000;
/// The most classes or reasons of one sample.
const MAX_WORDS: usize = 64;
/// The longest class or reason, in bytes.
const MAX_WORD: usize = 64;
/// The longest id of a node or a boot, in bytes.
const MAX_ID: usize = 128;

/// One run of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// The node's id.
    pub node: String,
    /// Of this run.
    pub boot: String,
}

/// A report that keeps the rules.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) process: Process,
    pub(super) sequence: u64,
    pub(super) uptime: Duration,
    /// Whether upstreams were left out for want of room.
    pub(super) is_partial: bool,
    pub(super) upstreams: BTreeMap<UpstreamId, UpstreamReport>,
    pub(super) rpcs: BTreeMap<RpcId, v1::RpcSample>,
}

/// What a gateway sees of an upstream.
#[derive(Debug, Clone)]
pub(super) struct UpstreamReport {
    pub(super) route: RouteId,
    pub(super) traffic: Traffic,
    pub(super) in_flight: u32,
    pub(super) is_healthy: bool,
    pub(super) is_breaker_closed: bool,
    /// The height of its head, and how old that was when it was reported.
    pub(super) head: Option<(u64, Duration)>,
}

/// Reads a report.
///
/// # Errors
/// `INVALID_ARGUMENT` naming the field and the rule.
pub(super) fn read(message: v1::StreamTelemetryRequest) -> Result<Report, Status> {
    let process = Process {
        node: message.node_id,
        boot: message.boot_id,
    };
    check_id("node_id", &process.node)?;
    check_id("boot_id", &process.boot)?;
    let samples = message.upstreams.len().saturating_add(message.rpcs.len());
    if samples > MAX_SAMPLES {
        return Err(invalid(format!(
            "a report may hold at most {MAX_SAMPLES} samples"
        )));
    }
    let upstreams = message.upstreams.into_iter().map(upstream);
    let rpcs = message.rpcs.into_iter().map(rpc);
    Ok(Report {
        process,
        sequence: message.sequence,
        uptime: duration(message.uptime.as_ref()).unwrap_or_default(),
        is_partial: message.samples_dropped > 0,
        upstreams: upstreams.collect::<Result<_, _>>()?,
        rpcs: rpcs.collect::<Result<_, _>>()?,
    })
}

fn upstream(sample: v1::UpstreamSample) -> Result<(UpstreamId, UpstreamReport), Status> {
    let breaker = sample.breaker();
    let id = parse("upstreams.upstream_id", &sample.upstream_id)?;
    check_words("upstreams.failures", &sample.failures)?;
    let failures = sample.failures.into_iter();
    let report = UpstreamReport {
        route: parse("upstreams.route_id", &sample.route_id)?,
        traffic: Traffic {
            requests: sample.requests,
            answered: sample.answered,
            failures: failures.map(|(class, count)| (class.into(), count)).collect(),
            latency: latency("upstreams.latency", sample.latency.as_ref())?,
        },
        in_flight: sample.in_flight,
        is_healthy: sample.healthy,
        is_breaker_closed: breaker == v1::BreakerState::Closed,
        head: sample
            .block_height
            .map(|height| (height, duration(sample.height_age.as_ref()).unwrap_or_default())),
    };
    Ok((id, report))
}

fn rpc(sample: v1::RpcSample) -> Result<(RpcId, v1::RpcSample), Status> {
    let id = parse("rpcs.rpc_id", &sample.rpc_id)?;
    latency("rpcs.latency", sample.latency.as_ref())?;
    if sample.collectors.len() > MAX_WORDS {
        return Err(invalid(format!("rpcs.collectors may hold at most {MAX_WORDS}")));
    }
    for collector in &sample.collectors {
        check_words("rpcs.collectors.failures", &collector.failures)?;
    }
    Ok((id, sample))
}

fn latency(field: &str, message: Option<&v1::LatencyHistogram>) -> Result<LatencyHistogram, Status> {
    let Some(message) = message else {
        return Ok(LatencyHistogram::default());
    };
    LatencyHistogram::from_wire(message)
        .ok_or_else(|| invalid(format!("{field} breaks the rules of histograms")))
}

fn parse<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, Status> {
    text.parse()
        .map_err(|_| invalid(format!("{field} must be a lower-case UUID")))
}

fn check_id(field: &str, id: &str) -> Result<(), Status> {
    let is_id = (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    if is_id {
        return Ok(());
    }
    Err(invalid(format!(
        "{field} must be 1 to {MAX_ID} printable ASCII characters without blanks"
    )))
}

fn check_words(field: &str, counts: &BTreeMap<String, u64>) -> Result<(), Status> {
    let is_word = |word: &String| {
        (1..=MAX_WORD).contains(&word.len())
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    if counts.len() <= MAX_WORDS && counts.keys().all(is_word) {
        return Ok(());
    }
    Err(invalid(format!(
        "{field} may name at most {MAX_WORDS} words of at most {MAX_WORD} of a-z, 0-9 and _"
    )))
}

/// A duration that is not negative.
pub(super) fn duration(message: Option<&prost_types::Duration>) -> Option<Duration> {
    Duration::try_from(*message?).ok()
}

fn invalid(message: String) -> Status {
    Status::invalid_argument(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000-0000-4000-8000-000000000001";

    fn report() -> v1::StreamTelemetryRequest {
        v1::StreamTelemetryRequest {
            node_id: "gw-1".to_owned(),
            boot_id: "b".to_owned(),
            upstreams: vec![v1::UpstreamSample {
                upstream_id: ID.to_owned(),
                route_id: ID.to_owned(),
                ..v1::UpstreamSample::default()
            }],
            rpcs: vec![v1::RpcSample {
                rpc_id: ID.to_owned(),
                ..v1::RpcSample::default()
            }],
            ..v1::StreamTelemetryRequest::default()
        }
    }

    #[test]
    fn a_broken_rule_is_named_with_its_field() {
        type Edit = fn(&mut v1::StreamTelemetryRequest);
        let cases: [(Edit, &str); 6] = [
            (|it| it.node_id.clear(), "node_id"),
            (|it| it.boot_id = "a b".to_owned(), "boot_id"),
            (
                |it| it.upstreams[0].upstream_id = "x".to_owned(),
                "upstreams.upstream_id",
            ),
            (
                |it| {
                    it.upstreams[0].failures.insert("https://key".to_owned(), 1);
                },
                "upstreams.failures",
            ),
            (
                |it| {
                    it.rpcs[0].latency = Some(v1::LatencyHistogram {
                        scale: 99,
                        ..v1::LatencyHistogram::default()
                    });
                },
                "rpcs.latency",
            ),
            (
                |it| it.rpcs = vec![v1::RpcSample::default(); MAX_SAMPLES + 1],
                "at most",
            ),
        ];
        assert!(read(report()).is_ok());
        for (edit, words) in cases {
            let mut message = report();
            edit(&mut message);
            let refusal = read(message).unwrap_err();
            assert_eq!(refusal.code(), tonic::Code::InvalidArgument);
            assert!(refusal.message().contains(words), "{}", refusal.message());
            assert!(!refusal.message().contains("key"));
        }
    }
}
