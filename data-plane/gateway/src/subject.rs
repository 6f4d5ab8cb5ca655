//! What a question is about, as far as that decides which upstreams can answer it.

use std::sync::OnceLock;

use smallvec::SmallVec;
use tyrscale_balance::{BlockBounds, BlockRef, DataKind, Reach};
use tyrscale_jsonrpc::block::{self, Edge};
use tyrscale_jsonrpc::{BlockRef as Asked, Call, Method, method};

use std::time::Instant;

use crate::receipts;

/// The methods that a question calls and the blocks it needs.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    calls: SmallVec<[&'a Call<'a>; 1]>,
    /// Each name once.
    methods: SmallVec<[&'a str; 1]>,
    /// Whether it asks for all receipts of a block, by whichever method an upstream has for that.
    needs_receipts: bool,
    /// Looked up only for upstreams of which it is known what they have.
    needs: OnceLock<Needs>,
}

/// The blocks that are needed of each kind of data.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Needs {
    state: Option<Span>,
    blocks: Option<Span>,
    traces: Option<Span>,
}

/// From the lowest to the highest block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    lowest: u64,
    highest: u64,
}

impl<'a> Subject<'a> {
    pub(crate) fn of(calls: impl Iterator<Item = &'a Call<'a>>) -> Self {
        let calls: SmallVec<[&Call<'_>; 1]> = calls.collect();
        let mut methods: SmallVec<[&str; 1]> = calls.iter().map(|call| &*call.method).collect();
        if methods.len() > 1 {
            methods.sort_unstable();
            methods.dedup();
        }
        Self {
            needs_receipts: methods.as_slice() == [receipts::METHOD],
            calls,
            methods,
            needs: OnceLock::new(),
        }
    }

    /// The methods, each once.
    pub(crate) fn methods(&self) -> &[&'a str] {
        &self.methods
    }

    /// Whether it asks for all receipts of a block, by whichever method an upstream has for that.
    pub(crate) const fn needs_receipts(&self) -> bool {
        self.needs_receipts
    }

    /// How many calls there are.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The only method, when there is only one call: what comes of a batch may be about any of its calls.
    pub(crate) fn only_method(&self) -> Option<&'a str> {
        match self.calls.as_slice() {
            [call] => Some(&call.method),
            _ => None,
        }
    }

    /// The blocks that are needed.
    pub(crate) fn needs(&self) -> &Needs {
        self.needs.get_or_init(|| {
            let mut needs = Needs::default();
            self.calls.iter().for_each(|call| needs.add(call));
            needs
        })
    }
}

impl Needs {
    fn add(&mut self, call: &Call<'_>) {
        let method = method::lookup(&call.method);
        let number = |edge| match edge {
            Edge::Number(number) => Some(number),
            Edge::Tag(_) => None,
        };
        let (lowest, highest) = match block::of(method, call.params) {
            Asked::Number(number) => (number, number),
            Asked::Range { from, to } => match (number(from), number(to)) {
                (Some(from), Some(to)) => (from.min(to), from.max(to)),
                (Some(one), None) | (None, Some(one)) => (one, one),
                (None, None) => return,
            },
            Asked::Tag(_) | Asked::Hash | Asked::Absent | Asked::Unknown => return,
        };
        let span = match kind(method) {
            DataKind::State => &mut self.state,
            DataKind::Blocks => &mut self.blocks,
            DataKind::Traces => &mut self.traces,
        };
        let before = span.unwrap_or(Span { lowest, highest });
        *span = Some(Span {
            lowest: lowest.min(before.lowest),
            highest: highest.max(before.highest),
        });
    }

    /// Whether no block is needed in particular.
    pub(crate) const fn are_none(&self) -> bool {
        self.state.is_none() && self.blocks.is_none() && self.traces.is_none()
    }

    /// The lowest block of each kind of data that is needed.
    pub(crate) fn lowest(&self) -> impl Iterator<Item = (DataKind, u64)> {
        self.spans().map(|(kind, span)| (kind, span.lowest))
    }

