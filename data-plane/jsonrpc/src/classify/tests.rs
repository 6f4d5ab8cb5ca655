use std::collections::BTreeSet;

use proptest::prelude::*;

use super::index::{first, parts};
use super::rule::{Code, Methods, Rule, Text};
use super::*;
use crate::RawId;
use crate::method::{lookup, other};
use crate::response::{Asked, Expect, inspect, inspect_for};

mod bodies;

/// The first rule that an answer to a call meets, and the verdict on it.
fn judge(vendor: Vendor, method: &str, status: u16, body: &[u8]) -> (&'static Rule, Verdict) {
    let answer = inspect(body, Expect::Single);
    let observed = Observed {
        status,
        is_ours: true,
        method: lookup(method),
        vendor,
        answer: &answer,
        body,
    };
    let said = Said::of(&observed);
    (first(&said.facts(&observed)).unwrap(), classify(&observed))
}

fn verdict(method: &str, status: u16, body: &str) -> Verdict {
    judge(Vendor::Other, method, status, body.as_bytes()).1
}

fn of_batch(status: u16, body: &str) -> Verdict {
    let answer = inspect(body.as_bytes(), Expect::Batch);
    classify(&Observed {
        status,
        is_ours: true,
        method: other(),
        vendor: Vendor::Other,
        answer: &answer,
        body: body.as_bytes(),
    })
}

fn error(code: i64, message: &str) -> String {
    let message = serde_json::Value::from(message);
    format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":{message}}}}}"#)
}

#[test]
fn every_body_hits_its_rule_first() {
    for (name, vendor, method, status, body) in bodies::CASES {
        let (rule, verdict) = judge(*vendor, method, *status, body.as_bytes());
        assert_eq!(rule.name, *name, "{status} {body}");
        assert_eq!(verdict, Verdict::from(rule.class), "{status} {body}");
    }
}

fn is_own(method: &str, status: u16, body: &str, request: &str) -> bool {
    let answer = inspect(body.as_bytes(), Expect::Single);
    let observed = Observed {
        status,
        is_ours: true,
        method: lookup(method),
        vendor: Vendor::Other,
        answer: &answer,
        body: body.as_bytes(),
    };
    is_own_word(&observed, request.as_bytes())
}

