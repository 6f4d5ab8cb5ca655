use super::*;
use crate::response::{Expect, inspect};

const RESULT: &str = r#"{"jsonrpc":"2.0","id":1,"result":"0x12d687"}"#;
const REVERT: &str =
    r#"{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"execution reverted: no","data":"0x08c379a0"}}"#;
const SERVER_ERROR: &str =
    r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"insufficient funds for gas"}}"#;
const UNKNOWN_METHOD: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"the method trace_block does not exist/is not available"}}"#;
const BAD_PARAMS: &str =
    r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"missing value for required argument 0"}}"#;
const BATCH_LIMIT: &str =
    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batch too large"}}"#;
const HTML: &str = "<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>";
const PLAIN_ERROR: &str = r#"{"error":"Bad Request","statusCode":400}"#;

const ALL: [Fault; 10] = [
    Fault::UnsupportedMethod,
    Fault::BatchRefused,
    Fault::Refused { status: 403 },
    Fault::NotSent,
    Fault::RateLimited,
    Fault::BadBody,
    Fault::Server,
    Fault::Lost,
    Fault::Timeout,
    Fault::TooLarge,
];

fn single(status: u16, body: &str) -> Verdict {
    classify(status, &inspect(body.as_bytes(), Expect::Single))
}

fn batch(status: u16, body: &str) -> Verdict {
    classify(status, &inspect(body.as_bytes(), Expect::Batch))
}

#[test]
fn results_and_ordinary_errors_are_answers() {
    for body in [RESULT, REVERT, SERVER_ERROR, BAD_PARAMS] {
        assert_eq!(single(200, body), Verdict::Answer, "{body}");
    }
    assert_eq!(batch(200, &format!("[{RESULT},{REVERT}]")), Verdict::Answer);
}

#[test]
fn an_empty_body_answers_a_notification_only() {
    assert_eq!(classify(204, &inspect(b"", Expect::Nothing)), Verdict::Answer);
    assert_eq!(single(204, ""), Verdict::Retry(Fault::BadBody));
}

#[test]
fn an_unknown_method_moves_on_whatever_the_status_says() {
    for status in [200, 400, 404, 405] {
        assert_eq!(
            single(status, UNKNOWN_METHOD),
            Verdict::Retry(Fault::UnsupportedMethod),
            "{status}"
        );
    }
    assert_eq!(
        single(405, "Method Not Allowed"),
        Verdict::Retry(Fault::UnsupportedMethod)
    );
    assert_eq!(
        batch(200, UNKNOWN_METHOD),
        Verdict::Retry(Fault::UnsupportedMethod)
    );
}

#[test]
fn a_good_status_with_a_body_that_answers_nothing_is_a_bad_body() {
    for body in [
        "",
        HTML,
        "{}",
        r#"{"message":"quota"}"#,
        RESULT.trim_end_matches('}'),
        &format!("[{RESULT}]"),
    ] {
        assert_eq!(single(200, body), Verdict::Retry(Fault::BadBody), "{body}");
    }
    for body in [RESULT, "[]", "[{}]"] {
        assert_eq!(batch(200, body), Verdict::Retry(Fault::BadBody), "{body}");
    }
}

#[test]
fn one_error_for_a_whole_batch_moves_on_and_blames_nobody() {
    let verdict = batch(200, BATCH_LIMIT);
    assert_eq!(verdict, Verdict::Retry(Fault::BatchRefused));
    assert!(!Fault::BatchRefused.counts_against_upstream());
}

#[test]
fn a_certain_client_error_is_passed_on() {
    for status in [400, 413] {
        assert_eq!(single(status, BAD_PARAMS), Verdict::ClientError, "{status}");
        assert_eq!(single(status, SERVER_ERROR), Verdict::ClientError, "{status}");
        assert_eq!(batch(status, BATCH_LIMIT), Verdict::ClientError, "{status}");
    }
}

#[test]
fn a_client_error_that_does_not_say_so_is_a_refusal() {
    let internal = r#"{"id":1,"error":{"code":-32603,"message":"internal error"}}"#;
    let limit = r#"{"id":1,"error":{"code":-32005,"message":"daily request count exceeded"}}"#;
    for body in [HTML, PLAIN_ERROR, RESULT, internal, limit, ""] {
        assert_eq!(
            single(400, body),
            Verdict::Retry(Fault::Refused { status: 400 }),
            "{body}"
        );
    }
}

#[test]
fn unclear_statuses_are_refusals_even_with_a_json_rpc_error() {
    for status in [301, 302, 307, 401, 402, 403, 404, 408, 410, 415, 451] {
        for body in [SERVER_ERROR, HTML] {
            assert_eq!(
                single(status, body),
                Verdict::Retry(Fault::Refused { status }),
                "{status} {body}"
            );
        }
    }
}

#[test]
fn rate_limits_and_server_errors_go_by_the_status() {
    for body in [RESULT, SERVER_ERROR, UNKNOWN_METHOD, HTML, ""] {
        assert_eq!(single(429, body), Verdict::Retry(Fault::RateLimited), "{body}");
        for status in [500, 501, 502, 503, 504, 521, 599] {
            assert_eq!(
                single(status, body),
                Verdict::Retry(Fault::Server),
                "{status} {body}"
            );
        }
    }
}

#[test]
fn what_may_have_been_carried_out_is_repeated_only_when_safe() {
    for fault in ALL {
        let open = matches!(
            fault,
            Fault::BadBody | Fault::Server | Fault::Lost | Fault::Timeout
        );
        let repeatable = fault != Fault::TooLarge;
        assert_eq!(fault.retryable(Replay::Safe), repeatable, "{fault:?}");
        assert_eq!(fault.retryable(Replay::Unsafe), repeatable && !open, "{fault:?}");
    }
}

#[test]
fn refusals_blame_nobody_and_failures_the_upstream() {
    for fault in ALL {
        let blameless = matches!(
            fault,
            Fault::UnsupportedMethod | Fault::BatchRefused | Fault::Refused { .. } | Fault::TooLarge
        );
        assert_eq!(fault.counts_against_upstream(), !blameless, "{fault:?}");
    }
}

#[test]
fn the_reported_fault_does_not_depend_on_the_order_of_attempts() {
    let greatest = |faults: &[Fault]| faults.iter().copied().max();
    for (at, fault) in ALL.into_iter().enumerate() {
        for lesser in &ALL[..=at] {
            assert_eq!(greatest(&[*lesser, fault]), Some(fault));
            assert_eq!(greatest(&[fault, *lesser]), Some(fault));
        }
    }
}

#[test]
fn an_outcome_left_open_is_reported_before_any_that_is_certain() {
    for open in ALL.into_iter().filter(|fault| !fault.retryable(Replay::Unsafe)) {
        for certain in ALL.into_iter().filter(|fault| fault.retryable(Replay::Unsafe)) {
            assert!(open > certain, "{open:?} {certain:?}");
        }
    }
}

#[test]
fn faults_have_distinct_names() {
    let names: std::collections::BTreeSet<_> = ALL.into_iter().map(Fault::name).collect();
    assert_eq!(names.len(), ALL.len());
}