    /// Whether an upstream with these bounds has all of them.
    pub(crate) fn reach(&self, bounds: &BlockBounds, now: Instant) -> Reach {
        let mut all = Reach::Yes;
        for (kind, span) in self.spans() {
            for number in [span.lowest, span.highest] {
                match bounds.reach(kind, BlockRef::Number(number), now) {
                    Reach::Yes => {}
                    Reach::Unknown => all = Reach::Unknown,
                    no @ Reach::No(_) => return no,
                }
            }
        }
        all
    }

    fn spans(&self) -> impl Iterator<Item = (DataKind, Span)> {
        let all = [
            (DataKind::State, self.state),
            (DataKind::Blocks, self.blocks),
            (DataKind::Traces, self.traces),
        ];
        all.into_iter().filter_map(|(kind, span)| Some((kind, span?)))
    }
}

/// What kind of data a method reads.
fn kind(method: &Method) -> DataKind {
    match method.label {
        "eth_call"
        | "eth_createAccessList"
        | "eth_estimateGas"
        | "eth_getAccount"
        | "eth_getBalance"
        | "eth_getCode"
        | "eth_getProof"
        | "eth_getStorageAt"
        | "eth_getTransactionCount"
        | "eth_simulateV1"
        | "ots_hasCode" => DataKind::State,
        traces if traces.starts_with("trace_") || traces.starts_with("debug_trace") => DataKind::Traces,
        _ => DataKind::Blocks,
    }
}

#[cfg(test)]
mod tests {
    use tyrscale_jsonrpc::request::parse;
    use tyrscale_jsonrpc::{Limits, Packet};

    use super::*;

    fn calls<'p, 'a>(packet: &'p Packet<'a>) -> Vec<&'p Call<'a>> {
        match packet {
            Packet::Single(call) => vec![call],
            Packet::Batch(members) => members.iter().flatten().collect(),
        }
    }

    fn lowest(body: &str) -> Vec<(DataKind, u64)> {
        let packet: Packet<'_> = parse(body.as_bytes(), &Limits::default()).unwrap();
        Subject::of(calls(&packet).into_iter()).needs().lowest().collect()
    }

    #[test]
    fn the_blocks_of_a_call_are_of_the_kind_its_method_reads() {
        for (method, params, needs) in [
            ("eth_call", r#"[{},"0x10"]"#, vec![(DataKind::State, 16)]),
            (
                "eth_getBlockByNumber",
                r#"["0x10",false]"#,
                vec![(DataKind::Blocks, 16)],
            ),
            ("trace_block", r#"["0x10"]"#, vec![(DataKind::Traces, 16)]),
            (
                "eth_getLogs",
                r#"[{"fromBlock":"0x9","toBlock":"latest"}]"#,
                vec![(DataKind::Blocks, 9)],
            ),
            ("eth_call", r#"[{},"latest"]"#, vec![]),
            ("eth_getBlockByHash", r#"["0x10",false]"#, vec![]),
        ] {
            let body = format!(r#"{{"id":1,"method":"{method}","params":{params}}}"#);
            assert_eq!(lowest(&body), needs, "{body}");
        }
    }

    #[test]
    fn a_batch_needs_what_its_calls_need_and_names_each_method_once() {
        let body = r#"[{"id":1,"method":"eth_call","params":[{},"0x10"]},
            {"id":2,"method":"eth_call","params":[{},"0x5"]},{"id":3,"method":"eth_chainId"}]"#;
        assert_eq!(lowest(body), [(DataKind::State, 5)]);
        let packet = parse(body.as_bytes(), &Limits::default()).unwrap();
        let subject = Subject::of(calls(&packet).into_iter());
        assert_eq!(subject.methods(), ["eth_call", "eth_chainId"]);
        assert_eq!((subject.len(), subject.only_method()), (3, None));
    }
}
