//! What understanding a request and its answer costs: `cargo bench -p tyrscale-jsonrpc`.

use divan::{Bencher, black_box};
use tyrscale_jsonrpc::request::parse;
use tyrscale_jsonrpc::response::inspect_for;
use tyrscale_jsonrpc::{
    Asked, Expect, Limits, Observed, RawId, Vendor, Verdict, block, classify, method, transaction,
};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0xdac17f958d2ee523a2206206994597c13d831ec7","data":"0x18160ddd"},"latest"]}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":1,"result":"0x0000000000000000000000000000000000000000000000000067d9f5e3c4a1f2"}"#;
const REVERT: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"execution reverted: ERC20: transfer amount exceeds balance","data":"0x08c379a0"}}"#;
const UNKNOWN: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32099,"message":"something that no rule of the table has ever heard of"}}"#;

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 10, 100])]
fn parse_batch(bencher: Bencher<'_, '_>, calls: usize) {
    let body = format!("[{}]", vec![CALL; calls].join(","));
    bencher.bench(|| parse(black_box(body.as_bytes()), &Limits::default()).is_ok());
}

#[divan::bench]
fn parse_single() -> bool {
    parse(black_box(CALL.as_bytes()), &Limits::default()).is_ok()
}

#[divan::bench(args = [RESULT, REVERT, UNKNOWN])]
fn judge(body: &str) -> Verdict {
    let asked = Asked {
        expect: Expect::Single,
        id: RawId::parse(b"1"),
    };
    let seen = inspect_for(black_box(body.as_bytes()), asked);
    classify(&Observed {
        status: 200,
        is_ours: seen.is_ours,
        method: method::lookup("eth_call"),
        vendor: Vendor::Other,
        answer: &seen.answer,
        body: body.as_bytes(),
    })
}

#[divan::bench(args = ["eth_call", "eth_getTransactionReceipt", "nobody_knows"])]
fn look_up(name: &str) -> u16 {
    method::lookup(black_box(name)).index
}

#[divan::bench]
fn block_reference() -> block::BlockRef {
    let params = r#"[{"to":"0xdac17f958d2ee523a2206206994597c13d831ec7","data":"0x18160ddd"},"latest"]"#;
    block::of(method::lookup("eth_call"), black_box(Some(params)))
}

#[divan::bench]
fn hash_of_a_transaction() -> bool {
    let params = format!("[\"0x02{}\"]", "ab".repeat(200));
    transaction::hash(black_box(&params)).is_some()
}
