use proptest::prelude::*;

use super::*;
use crate::method::lookup;
use crate::scan::tests::any_json;

const HASH: &str = "0x88e96d4537bea4d9c05d12549907b32561d3bf31f45aae734cdc119f13406cb6";

fn block(method: &str, params: &str) -> BlockRef {
    of(lookup(method), Some(params))
}

fn rewritten(method: &str, params: &str) -> Option<String> {
    rewrite(lookup(method), Some(params), |tag| match tag {
        Tag::Latest => Some(0x101),
        Tag::Safe => Some(0xe1),
        Tag::Finalized => None,
        Tag::Pending | Tag::Earliest => panic!("nobody knows"),
    })
}

#[test]
fn every_form_of_a_block_is_understood() {
    for (value, expected) in [
        ("\"0x10\"", BlockRef::Number(16)),
        ("\"0x0010\"", BlockRef::Number(16)),
        ("\"0X1a\"", BlockRef::Number(26)),
        ("16", BlockRef::Number(16)),
        ("\"16\"", BlockRef::Number(16)),
        ("\"\\u0030x10\"", BlockRef::Number(16)),
        ("\"latest\"", BlockRef::Tag(Tag::Latest)),
        ("\"safe\"", BlockRef::Tag(Tag::Safe)),
        ("\"finalized\"", BlockRef::Tag(Tag::Finalized)),
        ("\"pending\"", BlockRef::Tag(Tag::Pending)),
        ("\"earliest\"", BlockRef::Tag(Tag::Earliest)),
        ("null", BlockRef::Absent),
        (r#"{"blockNumber":"0x10"}"#, BlockRef::Number(16)),
        (r#"{"blockNumber":"safe"}"#, BlockRef::Tag(Tag::Safe)),
        ("\"\"", BlockRef::Unknown),
        ("\"0x\"", BlockRef::Unknown),
        ("\"0x+1\"", BlockRef::Unknown),
        ("\"0x10000000000000000\"", BlockRef::Unknown),
        ("\"Latest\"", BlockRef::Unknown),
        ("-1", BlockRef::Unknown),
        ("1.5", BlockRef::Unknown),
        ("true", BlockRef::Unknown),
        ("[]", BlockRef::Unknown),
        ("{}", BlockRef::Unknown),
        (r#"{"blockNumber":"0x1","blockNumber":"0x2"}"#, BlockRef::Unknown),
    ] {
        assert_eq!(
            block("eth_getBalance", &format!("[\"0xa\", {value} ]")),
            expected,
            "{value}"
        );
    }
    assert_eq!(
        block("eth_getBlockReceipts", &format!("[\"{HASH}\"]")),
        BlockRef::Hash
    );
    let by_hash = format!(r#"["0xa",{{"blockHash":"{HASH}","requireCanonical":true}}]"#);
    assert_eq!(block("eth_call", &by_hash), BlockRef::Hash);
    let both = format!(r#"["0xa",{{"blockHash":"{HASH}","blockNumber":"0x1"}}]"#);
    assert_eq!(block("eth_call", &both), BlockRef::Unknown);
}

#[test]
fn the_parameter_is_where_the_method_has_it() {
    for (method, params) in [
        ("eth_getBlockByNumber", r#"["0x5",true]"#),
        ("eth_getBalance", r#"["0xa","0x5"]"#),
        ("eth_call", r#"[{"to":"0x1","data":"0x2"},"0x5",{"0xa":{}}]"#),
        ("eth_getStorageAt", r#"["0xa","0x0","0x5"]"#),
        ("eth_getProof", r#"["0xa",["0x0"],"0x5"]"#),
        ("eth_feeHistory", r#"["0x4","0x5",[]]"#),
        ("eth_getBlockReceipts", r#"["0x5"]"#),
        ("trace_block", r#"["0x5"]"#),
        ("trace_call", r#"[{},["trace"],"0x5"]"#),
        ("debug_traceCall", r#"[{},"0x5",{}]"#),
        ("debug_traceBlockByNumber", r#"["0x5"]"#),
    ] {
        assert_eq!(block(method, params), BlockRef::Number(5), "{method}");
    }
    assert_eq!(block("eth_chainId", "[\"0x5\"]"), BlockRef::Absent);
    assert_eq!(block("nobody_knows", "[\"0x5\"]"), BlockRef::Absent);
}

#[test]
fn a_filter_is_a_range_or_a_hash() {
    let number = Edge::Number;
    let head = Edge::Tag(Tag::Latest);
    for (filter, expected) in [
        (
            r#"{"fromBlock":"0x1","toBlock":"0x2"}"#,
            BlockRef::Range {
                from: number(1),
                to: number(2),
            },
        ),
        (
            r#"{"toBlock":"latest","fromBlock":7,"address":[]}"#,
            BlockRef::Range {
                from: number(7),
                to: head,
            },
        ),
        (r#"{"fromBlock":null}"#, BlockRef::Range { from: head, to: head }),
        ("{}", BlockRef::Range { from: head, to: head }),
        (
            r#"{"fromBlock":"earliest"}"#,
            BlockRef::Range {
                from: Edge::Tag(Tag::Earliest),
                to: head,
            },
        ),
        (&format!(r#"{{"blockHash":"{HASH}"}}"#), BlockRef::Hash),
        (
            &format!(r#"{{"blockHash":"{HASH}","fromBlock":"0x1"}}"#),
            BlockRef::Unknown,
        ),
        (r#"{"fromBlock":"0x1","fromBlock":"0x2"}"#, BlockRef::Unknown),
        (r#"{"fromBlock":[]}"#, BlockRef::Unknown),
        ("\"0x1\"", BlockRef::Unknown),
    ] {
        assert_eq!(block("eth_getLogs", &format!("[{filter}]")), expected, "{filter}");
    }
    assert_eq!(of(lookup("eth_getLogs"), None), BlockRef::Unknown);
}

/// Scenario E2, E6.
#[test]
fn tags_become_numbers_and_every_other_byte_stays() {
    for (method, params, expected) in [
        (
            "eth_getBlockByNumber",
            r#"[ "latest" , true ]"#,
            r#"[ "0x101" , true ]"#,
        ),
        (
            "eth_call",
            r#"[{"to" : "0x1"},"safe"]"#,
            r#"[{"to" : "0x1"},"0xe1"]"#,
        ),
        (
            "eth_call",
            r#"[{},{"blockNumber": "latest"} ]"#,
            r#"[{},{"blockNumber": "0x101"} ]"#,
        ),
        ("eth_call", "[{},null,{}]", r#"[{},"0x101",{}]"#),
        (
            "eth_getLogs",
            r#"[{"toBlock":"latest","address":"latest","fromBlock":"safe"}]"#,
            r#"[{"toBlock":"0x101","address":"latest","fromBlock":"0xe1"}]"#,
        ),
    ] {
        assert_eq!(rewritten(method, params).as_deref(), Some(expected), "{params}");
    }
}

/// Scenario E3.
#[test]
fn a_block_left_out_is_put_at_the_end() {
    for (method, params, expected) in [
        ("eth_call", r#"[ {"to":"0x1"} ]"#, r#"[ {"to":"0x1"},"0x101" ]"#),
        ("eth_getBalance", r#"["0xa"]"#, r#"["0xa","0x101"]"#),
        ("eth_getStorageAt", r#"["0xa","0x0"]"#, r#"["0xa","0x0","0x101"]"#),
    ] {
        assert_eq!(rewritten(method, params).as_deref(), Some(expected), "{params}");
    }
}

/// Scenario E4, E5.
#[test]
fn what_must_not_be_touched_is_not() {
    for (method, params) in [
        ("eth_call", "[]"),
        ("eth_getStorageAt", r#"["0xa"]"#),
        ("eth_getBlockByNumber", "[]"),
        ("debug_traceCall", "[{}]"),
        ("debug_traceCall", "[{},null]"),
        ("eth_call", r#"[{},"earliest"]"#),
        ("eth_call", r#"[{},"pending"]"#),
        ("eth_call", r#"[{},"finalized"]"#),
        ("eth_call", r#"[{},"0x1"]"#),
        ("eth_call", r#"[{},{"blockNumber":"0x1"}]"#),
        ("eth_call", &format!(r#"[{{}},{{"blockHash":"{HASH}"}}]"#)),
        ("eth_call", r#"[{},{"blockNumber":"latest","blockHash":"0x1"}]"#),
        ("eth_call", r#"{"block":"latest"}"#),
        ("eth_call", r#"[{},"latest""#),
        ("eth_getLogs", r#"[{"fromBlock":"0x1"}]"#),
        ("eth_getLogs", r#"[{"fromBlock":"latest","blockHash":"0x1"}]"#),
        ("eth_getLogs", "[]"),
        ("eth_chainId", r#"["latest"]"#),
        ("nobody_knows", r#"["latest"]"#),
    ] {
        assert_eq!(rewritten(method, params), None, "{method} {params}");
    }
    assert_eq!(rewrite(lookup("eth_call"), None, |_| Some(1)), None);
}

#[test]
fn deep_parameters_do_not_overflow_the_stack() {
    for params in [
        "[".repeat(200_000),
        format!("[{{}},{}", "{\"blockNumber\":".repeat(200_000)),
    ] {
        assert_eq!(block("eth_call", &params), BlockRef::Unknown);
        assert_eq!(rewritten("eth_call", &params), None);
    }
}

fn any_method() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "eth_call",
        "eth_getLogs",
        "eth_getStorageAt",
        "eth_getBlockByNumber",
        "eth_chainId",
    ])
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in r#"[\[\]{}:,"\\a0x2nul]{0,24}"#, method in any_method()) {
        block(method, &text);
        drop(rewrite(lookup(method), Some(&text), |_| Some(1)));
    }

    #[test]
    fn what_is_rewritten_is_json_and_differs_in_the_block_only(before in any_json(), behind in any_json()) {
        let with = |block: &str| format!(r#"[{before},{block} , {behind}]"#);
        prop_assert_eq!(rewritten("eth_call", &with("\"latest\"")), Some(with("\"0x101\"")));
        let filter = |block: &str| format!(r#"[{{"more":{before},"fromBlock":{block},"topics":{behind}}}]"#);
        prop_assert_eq!(rewritten("eth_getLogs", &filter("\"safe\"")), Some(filter("\"0xe1\"")));
    }
}
