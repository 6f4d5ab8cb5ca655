//! The digest that proves a content: order-independent, updated in time that depends on the change alone.
//!
//! Per kind, every resource is a leaf `BLAKE3(kind ‖ len(id) ‖ id ‖ payload)`, and 256 buckets hold the sums of
//! their leaves modulo 2^256; the bucket is the first byte of `BLAKE3(kind ‖ id)`. The kind's hash is
//! `BLAKE3(domain ‖ kind ‖ count ‖ buckets)` and the digest of a view is `BLAKE3(domain ‖ lane ‖ (kind ‖ hash)…)`
//! over its kinds, those of secrets only when there are any. The lane WEIGHTS has one kind alone and the same construction. So one changed resource costs three small hashes and one of 8 KiB, any view's digest is had
//! from the same sums, and equal content gives an equal digest whatever the order of changes.
//!
//! Sums of hashes resist accidents, not forgers; authenticity is the transport's matter.

use std::{
    fmt,
    sync::{Arc, LazyLock, OnceLock},
};

use crate::{Kind, Lane, View};

const KIND_DOMAIN: &[u8] = b"tyrscale.v1 kind";
const VIEW_DOMAIN: &[u8] = b"tyrscale.v1 view";
const BUCKETS: usize = 256;

/// 32 bytes that prove a content.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A number modulo 2^256, least significant limb first.
type Sum = [u64; 4];

fn leaf(kind: u8, id: &str, payload: &[u8]) -> Sum {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(&(id.len() as u64).to_le_bytes());
    hasher.update(id.as_bytes());
    hasher.update(payload);
    let hash = *hasher.finalize().as_bytes();
    let mut sum = [0; 4];
    for (limb, bytes) in sum.iter_mut().zip(hash.chunks_exact(8)) {
        *limb = bytes
            .iter()
            .rev()
            .fold(0, |value, byte| (value << 8) | u64::from(*byte));
    }
    sum
}

fn bucket_of(kind: u8, id: &str) -> usize {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(id.as_bytes());
    usize::from(hasher.finalize().as_bytes().first().copied().unwrap_or_default())
}

fn add(sum: &mut Sum, term: &Sum) {
    let mut carry = false;
    for (limb, other) in sum.iter_mut().zip(term) {
        let (value, first) = limb.overflowing_add(*other);
        let (value, second) = value.overflowing_add(u64::from(carry));
        *limb = value;
        carry = first || second;
    }
}

fn subtract(sum: &mut Sum, term: &Sum) {
    let mut borrow = false;
    for (limb, other) in sum.iter_mut().zip(term) {
        let (value, first) = limb.overflowing_sub(*other);
        let (value, second) = value.overflowing_sub(u64::from(borrow));
        *limb = value;
        borrow = first || second;
    }
}

/// The sums of one kind, known by its number.
#[derive(Clone)]
pub(crate) struct KindDigest {
    kind: u8,
    count: u64,
    buckets: Arc<[Sum; BUCKETS]>,
    hash: OnceLock<[u8; 32]>,
}

impl KindDigest {
    pub(crate) fn new(kind: u8) -> Self {
        Self {
            kind,
            count: 0,
            buckets: Arc::new([[0; 4]; BUCKETS]),
            hash: OnceLock::new(),
        }
    }

    fn hash(&self) -> [u8; 32] {
        *self.hash.get_or_init(|| {
            let mut bytes = Vec::with_capacity(BUCKETS * 32);
            for limb in self.buckets.iter().flatten() {
                bytes.extend_from_slice(&limb.to_le_bytes());
            }
            let mut hasher = blake3::Hasher::new();
            hasher.update(KIND_DOMAIN);
            hasher.update(&[self.kind]);
            hasher.update(&self.count.to_le_bytes());
            hasher.update(&bytes);
            *hasher.finalize().as_bytes()
        })
    }

    fn change(&mut self, id: &str, operate: impl FnOnce(&mut Sum)) {
        let buckets = Arc::make_mut(&mut self.buckets);
        if let Some(sum) = buckets.get_mut(bucket_of(self.kind, id)) {
            operate(sum);
        }
        self.hash = OnceLock::new();
    }

    /// Takes a resource in.
    pub(crate) fn add(&mut self, id: &str, payload: &[u8]) {
        let leaf = leaf(self.kind, id, payload);
        self.count += 1;
        self.change(id, |sum| add(sum, &leaf));
    }

    /// Takes a resource out that was taken in with the same payload.
    pub(crate) fn remove(&mut self, id: &str, payload: &[u8]) {
        let leaf = leaf(self.kind, id, payload);
        self.count = self.count.saturating_sub(1);
        self.change(id, |sum| subtract(sum, &leaf));
    }

    /// The digest of a lane that has this kind alone.
    pub(crate) fn digest(&self, lane: Lane) -> Digest {
        digest_of(lane, std::iter::once((self.kind, self.hash())))
    }
}

impl fmt::Debug for KindDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KindDigest")
            .field("kind", &self.kind)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

