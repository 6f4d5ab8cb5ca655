use std::time::Duration;

use super::*;

const NOW: UnixMillis = UnixMillis(1_000_000);

fn age(milliseconds: u64) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(Duration::from_millis(milliseconds)).ok()
}

fn upstream(answered: u64, height: u64) -> v1::Telemetry {
    v1::Telemetry {
        telemetry: Some(Known::Upstream(v1::UpstreamTelemetry {
            upstream_id: subject(None).upstream.to_string(),
            answered,
            failures: [("timeout".to_owned(), 2), ("rate_limited".to_owned(), 3)].into(),
            latency: Some(v1::LatencyHistogram {
                scale: 0,
                offset: -3,
                counts: vec![4, 0, 1],
                zero: 1,
                sum_seconds: 1.5,
            }),
            block_height: Some(height),
            height_age: age(500),
            ..v1::UpstreamTelemetry::default()
        })),
    }
}

fn rpc(height: u64, age_ms: u64) -> v1::Telemetry {
    v1::Telemetry {
        telemetry: Some(Known::Rpc(v1::RpcTelemetry {
            sample: Some(v1::RpcSample {
                rpc_id: id(2),
                block_height: Some(height),
                height_age: age(age_ms),
                ..v1::RpcSample::default()
            }),
            age: age(1000),
            ..v1::RpcTelemetry::default()
        })),
    }
}

fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn subject(rpc: Option<u32>) -> Subject {
    Subject {
        upstream: id(1).parse().unwrap(),
        rpc: rpc.map(|number| id(number).parse().unwrap()),
    }
}

#[test]
fn what_is_told_becomes_counters_and_heights_at_their_times() {
    let mut memory = Memory::default();
    memory.add(&[upstream(10, 7), rpc(9, 2000)], NOW);
    let history = memory.history(&subject(None));
    assert_eq!(
        history.heights,
        [HeightPoint {
            at: 999_500,
            height: 7
        }]
    );
    let point = &history.traffic[0].0[0];
    assert_eq!(
        (point.answered, point.failures, point.throttled),
        (10.0, 5.0, 3.0)
    );
    assert_eq!((point.latency_sum, point.latency_count), (1.5, 6.0));
    let bounds: Vec<_> = point
        .latency
        .buckets
        .iter()
        .map(|(bound, count)| (*bound, *count))
        .collect();
    assert_eq!(bounds, [(0, 1.0), (250_000, 4.0), (1_000_000, 1.0)]);
    let history = memory.history(&subject(Some(2)));
    assert_eq!(
        history.heights,
        [HeightPoint {
            at: 997_000,
            height: 9
        }],
        "what exporters read counts"
    );
}

#[test]
fn memory_is_bounded_and_forgets_what_is_told_no_more() {
    let mut memory = Memory::default();
    memory.retain(60_000);
    for second in 0..10_000_u64 {
        memory.add(&[upstream(second, second)], UnixMillis(NOW.0 + second * 50));
    }
    let history = memory.history(&subject(None));
    let kept = history.traffic[0].0.len();
    assert!(kept as u64 <= MAX_POINTS * (FORGET + 1) && kept > 100, "{kept}");
    let times: Vec<u64> = history.heights.iter().map(|point| point.at).collect();
    assert!(times.is_sorted());
    memory.add(&[], UnixMillis(NOW.0 + 10_000 * 50 + 121_000));
    assert_eq!(memory.history(&subject(None)), History::default());
}
