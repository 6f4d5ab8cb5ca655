//! The rules of a route about blocks: numbers in the place of tags, ranges that are too long, blocks that nobody can
//! have yet.

use std::time::Instant;

use tyrscale_jsonrpc::block::{self, Edge};
use tyrscale_jsonrpc::method::{self, BlockParam};
use tyrscale_jsonrpc::{BlockRef, Call, Tag};
use tyrscale_model::Consistency;

use crate::heads::Heads;

/// Methods whose answer about a block that does not exist is `null`.
const NULL_BEYOND: [&str; 5] = [
    "eth_getBlockByNumber",
    "eth_getBlockReceipts",
    "eth_getBlockTransactionCountByNumber",
    "eth_getHeaderByNumber",
    "eth_getTransactionByBlockNumberAndIndex",
];

/// The method whose ranges are limited.
const LOGS: &str = "eth_getLogs";

/// What the rules make of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// It is sent as it came.
    AsItCame,
    /// It is sent with these parameters, a JSON text.
    Rewritten(String),
    /// Its answer is `null`: no upstream can have the block.
    Null,
    /// Its parameters are not served, for this reason.
    Invalid(String),
}

/// What a route's rules make of a call.
pub(crate) fn ruling(consistency: &Consistency, heads: &Heads, call: &Call<'_>) -> Ruling {
    let method = method::lookup(&call.method);
    let is_limited = consistency.max_log_range().is_some() && method.label == LOGS;
    let may_be_null = NULL_BEYOND.contains(&method.label);
    if method.block == BlockParam::None || !(is_limited || may_be_null || consistency.rewrite_block_tags) {
        return Ruling::AsItCame;
    }
    let now = Instant::now();
    match block::of(method, call.params) {
        BlockRef::Range { from, to } if is_limited => {
            if let Some(reason) = refusal(consistency, heads, from, to) {
                return Ruling::Invalid(reason);
            }
        }
        BlockRef::Number(number) if may_be_null && heads.is_beyond_all(number, now) => return Ruling::Null,
        _ => {}
    }
    if !consistency.rewrite_block_tags {
        return Ruling::AsItCame;
    }
    let rewritten = block::rewrite(method, call.params, |tag| heads.number(tag, now));
    rewritten.map_or(Ruling::AsItCame, Ruling::Rewritten)
}

/// Why a range of logs is refused.
fn refusal(consistency: &Consistency, heads: &Heads, from: Edge, to: Edge) -> Option<String> {
    let most = consistency.max_log_range()?;
    if let (Edge::Number(from), Edge::Number(to)) = (from, to)
        && from > to
    {
        return Some("the range of blocks ends before it begins".to_owned());
    }
    let span = number(to, heads)?
        .saturating_sub(number(from, heads)?)
        .saturating_add(1);
    (span > most).then(|| format!("the range of blocks spans {span}, more than {most}"))
}

fn number(edge: Edge, heads: &Heads) -> Option<u64> {
    match edge {
        Edge::Number(number) => Some(number),
        Edge::Tag(Tag::Earliest) => Some(0),
        Edge::Tag(Tag::Pending) => heads.height(Tag::Latest),
        Edge::Tag(tag) => heads.height(tag),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tyrscale_jsonrpc::request::parse;
    use tyrscale_jsonrpc::{Limits, Packet};

    use super::*;

    const ALL: Consistency = Consistency {
        rewrite_block_tags: true,
        max_log_range: 100,
        empty_lookups_elsewhere: false,
        max_height_jump: 0,
    };

    fn at_1000() -> Heads {
        let heads = Heads::default();
        let now = Instant::now();
        heads.look(
            Tag::Latest,
            &[Some((1000, now))],
            crate::heads::Trust {
                max_jump: 15_000,
                tolerance: 2,
                upstreams: 1,
            },
            Duration::from_secs(60),
            now,
        );
        heads
    }

    fn ruled(consistency: &Consistency, heads: &Heads, method: &str, params: &str) -> Ruling {
        let body = format!(r#"{{"id":1,"method":"{method}","params":{params}}}"#);
        let Ok(Packet::Single(call)) = parse(body.as_bytes(), &Limits::default()) else {
            panic!("no call: {body}");
        };
        ruling(consistency, heads, &call)
    }

    #[test]
    fn tags_become_numbers_where_the_route_says_so_and_a_head_is_known() {
        let heads = at_1000();
        let rewritten = Ruling::Rewritten(r#"[{},"0x3e8"]"#.to_owned());
        assert_eq!(ruled(&ALL, &heads, "eth_call", r#"[{},"latest"]"#), rewritten);
        for (consistency, heads, params) in [
            (Consistency::default(), &heads, r#"[{},"latest"]"#),
            (ALL, &Heads::default(), r#"[{},"latest"]"#),
            (ALL, &heads, r#"[{},"finalized"]"#),
            (ALL, &heads, r#"[{},"pending"]"#),
        ] {
            let ruling = ruled(&consistency, heads, "eth_call", params);
            assert_eq!(ruling, Ruling::AsItCame, "{params}");
        }
    }

    #[test]
    fn a_range_is_measured_by_the_heads_where_it_names_tags() {
        let heads = at_1000();
        let said = |params: &str| match ruled(&ALL, &heads, "eth_getLogs", params) {
            Ruling::Invalid(reason) => reason,
            _ => String::new(),
        };
        assert!(said(r#"[{"fromBlock":"0x1","toBlock":"0xc8"}]"#).contains("100"));
        assert!(said(r#"[{"fromBlock":"0x1"}]"#).contains("100"));
        assert!(said(r#"[{"fromBlock":"earliest","toBlock":"latest"}]"#).contains("1001"));
        assert!(said(r#"[{"fromBlock":"0x20","toBlock":"0x10"}]"#).contains("before"));
        for fits in [
            r#"[{"fromBlock":"0x1","toBlock":"0x64"}]"#,
            r#"[{"fromBlock":"0x3e0"}]"#,
            r#"[{"fromBlock":"0xffff"}]"#,
            r#"[{"fromBlock":"0x1","toBlock":"safe"}]"#,
            "[{}]",
        ] {
            assert_eq!(said(fits), "", "{fits}");
        }
    }

    #[test]
    fn a_block_beyond_all_is_null_for_lookups_only() {
        let heads = at_1000();
        let asked = |method: &str, params: &str| ruled(&Consistency::default(), &heads, method, params);
        assert_eq!(
            asked("eth_getBlockByNumber", r#"["0xffffff",false]"#),
            Ruling::Null
        );
        assert_eq!(
            asked("eth_getBlockByNumber", r#"["0x3e9",false]"#),
            Ruling::AsItCame
        );
        assert_eq!(asked("eth_call", r#"[{},"0xffffff"]"#), Ruling::AsItCame);
    }
}
