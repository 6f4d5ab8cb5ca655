//! Which block a call is about, read from its parameters without parsing the rest of them.
//!
//! Source: Execution APIs, "Block tags"; EIP-1898; the filters of `eth_getLogs` (EIP-234).

use crate::method::{BlockParam, Method};
use crate::scan::{Scanner, decode};

mod rewrite;

pub use rewrite::rewrite;

/// Deepest nesting of parameters that is looked into.
const MAX_DEPTH: usize = 128;
/// The length of a hash with its `0x`.
const HASH_LENGTH: usize = 66;

/// A name for a block that moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tag {
    /// The head.
    Latest,
    /// Unlikely to be reorganised.
    Safe,
    /// Final.
    Finalized,
    /// Not a block yet.
    Pending,
    /// The first block, or the first that a node keeps.
    Earliest,
}

/// One end of a range of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Edge {
    /// A height.
    Number(u64),
    /// A tag; [`Tag::Latest`] when none was given.
    Tag(Tag),
}

/// Which block a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockRef {
    /// A height.
    Number(u64),
    /// A tag.
    Tag(Tag),
    /// A block's hash.
    Hash,
    /// A filter of logs.
    Range {
        /// The first block.
        from: Edge,
        /// The last block.
        to: Edge,
    },
    /// None is given, or `null`: the head, where the method has a block parameter at all.
    Absent,
    /// There is one in a form that is not known.
    Unknown,
}

impl Tag {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Safe => "safe",
            Self::Finalized => "finalized",
            Self::Pending => "pending",
            Self::Earliest => "earliest",
        }
    }

    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "latest" => Self::Latest,
            "safe" => Self::Safe,
            "finalized" => Self::Finalized,
            "pending" => Self::Pending,
            "earliest" => Self::Earliest,
            _ => return None,
        })
    }
}

/// The block that a call of `method` with `params`, the JSON text of its parameters, is about.
///
/// Every method without a block parameter gives [`BlockRef::Absent`].
#[must_use]
pub fn of(method: &Method, params: Option<&str>) -> BlockRef {
    match locate(method.block, params) {
        Located::Value { value, .. } if method.block == BlockParam::LogFilter => filter(value),
        Located::Value { value, .. } => single(value),
        Located::Absent { .. } if method.block == BlockParam::LogFilter => BlockRef::Unknown,
        Located::Absent { .. } => BlockRef::Absent,
        Located::Unknown => BlockRef::Unknown,
    }
}

/// Where the block parameter is.
#[derive(Debug, Clone, Copy)]
enum Located<'a> {
    /// At a byte of the parameters' text.
    Value { start: usize, value: &'a str },
    /// There are only so many parameters; another one could be put at a byte of the text.
    Absent { count: usize, end: usize },
    /// The parameters are no array.
    Unknown,
}

fn locate(place: BlockParam, params: Option<&str>) -> Located<'_> {
    let at = match place {
        BlockParam::None => return Located::Absent { count: 0, end: 0 },
        BlockParam::LogFilter => 0,
        BlockParam::At { position, .. } => position,
    };
    let Some(params) = params else {
        return Located::Absent { count: 0, end: 0 };
    };
    element(params, at).unwrap_or(Located::Unknown)
}

fn element(params: &str, at: usize) -> Option<Located<'_>> {
    let mut scanner = Scanner::new(params, MAX_DEPTH);
    if scanner.token().ok()? != b'[' {
        return None;
    }
    let mut follows = scanner.enter().ok()?;
    let (mut count, mut end) = (0, scanner.position());
    while follows {
        scanner.token().ok()?;
        let start = scanner.position();
        let value = scanner.value().ok()?;
        if count == at {
            return Some(Located::Value { start, value });
        }
        count += 1;
        end = scanner.position();
        follows = scanner.more().ok()?;
    }
    Some(Located::Absent { count, end })
}

