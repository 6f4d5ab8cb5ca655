use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::scan::tests::any_json;

fn whole(body: &str) -> Answer {
    inspect(body.as_bytes(), Expect::Single)
}

fn members(body: &[u8]) -> Result<Vec<Item<'_>>, NotABatch> {
    batch_items(body).collect()
}

fn head(body: &str) -> Option<Answer> {
    peek(body.as_bytes(), Expect::Single)
}

fn error(code: Option<i64>, message: &str) -> Answer {
    Answer::Error(RpcError {
        code,
        message: message.to_owned(),
        detail: String::new(),
    })
}

#[test]
fn results_are_results_whatever_the_envelope_around_them() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#,
        r#"{"id":1,"result":null}"#,
        r#" {"result":{"error":{"code":-32601}}} "#,
        r#"{"error":null,"result":[]}"#,
        r#"{"result":"error","id":"-32601","error":null}"#,
    ] {
        assert_eq!(whole(body), Answer::Result, "{body}");
    }
}

#[test]
fn every_shape_of_error_is_an_error() {
    for (body, expected) in [
        (
            r#"{"error":{"code":3,"message":"execution reverted","data":"0x08c3"}}"#,
            error(Some(3), "execution reverted"),
        ),
        (r#"{"id":1,"error":{"message":"m"}}"#, error(None, "m")),
        (r#"{"error":{"code":-32000}}"#, error(Some(-32000), "")),
        (r#"{"error":{}}"#, error(None, "")),
        (r#"{"error":"rate \u006cimited"}"#, error(None, "rate limited")),
        (
            r#"{"error":{"code":"-32000","message":null}}"#,
            error(Some(-32000), "null"),
        ),
        (
            r#"{"error":{"code":99999999999,"message":"m"}}"#,
            error(Some(99_999_999_999), "m"),
        ),
        (
            r#"{"result":"0x1","error":{"code":1,"message":"both"}}"#,
            error(Some(1), "both"),
        ),
        (
            r#"{"result":null,"error":{"code":-5,"message":"bitcoind"},"id":1}"#,
            error(Some(-5), "bitcoind"),
        ),
        (
            r#"{"error":{"code":1,"message":"kept"},"error":null,"result":1}"#,
            error(Some(1), "kept"),
        ),
    ] {
        assert_eq!(whole(body), expected, "{body}");
    }
}

#[test]
fn a_long_message_is_kept_in_part() {
    let body = json!({"error": {"code": 1, "message": "é".repeat(10_000)}}).to_string();
    assert_eq!(whole(&body), error(Some(1), &"é".repeat(512)));
}

#[test]
fn what_answers_nothing_is_not_json_rpc() {
    for body in [
        "",
        " ",
        "null",
        "1",
        "\"ok\"",
        "[]",
        "{}",
        r#"{"message":"no such plan","code":429}"#,
        r#"{"error":null}"#,
        r#"{"result":1}{"result":1}"#,
        r#"{"result":"0x1""#,
        r#"{"result":"0x1"}]"#,
        r#"[{"result":1}]"#,
        "<html><body>502 Bad Gateway</body></html>",
        "Too many requests",
    ] {
        assert_eq!(whole(body), Answer::NotJsonRpc, "{body}");
    }
    assert_eq!(
        inspect(b"{\"result\":\"\xff\"}", Expect::Single),
        Answer::NotJsonRpc
    );
}

#[test]
fn the_first_part_of_a_large_body_tells_result_from_error() {
    let long = "a".repeat(100_000);
    for (body, expected) in [
        (
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":"{long}"#),
            Some(Answer::Result),
        ),
        (format!(r#"{{"result":[{{"error":"{long}"#), Some(Answer::Result)),
        (
            format!(r#"{{"error":null,"result":{{"x":"{long}"#),
            Some(Answer::Result),
        ),
        (
            format!(r#"{{"error":{{"code":3,"message":"m","data":"{long}"#),
            Some(error(Some(3), "m")),
        ),
        (format!(r#"{{"error":{{"code":3,"data":"{long}"#), None),
        (format!(r#"{{"jsonrpc":"{long}"#), None),
        (format!(r#"{{"result":1}}{long}"#), Some(Answer::NotJsonRpc)),
        (format!("<!DOCTYPE html>{long}"), Some(Answer::NotJsonRpc)),
        (format!(r#"{{"result":tru3{long}"#), Some(Answer::NotJsonRpc)),
    ] {
        assert_eq!(head(&body), expected, "{body:.60}");
    }
}

#[test]
fn what_can_still_become_either_is_left_open() {
    for body in [
        "",
        " ",
        "{",
        r#"{"res"#,
        r#"{"result""#,
        r#"{"result":"#,
        r#"{"result":n"#,
        r#"{"result":null,"#,
        r#"{"error":nul"#,
    ] {
        assert_eq!(head(body), None, "{body}");
    }
    // The result is over and an error may follow.
    assert_eq!(head(r#"{"result":"0x1","id":1"#), None);
}

#[test]
fn a_head_cut_inside_a_character_is_still_a_head() {
    assert_eq!(peek(b"{\"result\":\"\xc3", Expect::Single), Some(Answer::Result));
    assert_eq!(
        peek(b"{\"result\":\"\xc3\"", Expect::Single),
        Some(Answer::NotJsonRpc)
    );
}

#[test]
fn a_batch_is_answered_by_an_array_with_an_answer_in_it() {
    for (body, expected) in [
        (r#"[{"id":1,"result":1}]"#, Answer::Batch),
        (r#"[1,{"id":1,"error":{"code":1}}]"#, Answer::Batch),
        ("[]", Answer::NotJsonRpc),
        ("[1,{}]", Answer::NotJsonRpc),
        (r#"[{"id":1,"result":1}"#, Answer::NotJsonRpc),
        (r#"[{"id":1,"result":1}] x"#, Answer::NotJsonRpc),
        (r#"{"id":1,"result":1}"#, Answer::NotJsonRpc),
        (
            r#"{"id":null,"error":{"code":-32600,"message":"batch too large"}}"#,
            Answer::BatchRefused(RpcError {
                code: Some(-32600),
                message: "batch too large".to_owned(),
                detail: String::new(),
            }),
        ),
    ] {
        assert_eq!(inspect(body.as_bytes(), Expect::Batch), expected, "{body}");
    }
    assert_eq!(peek(br#"[{"id":1,"result":1},"#, Expect::Batch), None);
    assert_eq!(
        peek(br#"[{"id":1,"result":1},]"#, Expect::Batch),
        Some(Answer::NotJsonRpc)
    );
}

#[test]
fn a_notification_needs_no_body_but_may_get_one() {
    for (body, expected) in [
        ("", Answer::Empty),
        ("\r\n", Answer::Empty),
        (r#"{"result":true,"id":null}"#, Answer::Result),
        (r#"[{"result":true,"id":null}]"#, Answer::Batch),
        ("<html>", Answer::NotJsonRpc),
    ] {
        assert_eq!(inspect(body.as_bytes(), Expect::Nothing), expected, "{body}");
    }
}

#[test]
fn deep_answers_do_not_overflow_the_stack() {
    let body = format!(r#"{{"result":{}{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(whole(&body), Answer::Result);
    assert_eq!(whole(&"[".repeat(200_000)), Answer::NotJsonRpc);
    assert!(members("[".repeat(200_000).as_bytes()).is_err());
}

#[test]
fn a_result_carries_the_callers_id_and_an_error_no_other_one() {
    for (body, id, expected) in [
        (r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#, "1", true),
        (r#"{"result":"0x1","id":1}"#, "1.0", true),
        (r#"{"result":"0x1","id":"\u0041"}"#, "\"A\"", true),
        (r#"{"jsonrpc":"2.0","id":null,"result":"0x1"}"#, "null", true),
        (r#"{"jsonrpc":"2.0","id":2,"result":"0x1"}"#, "1", false),
        (r#"{"jsonrpc":"2.0","id":"1","result":"0x1"}"#, "1", false),
        (r#"{"jsonrpc":"2.0","id":null,"result":"0x1"}"#, "1", false),
        (r#"{"jsonrpc":"2.0","result":"0x1"}"#, "1", false),
        (
            r#"{"id":9007199254740992,"result":"0x1"}"#,
            "9007199254740993",
            false,
        ),
        (r#"{"error":{"code":1}}"#, "1", true),
        (r#"{"id":null,"error":{"code":1},"result":null}"#, "1", true),
        (r#"{"id":2,"error":{"code":1}}"#, "1", false),
        (r#"{"id":1,"result":"0x"#, "1", true),
        (r#"{"id":2,"result":"0x"#, "1", false),
        (r#"{"result":"0x"#, "1", true),
    ] {
        let asked = Asked {
            expect: Expect::Single,
            id: RawId::from_value(id),
        };
        let seen = peek_for(body.as_bytes(), asked).unwrap();
        assert_eq!(seen.is_ours, expected, "{body}");
        let whole = inspect_for(body.as_bytes(), asked);
        assert_eq!(
            whole.is_ours,
            expected || whole.answer == Answer::NotJsonRpc,
            "{body}"
        );
    }
}

fn paired(ids: &[&str], body: &str) -> Vec<Option<String>> {
    let ids: Vec<_> = ids.iter().map(|id| RawId::from_value(id).unwrap()).collect();
    let items = members(body.as_bytes()).unwrap();
    pair(&ids, items)
        .into_iter()
        .map(|item| item.map(|item| item.raw.to_owned()))
        .collect()
}

#[test]
fn the_members_of_a_batch_keep_their_bytes_and_stand_by_themselves() {
    let items =
        members(br#" [ {"id": "a" ,"result":1.50}, 7, {"id":[]}, {"error":{"code":1},"id":2}]"#).unwrap();
    let seen: Vec<_> = items
        .iter()
        .map(|item| (item.id.map(RawId::as_str), item.raw, &item.answer))
        .collect();
    let failed = error(Some(1), "");
    assert_eq!(
        seen,
        [
            (Some("\"a\""), r#"{"id": "a" ,"result":1.50}"#, &Answer::Result),
            (None, "7", &Answer::NotJsonRpc),
            (None, r#"{"id":[]}"#, &Answer::NotJsonRpc),
            (Some("2"), r#"{"error":{"code":1},"id":2}"#, &failed),
        ]
    );
}

#[test]
fn answers_are_put_in_the_order_of_the_calls_and_gaps_stay_visible() {
    let body = r#"[{"id":3,"result":"c"},{"id":"\u0041","result":"A"},{"id":9,"result":"stray"},{"id":1}]"#;
    let c = Some(r#"{"id":3,"result":"c"}"#.to_owned());
    let a = Some(r#"{"id":"\u0041","result":"A"}"#.to_owned());
    assert_eq!(paired(&["1", "\"A\"", "3.0"], body), [None, a, c]);
    assert_eq!(
        paired(&["9007199254740993"], r#"[{"id":9007199254740992,"result":1}]"#),
        [None]
    );
}

#[test]
fn repeated_ids_are_paired_in_order_or_not_at_all() {
    let [x, y] = [r#"{"id":1,"result":"x"}"#, r#"{"id":1,"result":"y"}"#];
    let both = format!("[{x},{y}]");
    assert_eq!(
        paired(&["1", "1"], &both),
        [Some(x.to_owned()), Some(y.to_owned())]
    );
    assert_eq!(paired(&["1", "1"], &format!("[{x}]")), [None, None]);
    assert_eq!(paired(&["1"], &both), [None]);
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let tokens = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        " ",
        "1",
        "null",
        "\"",
        "\"id\":",
        "\"result\":",
        "\"error\":",
        "\"code\":",
        "\u{e9}",
    ];
    let text = proptest::collection::vec(proptest::sample::select(tokens.to_vec()), 0..12);
    prop_oneof![
        any::<Vec<u8>>(),
        text.prop_map(|tokens| tokens.concat().into_bytes())
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_judged_and_the_head_never_contradicts_the_whole(body in any_bytes()) {
        for expect in [Expect::Single, Expect::Batch, Expect::Nothing] {
            let answer = inspect(&body, expect);
            let foreseen = peek(&body, expect);
            prop_assert!(answer == Answer::NotJsonRpc || foreseen.is_none_or(|foreseen| foreseen == answer));
        }
        let is_batch = inspect(&body, Expect::Batch) == Answer::Batch;
        prop_assert!(!is_batch || members(&body).is_ok());
    }

    #[test]
    fn a_result_is_never_taken_for_anything_else_however_much_of_it_came(value in any_json(), result_first in any::<bool>()) {
        let body = if result_first {
            format!(r#"{{"result":{value},"id":1,"jsonrpc":"2.0","error":null}}"#)
        } else {
            format!(r#"{{"jsonrpc":"2.0","id":"error","result":{value}}}"#)
        };
        prop_assert_eq!(whole(&body), Answer::Result);
        for end in 0..body.len() {
            let seen = peek(&body.as_bytes()[..end], Expect::Single);
            prop_assert!(matches!(seen, None | Some(Answer::Result)), "{:?} at {}", seen, end);
            prop_assert_eq!(inspect(&body.as_bytes()[..end], Expect::Single), Answer::NotJsonRpc);
        }
    }

    #[test]
    fn an_error_is_never_taken_for_anything_else_however_much_of_it_came(data in any_json()) {
        let body = format!(r#"{{"result":null,"error":{{"data":{data},"code":3,"message":"m","more":{data}}}}}"#);
        let is_it = |answer: &Answer| matches!(answer, Answer::Error(error) if error.code == Some(3) && error.message == "m");
        prop_assert!(is_it(&whole(&body)));
        for end in 0..=body.len() {
            let seen = peek(&body.as_bytes()[..end], Expect::Single);
            prop_assert!(seen.as_ref().is_none_or(is_it), "{:?} at {}", seen, end);
        }
    }

    #[test]
    fn any_order_of_answers_is_put_right(order in Just((0..20).collect::<Vec<_>>()).prop_shuffle()) {
        let items: Vec<_> = order.iter().map(|id| format!(r#"{{"id":{id},"result":{id}}}"#)).collect();
        let ids: Vec<_> = (0..20).map(|id| id.to_string()).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        let found = paired(&ids, &format!("[{}]", items.join(",")));
        for (id, item) in found.into_iter().enumerate() {
            prop_assert_eq!(item, Some(format!(r#"{{"id":{id},"result":{id}}}"#)));
        }
    }
}
