use proptest::prelude::*;
use serde_json::json;

use super::*;

const ALL: [Question; 10] = [
    Question::BlockNumber,
    Question::Peers,
    Question::Syncing,
    Question::ChainId,
    Question::GasPrice,
    Question::ClientVersion,
    Question::Finalized,
    Question::Safe,
    Question::Pool,
    Question::StateAt(7),
];

fn read(question: Question, result: Value) -> Result<Reading, Reason> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string();
    question.read(StatusCode::OK, body.as_bytes(), Vendor::Other)
}

fn failed(status: u16, body: &str) -> Reason {
    let status = StatusCode::from_u16(status).unwrap();
    let read = Question::BlockNumber.read(status, body.as_bytes(), Vendor::Other);
    read.unwrap_err()
}

#[test]
fn good_answers_are_read() {
    for (question, result, reading) in [
        (Question::BlockNumber, json!("0x10"), Reading::Height(16)),
        (Question::Peers, json!("0x0"), Reading::Peers(0)),
        (Question::Syncing, json!(false), Reading::Syncing(false)),
        (
            Question::Syncing,
            json!({"currentBlock": "0x1"}),
            Reading::Syncing(true),
        ),
        (
            Question::GasPrice,
            json!("0x3b9aca00"),
            Reading::GasPrice(1_000_000_000),
        ),
        (
            Question::ClientVersion,
            json!("Geth/v1"),
            Reading::ClientVersion("Geth/v1".to_owned()),
        ),
        (
            Question::Finalized,
            json!({"number": "0xff"}),
            Reading::Finalized(255),
        ),
        (
            Question::Pool,
            json!({"pending": "0x2", "queued": "0x1"}),
            Reading::Pool {
                pending: 2,
                queued: 1,
            },
        ),
        (
            Question::StateAt(7),
            json!("0xffffffffffffffffffffffffffffffff"),
            Reading::State {
                block: 7,
                is_served: true,
            },
        ),
    ] {
        assert_eq!(read(question, result), Ok(reading));
    }
}

#[test]
fn what_cannot_be_is_a_failure_with_a_reason() {
    for result in [
        json!("0xffffffffffffffffffffffff"),
        json!("0x20000000000001"),
        json!("-0x1"),
        json!("0x-1"),
        json!("0x+1"),
        json!(16),
        json!(-1),
        json!("latest"),
        json!(""),
        json!(null),
        json!([]),
        json!({"number": "0x1"}),
    ] {
        assert_eq!(
            read(Question::BlockNumber, result.clone()),
            Err(Reason::BadResult),
            "{result}"
        );
    }
    assert_eq!(
        read(Question::ClientVersion, json!("a\nb")),
        Err(Reason::BadResult)
    );
    assert_eq!(read(Question::Finalized, json!(null)), Err(Reason::BadResult));
    assert_eq!(failed(200, "<html>502</html>"), Reason::NotJsonRpc);
    assert_eq!(failed(200, ""), Reason::NotJsonRpc);
    assert_eq!(failed(503, "down"), Reason::Status);
    assert_eq!(failed(429, ""), Reason::RateLimited);
    assert_eq!(failed(401, ""), Reason::Unauthorized);
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"method not found"}}"#;
    assert_eq!(failed(200, error), Reason::Unsupported);
}

#[test]
fn pruned_state_is_an_answer() {
    let error = json!({"jsonrpc": "2.0", "id": 1, "error": {
        "code": -32000, "message": "missing trie node 00 (path ) state 0x00 is not available"}});
    let read = Question::StateAt(7).read(StatusCode::OK, error.to_string().as_bytes(), Vendor::Other);
    assert_eq!(
        read,
        Ok(Reading::State {
            block: 7,
            is_served: false
        })
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "0x[0-9a-fA-F]{0,80}".prop_map(Value::from),
        "-?0x-?[0-9a-f]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(
                "number|pending|queued|result|error|code|[a-z]{1,6}",
                inner,
                0..4
            )
            .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A reading is within what its kind may be.
fn is_plausible(reading: &Reading) -> bool {
    match reading {
        Reading::Height(height) | Reading::Finalized(height) | Reading::Safe(height) => *height <= MAX_HEIGHT,
        Reading::Peers(peers) => *peers <= MAX_PEERS,
        Reading::Pool { pending, queued } => *pending <= MAX_POOL && *queued <= MAX_POOL,
        Reading::ClientVersion(version) => version.chars().count() <= MAX_VERSION,
        Reading::Syncing(_) | Reading::ChainId(_) | Reading::GasPrice(_) | Reading::State { .. } => true,
    }
}

proptest! {
    #[test]
    fn no_bytes_crash_it(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        status in 100u16..600,
        which in 0usize..ALL.len(),
    ) {
        let status = StatusCode::from_u16(status).unwrap();
        let read = ALL[which].read(status, &bytes, Vendor::Other);
        prop_assert!(read.is_err() || is_plausible(&read.unwrap()));
    }

    #[test]
    fn no_result_crashes_it(result in any_json(), which in 0usize..ALL.len()) {
        let read = read(ALL[which], result);
        prop_assert!(read.is_err() || is_plausible(&read.unwrap()));
    }

    #[test]
    fn no_body_crashes_it(body in any_json(), which in 0usize..ALL.len()) {
        let read = ALL[which].read(StatusCode::OK, body.to_string().as_bytes(), Vendor::Other);
        prop_assert!(read.is_err() || is_plausible(&read.unwrap()));
    }
}
