//! Numbers in the place of tags.

use super::{BlockRef, Located, MAX_DEPTH, Member, Tag, by_object, locate, members, scalar};
use crate::method::{BlockParam, Method};

/// The parameters with a number in the place of each block tag for which `resolve` knows one, also inside an
/// EIP-1898 object or a filter of logs; a block parameter that was left out is put at the end.
///
/// `None`: nothing is to be changed. Every other byte stays. [`Tag::Pending`] and [`Tag::Earliest`] are not asked
/// for: what is pending has no number yet, and what is earliest differs from node to node.
#[must_use]
pub fn rewrite(
    method: &Method,
    params: Option<&str>,
    resolve: impl Fn(Tag) -> Option<u64>,
) -> Option<String> {
    let text = params?;
    let number = |tag| match tag {
        Tag::Latest | Tag::Safe | Tag::Finalized => resolve(tag).map(|number| format!("\"{number:#x}\"")),
        Tag::Pending | Tag::Earliest => None,
    };
    let edits = match locate(method.block, params) {
        Located::Unknown => Vec::new(),
        Located::Absent { count, end } => appended(method, count)
            .and_then(|separator| Some(Edit::insert(end, format!("{separator}{}", number(Tag::Latest)?))))
            .into_iter()
            .collect(),
        Located::Value { start, value } if method.block == BlockParam::LogFilter => {
            let [from, to, hash] = members(value, ["fromBlock", "toBlock", "blockHash"])?;
            let has_hash = hash.is_some();
            let replaced = |member: Option<Member<'_>>| {
                let (at, value) = member.filter(|_| !has_hash)?;
                let BlockRef::Tag(tag) = scalar(value) else {
                    return None;
                };
                Some(Edit::replace(start + at, value, number(tag)?))
            };
            [from, to].into_iter().filter_map(replaced).collect()
        }
        Located::Value { start, value } => replaced(method, start, value, number).into_iter().collect(),
    };
    apply(text, edits)
}

/// What goes before a block parameter put behind `count` others; `None` when it was not the next one, or may not
/// be left out.
fn appended(method: &Method, count: usize) -> Option<&'static str> {
    match method.block {
        BlockParam::At {
            position,
            optional: true,
        } if position == count => Some(if count == 0 { "" } else { "," }),
        _ => None,
    }
}

fn replaced(
    method: &Method,
    start: usize,
    value: &str,
    number: impl Fn(Tag) -> Option<String>,
) -> Option<Edit> {
    if value.starts_with('{') {
        let (BlockRef::Tag(tag), Some((at, tag_text))) = by_object(value)? else {
            return None;
        };
        return Some(Edit::replace(start + at, tag_text, number(tag)?));
    }
    match scalar(value) {
        BlockRef::Tag(tag) => Some(Edit::replace(start, value, number(tag)?)),
        BlockRef::Absent if matches!(method.block, BlockParam::At { optional: true, .. }) => {
            Some(Edit::replace(start, value, number(Tag::Latest)?))
        }
        _ => None,
    }
}

/// A part of a text and what comes in its place.
struct Edit {
    start: usize,
    end: usize,
    by: String,
}

impl Edit {
    fn insert(at: usize, by: String) -> Self {
        Self {
            start: at,
            end: at,
            by,
        }
    }

    fn replace(start: usize, value: &str, by: String) -> Self {
        Self {
            start,
            end: start + value.len(),
            by,
        }
    }
}

fn apply(text: &str, mut edits: Vec<Edit>) -> Option<String> {
    if edits.is_empty() || !is_whole(text) {
        return None;
    }
    edits.sort_by_key(|edit| edit.start);
    let mut rewritten = String::with_capacity(text.len() + 32);
    let mut from = 0;
    for edit in edits {
        rewritten.push_str(text.get(from..edit.start)?);
        rewritten.push_str(&edit.by);
        from = edit.end;
    }
    rewritten.push_str(text.get(from..)?);
    Some(rewritten)
}

/// Whether the text is one JSON value: what is not, is not touched.
fn is_whole(text: &str) -> bool {
    let mut scanner = crate::scan::Scanner::new(text, MAX_DEPTH);
    scanner.value().is_ok() && scanner.end().is_ok()
}
