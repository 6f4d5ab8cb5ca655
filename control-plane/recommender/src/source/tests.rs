//! The same history, told by telemetry and by Prometheus, gives the same scores.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tyrscale_model::{
    CallMix, Guards, Parameters, RecommendationPrior, RecommendationStrategy as Strategy_, UnixMillis,
};
use tyrscale_proto::v1::telemetry::Telemetry as Known;
use tyrscale_scoring::{Candidate, Scoring, measure, score};

use super::*;
use crate::prometheus::PrometheusArgs;

const BEGIN: u64 = 1_700_000_000_000;
const SPAN: Span = Span {
    from: BEGIN,
    to: BEGIN + 60_000,
};
const ROUTE: &str = "00000000-0000-4000-8000-0000000000aa";

fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// What an upstream did in each second: answered, failed, throttled, milliseconds of all answers, blocks.
type Seconds = Vec<(u32, u32, u32, u32, u32)>;

/// The counters of an upstream after each second.
#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    answered: u64,
    timeouts: u64,
    throttled: u64,
    sum_ms: u64,
    height: u64,
}

fn counters(seconds: &Seconds) -> Vec<Counters> {
    let mut all = vec![Counters {
        height: 1000,
        ..Counters::default()
    }];
    for (answered, timeouts, throttled, sum_ms, blocks) in seconds {
        let last = all.last().copied().unwrap_or_default();
        all.push(Counters {
            answered: last.answered + u64::from(*answered),
            timeouts: last.timeouts + u64::from(*timeouts),
            throttled: last.throttled + u64::from(*throttled),
            sum_ms: last.sum_ms + u64::from(*answered) * u64::from(*sum_ms),
            height: last.height + u64::from(*blocks),
        });
    }
    all
}

fn subjects(count: usize) -> Vec<Subject> {
    let subject = |number| Subject {
        upstream: id(number).parse().unwrap(),
        rpc: Some(id(100 + number).parse().unwrap()),
    };
    (0..count).map(subject).collect()
}

/// As the control plane tells it, once a second.
fn remembered(nodes: &[Vec<Counters>]) -> Source {
    let mut memory = Memory::default();
    for second in 0..nodes[0].len() {
        let told = nodes
            .iter()
            .enumerate()
            .flat_map(|(number, node)| tell(number, node[second]));
        let told: Vec<v1::Telemetry> = told
            .map(|known| v1::Telemetry {
                telemetry: Some(known),
            })
            .collect();
        memory.add(&told, UnixMillis(BEGIN + second as u64 * 1000));
    }
    Source::Telemetry(Arc::new(Mutex::new(memory)))
}

fn tell(number: usize, counters: Counters) -> [Known; 2] {
    let upstream = v1::UpstreamTelemetry {
        upstream_id: id(number),
        answered: counters.answered,
        failures: [
            ("timeout".to_owned(), counters.timeouts),
            ("rate_limited".to_owned(), counters.throttled),
        ]
        .into(),
        latency: Some(v1::LatencyHistogram {
            counts: vec![counters.answered],
            sum_seconds: counters.sum_ms as f64 / 1000.0,
            ..v1::LatencyHistogram::default()
        }),
        ..v1::UpstreamTelemetry::default()
    };
    let rpc = v1::RpcTelemetry {
        sample: Some(v1::RpcSample {
            rpc_id: id(100 + number),
            block_height: Some(counters.height),
            height_age: prost_types::Duration::try_from(Duration::from_millis(500)).ok(),
            ..v1::RpcSample::default()
        }),
        ..v1::RpcTelemetry::default()
    };
    [Known::Upstream(upstream), Known::Rpc(rpc)]
}