/// What one block parameter says.
fn single(value: &str) -> BlockRef {
    if value.starts_with('{') {
        return by_object(value).map_or(BlockRef::Unknown, |(block, _)| block);
    }
    scalar(value)
}

fn scalar(value: &str) -> BlockRef {
    match value.as_bytes().first() {
        Some(b'n') => BlockRef::Absent,
        Some(b'"') => decode(value).map_or(BlockRef::Unknown, |text| text_block(&text)),
        Some(b'0'..=b'9') => value.parse().map_or(BlockRef::Unknown, BlockRef::Number),
        _ => BlockRef::Unknown,
    }
}

fn text_block(text: &str) -> BlockRef {
    if let Some(tag) = Tag::of(text) {
        return BlockRef::Tag(tag);
    }
    let is_plain = |digits: &str| !digits.starts_with(['+', '-']);
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if text.len() == HASH_LENGTH => {
            let is_hash = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            return if is_hash {
                BlockRef::Hash
            } else {
                BlockRef::Unknown
            };
        }
        Some(digits) if is_plain(digits) => u64::from_str_radix(digits, 16).ok(),
        None if is_plain(text) => text.parse().ok(),
        _ => None,
    };
    number.map_or(BlockRef::Unknown, BlockRef::Number)
}

/// A member of a JSON object: where its value starts, and the value.
type Member<'a> = (usize, &'a str);

/// What an EIP-1898 object says, and where its number or tag is.
fn by_object(value: &str) -> Option<(BlockRef, Option<Member<'_>>)> {
    let [number, hash] = members(value, ["blockNumber", "blockHash"])?;
    match (number, hash) {
        (Some(number), None) => Some((scalar(number.1), Some(number))),
        (None, Some((_, hash))) => Some((scalar(hash), None)).filter(|(block, _)| *block == BlockRef::Hash),
        _ => None,
    }
}

/// What a filter of logs says.
fn filter(value: &str) -> BlockRef {
    let Some([from, to, hash]) = members(value, ["fromBlock", "toBlock", "blockHash"]) else {
        return BlockRef::Unknown;
    };
    let hash = hash.filter(|(_, hash)| *hash != "null");
    match (edge(from), edge(to), hash) {
        (_, _, Some((_, hash))) if from.is_none() && to.is_none() => Some(scalar(hash))
            .filter(|block| *block == BlockRef::Hash)
            .unwrap_or(BlockRef::Unknown),
        (Some(from), Some(to), None) => BlockRef::Range { from, to },
        _ => BlockRef::Unknown,
    }
}

fn edge(member: Option<Member<'_>>) -> Option<Edge> {
    let Some((_, value)) = member else {
        return Some(Edge::Tag(Tag::Latest));
    };
    match scalar(value) {
        BlockRef::Number(number) => Some(Edge::Number(number)),
        BlockRef::Tag(tag) => Some(Edge::Tag(tag)),
        BlockRef::Absent => Some(Edge::Tag(Tag::Latest)),
        BlockRef::Hash | BlockRef::Range { .. } | BlockRef::Unknown => None,
    }
}

/// The members of an object with these names; `None` when it is no object, or has one of them twice.
fn members<'a, const N: usize>(object: &'a str, names: [&str; N]) -> Option<[Option<Member<'a>>; N]> {
    let mut scanner = Scanner::new(object, MAX_DEPTH);
    let mut found = [None; N];
    if scanner.token().ok()? != b'{' {
        return None;
    }
    let mut follows = scanner.enter().ok()?;
    while follows {
        let key = scanner.key().ok()?;
        scanner.token().ok()?;
        let start = scanner.position();
        let value = scanner.value().ok()?;
        let slot = names
            .iter()
            .position(|name| *name == key)
            .and_then(|at| found.get_mut(at));
        if slot.is_some_and(|slot| slot.replace((start, value)).is_some()) {
            return None;
        }
        follows = scanner.more().ok()?;
    }
    Some(found)
}

#[cfg(test)]
mod tests;
