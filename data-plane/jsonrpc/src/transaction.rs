//! Raw transactions: the hash that names one, and what that settles.
//!
//! Sending a signed transaction twice is the same as once, for it is one by its hash. An upstream that has it
//! already says so as an error; with the hash computed here that is the answer the client wanted.

use sha3::{Digest, Keccak256};

use crate::id::RawId;
use crate::response::{Answer, Expect, inspect};
use crate::scan::{Scanner, decode};

/// The first byte of a blob transaction. Source: EIP-4844.
const BLOB_TYPE: u8 = 3;
/// From here on, the first byte of an RLP item says that it is a list. Source: Yellow Paper, appendix B.
const RLP_LIST: u8 = 0xc0;
/// From here on, it says how many bytes the length of the list has.
const RLP_LONG_LIST: u8 = 0xf8;

/// The hash of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionHash([u8; 32]);

impl std::fmt::Display for TransactionHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// The hash of the transaction in the parameters of `eth_sendRawTransaction`; `None` when they hold none.
///
/// It is the Keccak-256 of the transaction's bytes, legacy or typed (EIP-2718). A blob transaction is sent with
/// its blobs, which its hash leaves out (EIP-4844).
#[must_use]
pub fn hash(params: &str) -> Option<TransactionHash> {
    let mut scanner = Scanner::new(params, 2);
    if scanner.token().ok()? != b'[' || !scanner.enter().ok()? {
        return None;
    }
    let text = decode(scanner.value().ok()?)?;
    let bytes = bytes_of(text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?)?;
    let mut hasher = Keccak256::new();
    match without_blobs(&bytes) {
        Some(payload) => {
            hasher.update([BLOB_TYPE]);
            hasher.update(payload);
        }
        None => hasher.update(&bytes),
    }
    Some(TransactionHash(hasher.finalize().into()))
}

/// The answer to a client whose transaction an upstream has already.
#[must_use]
pub fn accepted(id: Option<RawId<'_>>, hash: TransactionHash) -> Vec<u8> {
    let id = id.map_or("null", RawId::as_str);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"{hash}"}}"#).into_bytes()
}

/// The request that asks an upstream whether it has the transaction.
#[must_use]
pub fn lookup(hash: TransactionHash) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getTransactionByHash","params":["{hash}"]}}"#)
        .into_bytes()
}

/// Whether the answer to [`lookup`] shows that the upstream has it.
#[must_use]
pub fn is_found(body: &[u8]) -> bool {
    inspect(body, Expect::Single) == Answer::Result && !crate::empty::is_empty_result(body)
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    digits.as_bytes().chunks(2).map(byte).collect()
}

/// The transaction proper of a blob transaction that comes with its blobs: type 3, then a list whose first item
/// is a list. Without them the first item is the chain id.
fn without_blobs(bytes: &[u8]) -> Option<&[u8]> {
    let list = bytes.strip_prefix(&[BLOB_TYPE])?;
    let inside = list.get(list_header(list)?.0..)?;
    let (header, length) = list_header(inside)?;
    inside.get(..header.checked_add(length)?)
}

/// The lengths of an RLP list's header and content; `None` for what is no list.
fn list_header(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = *bytes.first()?;
    if first < RLP_LIST {
        return None;
    }
    if first < RLP_LONG_LIST {
        return Some((1, usize::from(first - RLP_LIST)));
    }
    let count = usize::from(first - RLP_LONG_LIST) + 1;
    let digits = bytes.get(1..count + 1)?;
    let length = digits.iter().try_fold(0_usize, |length, byte| {
        length.checked_mul(256)?.checked_add(usize::from(*byte))
    })?;
    Some((count + 1, length))
}

#[cfg(test)]
mod tests;