/// As Prometheus answers a range query of one point a second.
fn matrix(nodes: &[Vec<Counters>]) -> Value {
    let mut result = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let mut series = |labels: Value, of: &dyn Fn(&Counters) -> f64| {
            let mut metric = labels;
            metric["job"] = json!("gateway");
            metric["instance"] = json!("a:1");
            let value = |(second, counters): (usize, &Counters)| {
                json!([BEGIN / 1000 + second as u64, of(counters).to_string()])
            };
            let values: Vec<Value> = node.iter().enumerate().map(value).collect();
            result.push(json!({"metric": metric, "values": values}));
        };
        let upstream = id(number);
        for (outcome, of) in [
            (
                "answered",
                (|counters| counters.answered as f64) as fn(&Counters) -> f64,
            ),
            ("timeout", |counters| counters.timeouts as f64),
            ("rate_limited", |counters| counters.throttled as f64),
        ] {
            let labels = json!({"__name__": "tyrscale_upstream_attempts_total", "outcome": outcome, "upstream_uuid": upstream});
            series(labels, &of);
        }
        let named =
            |name: &str| json!({"__name__": name, "upstream_uuid": upstream, "upstream_url": "http://***"});
        series(named("upstream_duration_seconds_sum"), &|counters| {
            counters.sum_ms as f64 / 1000.0
        });
        series(named("upstream_duration_seconds_count"), &|counters| {
            counters.answered as f64
        });
        let rpc = |name: &str| json!({"__name__": name, "rpc_uuid": id(100 + number)});
        series(rpc("tyrscale_rpc_block_height"), &|counters| {
            counters.height as f64
        });
        series(rpc("tyrscale_rpc_block_height_age_seconds"), &|_| 0.5);
    }
    json!({"status": "success", "data": {"resultType": "matrix", "result": result}})
}

/// The series of an answer that have a label.
fn of_label(answer: &Value, label: &str) -> Value {
    let mut answer = answer.clone();
    if let Some(result) = answer["data"]["result"].as_array_mut() {
        result.retain(|series| series["metric"].get(label).is_some());
    }
    answer
}

/// Answers every request with one body; gives its URL and what it is asked.
async fn serve(status: u16, body: String) -> (String, tokio::sync::mpsc::Receiver<String>) {
    serve_in_turn(status, vec![body]).await
}

/// The same with several bodies, one after the other and from the first again.
async fn serve_in_turn(status: u16, bodies: Vec<String>) -> (String, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/prefix/", listener.local_addr().unwrap());
    let (asked, requests) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        for body in bodies.iter().cycle() {
            let Ok((mut stream, _)) = listener.accept().await else {
                return;
            };
            let mut request = vec![0; 65_536];
            let read = stream.read(&mut request).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&request[..read]).into_owned();
            asked.try_send(text).unwrap_or_default();
            let head = format!(
                "HTTP/1.1 {status} OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap_or_default();
            stream.write_all(body.as_bytes()).await.unwrap_or_default();
        }
    });
    (url, requests)
}

fn prometheus(url: &str) -> Box<Prometheus> {
    let args = PrometheusArgs {
        prometheus_url: Some(url.parse().unwrap()),
        prometheus_credentials: Some("bearer canary".parse().unwrap()),
        prometheus_timeout: 5,
        ..PrometheusArgs::default()
    };
    Box::new(Prometheus::new(&args).unwrap().unwrap())
}

async fn scores(source: &Source, count: usize) -> Vec<Vec<Option<f64>>> {
    let subjects = subjects(count);
    let histories = source
        .histories(ROUTE.parse().unwrap(), &subjects, SPAN)
        .await
        .unwrap();
    let candidates: Vec<Candidate> = subjects
        .iter()
        .zip(histories)
        .map(|(subject, history)| Candidate {
            id: subject.upstream,
            tier: 0,
            operator_weight: 1.0,
            prices: None,
            history,
        })
        .collect();
    let guards = Guards::default();
    let measured = measure(
        &candidates,
        SPAN,
        guards,
        CallMix::default(),
        RecommendationPrior::Even,
    );
    let ids: Vec<UpstreamId> = candidates.iter().map(|candidate| candidate.id).collect();
    let by = |strategy| {
        let scoring = Scoring {
            strategy,
            parameters: Parameters::default(),
            guards,
            expression: None,
            given: None,
        };
        score(&scoring, &ids, &measured)
    };
    [
        Strategy_::HighestBlock,
        Strategy_::AreaUnderTheCurve,
        Strategy_::Latency,
        Strategy_::ErrorRate,
        Strategy_::RateLimit,
        Strategy_::Balanced,
        Strategy_::Cost,
    ]
    .map(by)
    .to_vec()
}