#[test]
fn words_of_the_request_or_of_a_clients_code_are_not_the_upstreams_own() {
    let limit = error(-32000, "x Too many requests to x");
    for (method, status, body, request, own) in [
        ("eth_call", 200, limit.as_str(), r#"["0x1"]"#, true),
        ("eth_call", 200, &limit, r#"["too MANY requests"]"#, false),
        ("eth_call", 200, &limit, r#"["xtoo many requests"]"#, false),
        ("eth_call", 200, &limit, r#"["\u0074oo many requests"]"#, false),
        ("debug_traceCall", 200, &limit, r#"["0x1"]"#, false),
        // A status or a code says so whatever the words.
        ("debug_traceCall", 429, &limit, r#"["too many requests"]"#, true),
        (
            "eth_call",
            200,
            &error(-32005, "too many requests"),
            r#"["too many requests"]"#,
            true,
        ),
        (
            "eth_call",
            200,
            &error(-32000, "upgrade your plan"),
            r#"["upgrade your plan"]"#,
            false,
        ),
    ] {
        assert_eq!(
            is_own(method, status, body, request),
            own,
            "{method} {status} {body} {request}"
        );
    }
}

#[test]
fn every_rule_is_the_first_for_some_body() {
    let hit: BTreeSet<_> = bodies::CASES.iter().map(|case| case.0).collect();
    let rules: Vec<_> = rules().map(|(name, _)| name).collect();
    let dead: Vec<_> = rules.iter().filter(|name| !hit.contains(*name)).collect();
    assert!(dead.is_empty(), "{dead:?}");
    assert_eq!(
        rules.iter().collect::<BTreeSet<_>>().len(),
        rules.len(),
        "names are distinct"
    );
}

/// A message, code and method that meet a rule with one of its texts.
fn told_by(rule: &Rule, words: &str) -> (Vendor, &'static str, String) {
    let code = match rule.code {
        Code::In(codes) => codes[0],
        Code::Any | Code::Other(_) | Code::NotIn(_) => -32000,
    };
    let method = match rule.methods {
        Methods::Any => "eth_blockNumber",
        Methods::Send => "eth_sendRawTransaction",
        Methods::Logs => "eth_getLogs",
        Methods::Trace => "trace_block",
    };
    (rule.vendor.unwrap_or_default(), method, error(code, words))
}

#[test]
fn every_text_of_a_rule_gives_its_class_and_is_not_hidden_by_an_earlier_one() {
    for rule in table::rules().filter(|rule| rule.shapes.meets(Shape::ERROR)) {
        let texts = match rule.text {
            Text::Any => continue,
            Text::Has(texts) | Text::Words(texts) | Text::All(texts) | Text::Whole(texts) => texts,
        };
        for text in parts(texts, "|") {
            assert_eq!(text, text.to_lowercase());
            let words = parts(text, "&").collect::<Vec<_>>().join(" 12 ");
            for words in [words.clone(), words.to_uppercase()] {
                let (vendor, method, body) = told_by(rule, &words);
                let (hit, _) = judge(vendor, method, 200, body.as_bytes());
                assert_eq!(hit.class, rule.class, "{}: {body} hits {}", rule.name, hit.name);
            }
        }
    }
}

#[test]
fn results_are_answers() {
    for result in ["\"0x12d687\"", "null", "[]", r#"{"error":"execution timeout"}"#] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"error":null,"result":{result}}}"#);
        assert_eq!(verdict("eth_call", 200, &body), Verdict::Answer, "{body}");
    }
    let error = error(3, "execution reverted");
    assert_eq!(of_batch(200, &format!("[{error}]")), Verdict::Answer);
    let empty = Observed {
        status: 204,
        is_ours: true,
        method: other(),
        vendor: Vendor::Other,
        answer: &Answer::Empty,
        body: b"",
    };
    assert_eq!(classify(&empty), Verdict::Answer);
}

#[test]
fn a_call_that_reverts_as_a_result_is_a_revert() {
    let words = ["20", "2", "6e6f"].map(|word| format!("{word:0>64}"));
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":"0x08c379a0{}"}}"#,
        words.concat()
    );
    assert_eq!(verdict("eth_call", 200, &body), Verdict::Final(Class::Reverted));
    assert_eq!(verdict("eth_getStorageAt", 200, &body), Verdict::Answer);
}

/// Scenario "case 37".
#[test]
fn a_trace_that_the_node_gave_up_is_no_answer() {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":[{"txHash":"0x1","error": "execution timeout"}]}"#;
    assert_eq!(
        verdict("debug_traceBlockByNumber", 200, body),
        Verdict::Retry(Class::NodeTimeout)
    );
    assert_eq!(verdict("eth_getBlockByNumber", 200, body), Verdict::Answer);
    let quoted = r#"{"jsonrpc":"2.0","id":1,"result":[{"revertReason":"execution timeout"}]}"#;
    assert_eq!(verdict("debug_traceBlockByNumber", 200, quoted), Verdict::Answer);
}

#[test]
fn words_inside_other_words_and_quoted_ones_mislead_nobody() {
    for (method, body, expected) in [
        (
            "eth_call",
            error(3, "token not supported"),
            Verdict::Final(Class::Reverted),
        ),
        (
            "eth_call",
            error(-32000, "execution reverted: method not found"),
            Verdict::Final(Class::Reverted),
        ),
        (
            "eth_call",
            error(-32000, "gas limit exceeded"),
            Verdict::Final(Class::TransactionRejected),
        ),
        (
            "eth_sendRawTransaction",
            error(-32000, "unknown transaction"),
            Verdict::Retry(Class::Unknown),
        ),
        (
            "eth_call",
            error(-32000, "already known"),
            Verdict::Retry(Class::Unknown),
        ),
        (
            "eth_call",
            error(-32000, "the beof is here"),
            Verdict::Retry(Class::Unknown),
        ),
        (
            "eth_call",
            error(-32601, "block not found"),
            Verdict::Retry(Class::MissingData),
        ),
        (
            "eth_sendRawTransaction",
            error(-32000, "transaction was rejected"),
            Verdict::Retry(Class::Unknown),
        ),
    ] {
        assert_eq!(verdict(method, 200, &body), expected, "{body}");
    }
}

#[test]
fn the_error_decides_and_the_status_only_where_it_says_nothing() {
    for status in [200, 400, 404, 429, 500] {
        let body = error(-32000, "missing trie node");
        assert_eq!(
            verdict("eth_call", status, &body),
            Verdict::Retry(Class::MissingData),
            "{status}"
        );
    }
    let unknown = error(-32099, "a quantum fluctuation");
    for (status, class) in [
        (200, Class::Unknown),
        (429, Class::RateLimited),
        (503, Class::Server),
        (403, Class::Unauthorized),
        (302, Class::Refused),
    ] {
        assert_eq!(
            verdict("eth_call", status, &unknown),
            Verdict::Retry(class),
            "{status}"
        );
    }
}

#[test]
fn an_answer_to_another_call_is_none() {
    let body = r#"{"jsonrpc":"2.0","id":2,"result":"0x1"}"#;
    let with_id = |id| {
        let asked = Asked {
            expect: Expect::Single,
            id: RawId::parse(id),
        };
        let seen = inspect_for(body.as_bytes(), asked);
        classify(&Observed {
            status: 200,
            is_ours: seen.is_ours,
            method: lookup("eth_call"),
            vendor: Vendor::Other,
            answer: &seen.answer,
            body: body.as_bytes(),
        })
    };
    assert_eq!(with_id(b"2"), Verdict::Answer);
    assert_eq!(with_id(b"1"), Verdict::Retry(Class::BadBody));
}

/// Scenario A7.
#[test]
fn one_error_for_a_batch_blames_nobody_unless_it_holds_for_every_call() {
    for (message, class) in [
        ("batch limit exceeded", Class::BatchRefused),
        ("execution reverted", Class::BatchRefused),
        ("too many requests", Class::RateLimited),
        ("invalid api key", Class::Unauthorized),
    ] {
        let body = error(-32000, message);
        assert_eq!(of_batch(200, &body), Verdict::Retry(class), "{message}");
        assert_eq!(of_batch(400, &body), Verdict::Retry(class), "{message}");
    }
    assert_eq!(Class::BatchRefused.policy().blame, crate::class::Blame::Nobody);
}

proptest! {
    #[test]
    fn any_bytes_are_judged_always_the_same(
        body in prop_oneof![any::<Vec<u8>>(), r#"\{"(error|message|code)":["{:}a-z0-9 ]{0,40}"#.prop_map(String::into_bytes)],
        status in 0_u16..1000,
    ) {
        let (rule, verdict) = judge(Vendor::Other, "eth_call", status, &body);
        prop_assert_eq!(judge(Vendor::Other, "eth_call", status, &body).1, verdict);
        prop_assert!(verdict == Verdict::Answer || verdict == Verdict::from(rule.class));
    }

    #[test]
    fn any_error_text_is_judged(message in any::<String>(), code in any::<i64>()) {
        let verdict = verdict("eth_call", 200, &error(code, &message));
        prop_assert_ne!(verdict, Verdict::Answer);
    }
}
