use proptest::prelude::*;

use super::*;
use crate::request::{Limits, Packet, parse};

/// The example of EIP-155.
const LEGACY: &str = "0xf86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83";

fn hashed(raw: &str) -> Option<String> {
    hash(&format!("[ \"{raw}\" ]")).map(|hash| hash.to_string())
}

#[test]
fn the_hash_is_the_keccak_of_the_bytes() {
    assert_eq!(
        hashed(LEGACY).unwrap(),
        "0x33469b22e9f636356c4160a87eb19df52b7412e8eac32a4a55ffe88ea8350788"
    );
    assert_eq!(hashed(LEGACY), hashed(&LEGACY.to_uppercase()));
    // Keccak-256 of one byte 0x02, an empty transaction of that type.
    assert_eq!(
        hashed("0x02").unwrap(),
        "0xf2ee15ea639b73fa3db9b34a245bdfa015c260c598b211bf05a1ecc4b3e3b4f2"
    );
}

#[test]
fn the_hash_of_a_blob_transaction_leaves_its_blobs_out() {
    // Type 3; a list of [transaction, blobs, commitments, proofs]; the transaction alone is [1, 2].
    let alone = hashed("0x03c20102").unwrap();
    assert_eq!(hashed("0x03c6c20102c0c0c0").unwrap(), alone);
    let long = format!("0x03f848c20102{}", "00".repeat(69));
    assert_eq!(hashed(&long).unwrap(), alone);
}

#[test]
fn what_is_no_raw_transaction_has_no_hash() {
    for params in [
        "",
        "[]",
        "{}",
        "[1]",
        "[\"\"]",
        "[\"0x\"]",
        "[\"0x1\"]",
        "[\"0x0g\"]",
        "[\"f86c\"]",
        "[{\"raw\":\"0x01\"}]",
        "[\"0x\u{e9}\u{e9}\"]",
    ] {
        assert_eq!(hash(params), None, "{params}");
    }
}

#[test]
fn a_known_transaction_is_answered_under_the_clients_id() {
    let body = format!(r#"{{"id":1.0,"method":"eth_sendRawTransaction","params":["{LEGACY}"]}}"#);
    let Ok(Packet::Single(call)) = parse(body.as_bytes(), &Limits::default()) else {
        panic!()
    };
    let answer = accepted(call.id, hash(call.params.unwrap()).unwrap());
    assert_eq!(
        String::from_utf8(answer).unwrap(),
        r#"{"jsonrpc":"2.0","id":1.0,"result":"0x33469b22e9f636356c4160a87eb19df52b7412e8eac32a4a55ffe88ea8350788"}"#
    );
}

#[test]
fn a_lookup_asks_for_the_transaction_and_only_an_object_finds_it() {
    let body = lookup(hash("[\"0x02\"]").unwrap());
    let Ok(Packet::Single(call)) = parse(&body, &Limits::default()) else {
        panic!()
    };
    assert_eq!(call.method, "eth_getTransactionByHash");
    assert_eq!(
        call.params,
        Some(r#"["0xf2ee15ea639b73fa3db9b34a245bdfa015c260c598b211bf05a1ecc4b3e3b4f2"]"#)
    );
    assert!(is_found(br#"{"id":1,"result":{"hash":"0x1"}}"#));
    for body in [
        r#"{"id":1,"result":null}"#,
        r#"{"id":1,"error":{"code":1}}"#,
        "",
        "<html>",
    ] {
        assert!(!is_found(body.as_bytes()), "{body}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_hashed_without_a_panic(bytes in any::<Vec<u8>>(), prefix in prop_oneof![Just("03"), Just("03ff"), Just("")]) {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let raw = format!("0x{prefix}{digits}");
        prop_assert_eq!(hashed(&raw).is_some(), raw.len() > 2);
    }
}