fn any_node() -> impl Strategy<Value = Seconds> {
    proptest::collection::vec((0u32..20, 0u32..3, 0u32..3, 1u32..500, 0u32..2), 60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn both_sources_give_the_same_scores(nodes in proptest::collection::vec(any_node(), 2..4)) {
        let nodes: Vec<Vec<Counters>> = nodes.iter().map(counters).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (told, asked) = runtime.block_on(async {
            // The first query is for what gateways count, the second for what exporters read.
            let bodies = ["upstream_uuid", "rpc_uuid"].map(|label| of_label(&matrix(&nodes), label).to_string());
            let (url, _requests) = serve_in_turn(200, bodies.to_vec()).await;
            let told = scores(&remembered(&nodes), nodes.len()).await;
            (told, scores(&Source::Prometheus(prometheus(&url)), nodes.len()).await)
        });
        for (strategy, (told, asked)) in told.iter().zip(&asked).enumerate().flat_map(|(strategy, (told, asked))| {
            told.iter().zip(asked).map(move |pair| (strategy, pair))
        }) {
            let same = match (told, asked) {
                (Some(told), Some(asked)) => (told - asked).abs() < 1e-6 * told.max(1.0),
                (told, asked) => told == asked,
            };
            prop_assert!(same, "strategy {strategy}: {told:?} {asked:?}");
        }
    }
}

#[tokio::test]
async fn prometheus_is_asked_for_the_route_with_credentials_and_below_its_prefix() {
    let empty = json!({"status": "success", "data": {"resultType": "matrix", "result": []}});
    let (url, mut requests) = serve(200, empty.to_string()).await;
    let source = Source::Prometheus(prometheus(&url));
    source
        .histories(ROUTE.parse().unwrap(), &subjects(1), SPAN)
        .await
        .unwrap();
    let first = requests.recv().await.unwrap();
    assert!(
        first.starts_with("POST /prefix/api/v1/query_range HTTP/1.1"),
        "{first}"
    );
    assert!(first.contains("authorization: Bearer canary"), "{first}");
    assert!(first.contains(&ROUTE.replace('-', "%2D")), "{first}");
    let second = requests.recv().await.unwrap();
    assert!(second.contains(&id(100).replace('-', "%2D")), "{second}");
}

#[tokio::test]
async fn an_expression_gives_scores_by_upstream_or_rpc() {
    let sample = |labels: Value, value: &str| json!({"metric": labels, "value": [1_700_000_060.0, value]});
    let body = json!({"status": "success", "data": {"resultType": "vector", "result": [
        sample(json!({"upstream_uuid": id(0)}), "0.5"),
        sample(json!({"rpc_uuid": id(101)}), "2"),
        sample(json!({}), "7"),
    ]}});
    let (url, _requests) = serve(200, body.to_string()).await;
    let subjects = subjects(3);
    let source = Source::Prometheus(prometheus(&url));
    let found = source.scores("x", &subjects, SPAN.to).await.unwrap().unwrap();
    assert_eq!(found.get(&subjects[0].upstream), Some(&0.5));
    assert_eq!(found.get(&subjects[1].upstream), Some(&2.0));
    assert_eq!(found.len(), 2);
    let none = remembered(&[counters(&Vec::new())])
        .scores("x", &subjects, SPAN.to)
        .await
        .unwrap();
    assert_eq!(none, None, "only prometheus can tell");
}

#[tokio::test]
async fn what_prometheus_refuses_or_garbles_is_an_error_without_secrets() {
    let refusal = json!({"status": "error", "errorType": "bad_data", "error": "parse error"}).to_string();
    let scalar =
        json!({"status": "success", "data": {"resultType": "scalar", "result": [1, "2"]}}).to_string();
    for (status, body, wanted) in [
        (400, refusal.as_str(), "status 400: parse error"),
        (502, "<html>", "status 502: no reason given"),
        (200, "<html>", "not understood"),
        (200, "", "not understood"),
        (200, scalar.as_str(), "not understood"),
    ] {
        let (url, _requests) = serve(status, body.to_owned()).await;
        let source = Source::Prometheus(prometheus(&url));
        let error = source
            .scores("x", &subjects(1), SPAN.to)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(wanted), "{error}");
        assert!(
            !error.contains("canary") && !error.contains("127.0.0.1"),
            "{error}"
        );
    }
    let nobody = Source::Prometheus(prometheus("http://127.0.0.1:1"));
    let error = nobody
        .scores("x", &subjects(1), SPAN.to)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("could not be reached"), "{error}");
}

#[test]
fn a_url_with_credentials_is_refused() {
    for url in ["http://user:canary@a:9090", "ftp://a", "http://a/?x=1"] {
        let args = PrometheusArgs {
            prometheus_url: Some(url.parse().unwrap()),
            ..PrometheusArgs::default()
        };
        let error = Prometheus::new(&args).unwrap_err().to_string();
        assert!(
            error.contains("must be http") && !error.contains("canary"),
            "{error}"
        );
    }
}
