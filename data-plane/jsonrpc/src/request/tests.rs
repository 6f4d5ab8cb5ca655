use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;
use crate::scan::tests::any_json;

fn single(body: &str) -> Result<Call<'_>, RequestError<'_>> {
    match parse(body.as_bytes(), &Limits::default())? {
        Packet::Single(call) => Ok(call),
        Packet::Batch(_) => panic!("a batch"),
    }
}

fn batch_of(body: &str) -> Vec<Result<Call<'_>, InvalidCall<'_>>> {
    match parse(body.as_bytes(), &Limits::default()).unwrap() {
        Packet::Batch(calls) => calls,
        Packet::Single(_) => panic!("a single call"),
    }
}

fn reason(body: &str) -> Reason {
    match single(body) {
        Err(RequestError::Invalid(invalid)) => invalid.reason,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn a_call_is_understood_and_its_parts_keep_their_bytes() {
    let body =
        " {\"jsonrpc\":\"2.0\", \"method\":\"eth_call\",\"params\": [ {\"to\":\"0x0\"}, 1.50 ],\"id\":1.0}\n";
    let call = single(body).unwrap();
    assert_eq!(call.method, "eth_call");
    assert_eq!(call.id.map(RawId::as_str), Some("1.0"));
    assert_eq!(call.params, Some("[ {\"to\":\"0x0\"}, 1.50 ]"));
    assert_eq!(call.raw, body.trim());
}

#[test]
fn a_method_without_escapes_is_borrowed_and_one_with_escapes_is_unescaped() {
    assert!(matches!(
        single(r#"{"method":"eth_call"}"#).unwrap().method,
        Cow::Borrowed("eth_call")
    ));
    assert_eq!(
        single(r#"{"m\u0065thod":"eth\u005fcall"}"#).unwrap().method,
        "eth_call"
    );
}

#[test]
fn null_is_an_id_and_no_id_is_a_notification() {
    assert_eq!(
        single(r#"{"method":"m","id":null}"#)
            .unwrap()
            .id
            .map(RawId::as_str),
        Some("null")
    );
    assert_eq!(single(r#"{"method":"m"}"#).unwrap().id, None);
}

#[test]
fn version_and_params_may_be_absent_and_params_null_or_structured() {
    for (body, params) in [
        (r#"{"method":"m","id":1}"#, None),
        (r#"{"jsonrpc":"\u0032.0","method":"m","params":null}"#, None),
        (r#"{"method":"m","params":[]}"#, Some("[]")),
        (
            r#"{"method":"m","params":{"a":{}},"more":[1]}"#,
            Some(r#"{"a":{}}"#),
        ),
    ] {
        assert_eq!(single(body).unwrap().params, params, "{body}");
    }
}

#[test]
fn a_call_of_the_wrong_shape_is_refused_with_its_reason() {
    for (body, expected) in [
        ("1", Reason::NotAnObject),
        ("\"eth_call\"", Reason::NotAnObject),
        ("{}", Reason::Method),
        (r#"{"method":1}"#, Reason::Method),
        (r#"{"method":null}"#, Reason::Method),
        (r#"{"method":"\ud800"}"#, Reason::Method),
        (r#"{"jsonrpc":"1.0","method":"m"}"#, Reason::Version),
        (r#"{"jsonrpc":2.0,"method":"m"}"#, Reason::Version),
        (r#"{"jsonrpc":null,"method":"m"}"#, Reason::Version),
        (r#"{"method":"m","params":"0x1"}"#, Reason::Params),
        (r#"{"method":"m","params":false}"#, Reason::Params),
        (r#"{"method":"m","id":true}"#, Reason::Id),
        (r#"{"method":"m","id":[1]}"#, Reason::Id),
        (r#"{"method":"m","id":{}}"#, Reason::Id),
        (r#"{"method":"m","id":1e400}"#, Reason::Id),
        (r#"{"method":"m","method":"m"}"#, Reason::DuplicateMember),
        (r#"{"method":"m","id":1,"i\u0064":null}"#, Reason::DuplicateMember),
    ] {
        assert_eq!(reason(body), expected, "{body}");
    }
}

#[test]
fn an_invalid_call_is_refused_under_its_id_when_that_is_certain() {
    let id_of = |body| match single(body) {
        Err(RequestError::Invalid(invalid)) => invalid.id.map(RawId::as_str),
        other => panic!("{other:?}"),
    };
    assert_eq!(id_of(r#"{"id":"a","method":1}"#), Some("\"a\""));
    assert_eq!(id_of(r#"{"id":1,"method":"m","id":2}"#), None);
    assert_eq!(id_of(r#"{"id":{},"method":"m"}"#), None);
}

#[test]
fn a_body_that_is_no_json_is_refused_as_a_whole() {
    for body in [
        "",
        " ",
        "{",
        "[",
        "[1",
        "{}x",
        "[1,]",
        "eth_call",
        r#"{"method":"m"}{"method":"m"}"#,
        "[{}]]",
        "[] []",
    ] {
        assert_eq!(
            parse(body.as_bytes(), &Limits::default()),
            Err(RequestError::NotJson),
            "{body}"
        );
    }
    assert_eq!(
        parse(b"{\"method\":\"\xff\"}", &Limits::default()),
        Err(RequestError::NotJson)
    );
}

#[test]
fn a_bad_member_of_a_batch_spoils_only_itself() {
    let calls = batch_of("\n [123, {\"method\":\"a\",\"id\":1}, {\"id\":7}, [], {\"method\":\"b\"}]");
    let seen: Vec<_> = calls
        .iter()
        .map(|call| call.as_ref().map(|call| call.raw))
        .collect();
    let id = RawId::from_value("7");
    assert_eq!(
        seen,
        [
            Err(&InvalidCall {
                reason: Reason::NotAnObject,
                id: None
            }),
            Ok(r#"{"method":"a","id":1}"#),
            Err(&InvalidCall {
                reason: Reason::Method,
                id
            }),
            Err(&InvalidCall {
                reason: Reason::NotAnObject,
                id: None
            }),
            Ok(r#"{"method":"b"}"#),
        ]
    );
}

#[test]
fn a_batch_has_at_least_one_and_at_most_so_many_calls() {
    let limits = Limits {
        max_batch: 2,
        ..Limits::default()
    };
    assert_eq!(parse(b"[]", &limits), Err(RequestError::EmptyBatch));
    assert!(matches!(parse(b"[1,2]", &limits), Ok(Packet::Batch(calls)) if calls.len() == 2));
    assert_eq!(
        parse(b"[1,2,3]", &limits),
        Err(RequestError::BatchTooLong { max: 2 })
    );
}

#[test]
fn nesting_is_bounded() {
    for open in ["[", "{\"a\":", "{\"method\":\"m\",\"params\":["] {
        assert_eq!(
            parse(open.repeat(200_000).as_bytes(), &Limits::default()),
            Err(RequestError::TooDeep)
        );
    }
    let params = format!("{}{}", "[".repeat(127), "]".repeat(127));
    assert!(single(&format!("{{\"method\":\"m\",\"params\":{params}}}")).is_ok());
    let body = format!("{{\"method\":\"m\",\"params\":[{params}]}}");
    assert_eq!(single(&body), Err(RequestError::TooDeep));
}

/// The same rules as the derive of a well-known library states them.
#[derive(Deserialize)]
struct Reference<'a> {
    jsonrpc: Option<Value>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    id: Value,
}

fn reference_accepts(body: &str) -> bool {
    body.trim_start().starts_with('{')
        && serde_json::from_str::<Reference<'_>>(body).is_ok_and(|call| {
            call.jsonrpc.is_none_or(|version| version == "2.0")
                && matches!(call.params, Value::Null | Value::Array(_) | Value::Object(_))
                && matches!(call.id, Value::Null | Value::Number(_) | Value::String(_))
                && !call.method.is_empty()
        })
}

fn any_id() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("9007199254740993".to_owned()),
        Just(r#""\u0041""#.to_owned()),
        Just("1.0".to_owned()),
        any::<u64>().prop_map(|id| id.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?",
        any::<String>().prop_map(|id| Value::from(id).to_string()),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_answered_without_a_panic(body in any::<Vec<u8>>()) {
        drop(parse(&body, &Limits::default()));
    }

    #[test]
    fn any_valid_id_keeps_its_bytes(id in any_id()) {
        let body = format!("[{{\"id\" : {id} , \"method\":\"m\"}}]");
        let calls = batch_of(&body);
        prop_assert_eq!(calls[0].as_ref().unwrap().id.unwrap().as_str(), id);
    }

    #[test]
    fn params_are_the_bytes_of_the_body(params in any_json()) {
        let body = format!("{{\"method\":\"m\",\"params\":[{params}]}}");
        let raw: &RawValue = serde_json::from_str(single(&body).unwrap().params.unwrap()).unwrap();
        prop_assert_eq!(raw.get(), format!("[{params}]"));
    }

    #[test]
    fn a_call_is_accepted_exactly_when_the_reference_accepts_it(
        names in proptest::collection::vec(prop_oneof!["jsonrpc", "method", "params", "id", "x"], 0..5),
        values in proptest::collection::vec(
            prop_oneof![Just("\"2.0\""), Just("\"m\""), Just("1"), Just("null"), Just("true"), Just("[]"), Just("{}"), Just("")],
            5,
        ),
    ) {
        let members: Vec<_> = names.iter().zip(values).map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let body = format!("{{{}}}", members.join(","));
        let accepted = single(&body).is_ok();
        // `Option` takes a null version for an absent one; a repeated `x` is nobody's business.
        if !body.contains("\"jsonrpc\":null") {
            prop_assert_eq!(accepted, reference_accepts(&body), "{}", body);
        }
    }
}