fn digest_of(lane: Lane, kinds: impl Iterator<Item = (u8, [u8; 32])>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(VIEW_DOMAIN);
    hasher.update(&[lane as u8]);
    for (kind, hash) in kinds {
        hasher.update(&[kind]);
        hasher.update(&hash);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// The hash of each kind, in the order of [`Kind::ALL`]: enough to give any view's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindHashes(pub [[u8; 32]; Kind::ALL.len()]);

impl KindHashes {
    /// Those of no content at all. They are worked out once: as sums of any content, they cost a hash of 8 KiB a kind.
    #[must_use]
    pub fn of_nothing() -> Self {
        static NOTHING: LazyLock<KindHashes> = LazyLock::new(|| ContentDigest::default().hashes());
        *NOTHING
    }

    /// The digest of what `view` sees.
    #[must_use]
    pub fn digest(&self, lane: Lane, view: View) -> Digest {
        let kinds = Kind::ALL.into_iter().zip(self.0);
        let seen = kinds
            .filter(|(kind, hash)| view.contains(*kind) && (*kind != Kind::Secret || *hash != *NO_SECRETS));
        digest_of(lane, seen.map(|(kind, hash)| (kind.number(), hash)))
    }
}

/// The hash of secrets where there are none. Their kind came later than the others, and those who do not know it
/// compute the same digest as those who do as long as there are none.
static NO_SECRETS: LazyLock<[u8; 32]> = LazyLock::new(|| KindDigest::new(Kind::Secret.number()).hash());

/// The sums of all kinds of one content.
#[derive(Debug, Clone)]
pub struct ContentDigest {
    kinds: [KindDigest; Kind::ALL.len()],
}

impl Default for ContentDigest {
    fn default() -> Self {
        Self {
            kinds: Kind::ALL.map(|kind| KindDigest::new(kind.number())),
        }
    }
}

impl ContentDigest {
    fn kind_mut(&mut self, kind: Kind) -> Option<&mut KindDigest> {
        self.kinds.get_mut(kind.index())
    }

    /// Takes a resource in.
    pub fn add(&mut self, kind: Kind, id: &str, payload: &[u8]) {
        if let Some(sums) = self.kind_mut(kind) {
            sums.add(id, payload);
        }
    }

    /// Takes a resource out that was taken in with the same payload.
    pub fn remove(&mut self, kind: Kind, id: &str, payload: &[u8]) {
        if let Some(sums) = self.kind_mut(kind) {
            sums.remove(id, payload);
        }
    }

    /// The hash of each kind.
    #[must_use]
    pub fn hashes(&self) -> KindHashes {
        KindHashes(self.kinds.each_ref().map(KindDigest::hash))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(content: &ContentDigest) -> Digest {
        content.hashes().digest(Lane::Config, View::ALL)
    }

    #[test]
    fn a_view_ignores_kinds_outside_it() {
        let mut content = ContentDigest::default();
        let view = View::of(&[Kind::Network]);
        let before = content.hashes().digest(Lane::Config, view);
        content.add(Kind::Route, "r", b"payload");
        assert_eq!(before, content.hashes().digest(Lane::Config, view));
        assert_ne!(before, digest(&content));
    }

    #[test]
    fn secrets_count_once_there_are_any() {
        let mut content = ContentDigest::default();
        let others = View::of(&[Kind::Network, Kind::Rpc]);
        let all = View::of(&[Kind::Network, Kind::Secret, Kind::Rpc]);
        let of = |content: &ContentDigest, view| content.hashes().digest(Lane::Config, view);
        assert_eq!(of(&content, others), of(&content, all));
        content.add(Kind::Secret, "alchemy", b"sealed");
        assert_ne!(of(&content, others), of(&content, all));
        content.remove(Kind::Secret, "alchemy", b"sealed");
        assert_eq!(of(&content, others), of(&content, all));
    }

    #[test]
    fn an_id_and_a_payload_cannot_trade_bytes() {
        let mut one = ContentDigest::default();
        one.add(Kind::Route, "ab", b"c");
        let mut other = ContentDigest::default();
        other.add(Kind::Route, "a", b"bc");
        assert_ne!(digest(&one), digest(&other));
    }

    proptest! {
        #[test]
        fn the_order_of_changes_does_not_matter(
            items in proptest::collection::btree_map("[a-z]{1,6}", proptest::collection::vec(any::<u8>(), 0..20), 0..30),
            removed in proptest::collection::btree_map("[0-9]{1,6}", proptest::collection::vec(any::<u8>(), 0..20), 0..10),
        ) {
            let mut forward = ContentDigest::default();
            for (id, payload) in &items {
                forward.add(Kind::Rpc, id, payload);
            }
            let mut backward = ContentDigest::default();
            for (id, payload) in &removed {
                backward.add(Kind::Rpc, id, payload);
            }
            for (id, payload) in items.iter().rev() {
                backward.add(Kind::Rpc, id, payload);
            }
            for (id, payload) in &removed {
                backward.remove(Kind::Rpc, id, payload);
            }
            prop_assert_eq!(digest(&forward), digest(&backward));
        }
    }
}
