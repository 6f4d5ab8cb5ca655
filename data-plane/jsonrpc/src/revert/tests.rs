use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// `Error("no")`.
const DATA: &str = "0x08c379a0000000000000000000000000000000000000000000000000000000000000002000000000000000000000000000000000000000000000000000000000000000026e6f000000000000000000000000000000000000000000000000000000000000";
/// `InsufficientBalance(uint256)`, a custom error.
const CUSTOM: &str = "0xf4d678b80000000000000000000000000000000000000000000000000000000000000001";

fn normalised(body: &str) -> Value {
    serde_json::from_slice(&normalise(body.as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_result_that_is_an_error_becomes_one_under_its_id() {
    let body = format!(r#"{{"jsonrpc":"2.0","id":9007199254740993,"result":"{DATA}"}}"#);
    assert!(is_result(body.as_bytes()));
    let error = json!({"code": 3, "message": "execution reverted: no", "data": DATA});
    assert_eq!(
        normalised(&body),
        json!({"jsonrpc": "2.0", "id": 9_007_199_254_740_993_u64, "error": error})
    );
}

#[test]
fn other_results_stay_results() {
    for result in [
        "\"0x\"".to_owned(),
        "null".to_owned(),
        "\"0x08c379a0\"".to_owned(),
        format!("\"{}\"", DATA.replace("0020", "0021")),
        format!("\"{DATA}ff\""),
        format!("\"{}\"", DATA.replace("6e6f", "6e6g")),
        format!("[\"{DATA}\"]"),
        format!("\"{}{}\"", "0x", "11".repeat(400)),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        assert!(!is_result(body.as_bytes()), "{result}");
        assert_eq!(normalise(body.as_bytes()), None, "{result}");
    }
    assert!(
        !is_result(format!(r#"{{"id":1,"result":"{DATA}""#).as_bytes()),
        "cut short"
    );
}

#[test]
fn bytes_are_moved_to_where_libraries_read_them() {
    for data in [
        json!(format!("Reverted {DATA}")),
        json!(format!("Revert {DATA}")),
        json!({"data": DATA}),
        json!({"originalError": {"code": 3, "data": DATA}}),
        json!({"message": "reverted", "data": {"data": DATA}}),
        json!({"0x5e6c": {"error": "revert", "return": DATA, "reason": "no"}}),
        json!({"data": format!("Reverted {DATA}")}),
    ] {
        let body = json!({"jsonrpc": "2.0", "id": "a", "error": {"code": -32015, "message": "VM execution error.", "data": data}});
        let mut expected = body.clone();
        expected["error"]["data"] = json!(DATA);
        assert_eq!(normalised(&body.to_string()), expected, "{data}");
    }
}

#[test]
fn an_empty_revert_is_clean_hex_too() {
    let body = r#"{"id":1,"error":{"code":-32015,"message":"VM execution error.","data":"Reverted 0x"}}"#;
    assert_eq!(normalised(body)["error"]["data"], json!("0x"));
}

#[test]
fn bytes_in_the_message_get_a_place_of_their_own() {
    let body = format!(r#"{{"id":1, "error":{{"code":-32000,"message":"execution reverted: {CUSTOM}" }} }}"#);
    let expected = format!(
        r#"{{"id":1, "error":{{"code":-32000,"message":"execution reverted: {CUSTOM}","data":"{CUSTOM}" }} }}"#
    );
    assert_eq!(normalise(body.as_bytes()), Some(expected.into_bytes()));
}

#[test]
fn what_is_clean_or_holds_no_bytes_is_not_touched() {
    for error in [
        json!({"code": 3, "message": "execution reverted", "data": DATA}),
        json!({"code": 3, "message": "execution reverted", "data": "0x"}),
        json!({"code": 3, "message": "execution reverted"}),
        json!({"code": 3, "message": "execution reverted", "data": null}),
        json!({"code": 3, "message": "execution reverted", "data": "out of luck"}),
        json!({"code": 3, "message": "execution reverted", "data": {"reason": "no"}}),
        json!({"code": 3, "message": "reverted: 0xdac17f958d2ee523a2206206994597c13d831ec7 is blocked"}),
        json!({"code": 3, "message": "reverted in 0x88e96d4537bea4d9c05d12549907b32561d3bf31f45aae734cdc119f13406cb6"}),
        json!("execution reverted"),
    ] {
        let body = json!({"id": 1, "error": error}).to_string();
        assert_eq!(normalise(body.as_bytes()), None, "{body}");
    }
    for body in ["", "{", "[]", "null", "{\"error\":{\"data\":"] {
        assert_eq!(normalise(body.as_bytes()), None, "{body}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(body in any::<Vec<u8>>(), hex in "[0-9a-f]{0,300}") {
        drop(normalise(&body));
        let result = format!(r#"{{"result":"0x08c379a0{hex}"}}"#);
        prop_assert_eq!(is_result(result.as_bytes()), normalise(result.as_bytes()).is_some());
    }

    #[test]
    fn what_was_put_right_is_right(data in crate::scan::tests::any_json()) {
        let body = json!({"id": 1, "error": {"code": 3, "message": "m", "data": data}}).to_string();
        if let Some(clean) = normalise(body.as_bytes()) {
            prop_assert_eq!(normalise(&clean), None);
        }
    }
}
