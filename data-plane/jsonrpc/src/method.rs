//! Methods and what the gateway has to know about them.

mod table;

/// Whether a request may be sent to another upstream when the first may already have carried it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replay {
    /// Carrying it out twice is the same as once: reads, and raw transactions, which are one by their hash.
    Safe,
    /// Carrying it out twice may change something twice, or nobody knows.
    Unsafe,
}

/// What a method does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Reads the chain or what the node knows of it.
    Read,
    /// Sends a transaction.
    Write,
    /// Makes, reads or ends a filter, which lives on one upstream and hands out each change once.
    Filter,
    /// Begins or ends a subscription, which lives on one connection.
    Subscription,
    /// Is about the node itself: its keys, peers, mining, database.
    Administration,
    /// Not known.
    Other,
}

/// Where a method says which block it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockParam {
    /// Nowhere, or by a hash of something else.
    None,
    /// In one parameter.
    At {
        /// Its place, from 0.
        position: usize,
        /// Whether it may be left out and is the head then.
        optional: bool,
    },
    /// In the first parameter, as `fromBlock`, `toBlock` or `blockHash`.
    LogFilter,
}

/// What a result that holds nothing means; see [`crate::empty::is_empty_result`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Empty {
    /// A good answer: no logs, a balance of zero.
    Legitimate,
    /// Perhaps that this upstream does not have what was looked up, while another one may.
    Suspicious,
}

/// A method's properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// The method's name if it is a known one, else `other`: a label that clients cannot multiply.
    pub label: &'static str,
    /// Its place among all labels, below [`COUNT`]: for tables of counts.
    pub index: u16,
    /// Whether it may be sent again.
    pub replay: Replay,
    /// What it does.
    pub kind: Kind,
    /// Where it says which block it is about.
    pub block: BlockParam,
    /// What a result that holds nothing means.
    pub empty: Empty,
}

/// How many labels there are, `other` included.
pub const COUNT: usize = table::KNOWN.len() + 1;

/// Every method that has a label, `other` the last of them.
#[must_use]
pub fn all() -> &'static [Method] {
    &METHODS
}

/// The properties of the method called `name`.
#[must_use]
pub fn lookup(name: &str) -> &'static Method {
    let mut slot = hash(name.as_bytes());
    while let Some(Some(method)) = SLOTS.get(slot).map(|place| METHODS.get(usize::from(*place))) {
        if method.label == name && method.label != OTHER {
            return method;
        }
        slot = (slot + 1) % SLOT_COUNT;
    }
    other()
}

/// What stands for all methods that are not known.
#[must_use]
pub const fn other() -> &'static Method {
    &METHODS[COUNT - 1]
}

const OTHER: &str = "other";

/// A few times as many as methods, so that most are found at once.
const SLOT_COUNT: usize = 1024;
/// In a slot without a method.
const EMPTY: u16 = u16::MAX;

/// All methods, each with its index.
#[expect(clippy::indexing_slicing, reason = "a wrong index does not compile here")]
static METHODS: [Method; COUNT] = {
    let mut methods = [method(OTHER, Kind::Other, Replay::Unsafe); COUNT];
    let mut at = 0;
    while at < COUNT {
        if at < table::KNOWN.len() {
            methods[at] = table::KNOWN[at];
        }
        #[expect(clippy::cast_possible_truncation, reason = "there are a few hundred")]
        let index = at as u16;
        methods[at].index = index;
        at += 1;
    }
    methods
};

/// The index of each known method at its hash, or in the first free slot after it.
#[expect(clippy::indexing_slicing, reason = "a wrong index does not compile here")]
static SLOTS: [u16; SLOT_COUNT] = {
    let mut slots = [EMPTY; SLOT_COUNT];
    let mut at = 0;
    while at < table::KNOWN.len() {
        let mut slot = hash(table::KNOWN[at].label.as_bytes());
        while slots[slot] != EMPTY {
            slot = (slot + 1) % SLOT_COUNT;
        }
        #[expect(clippy::cast_possible_truncation, reason = "there are a few hundred")]
        let index = at as u16;
        slots[slot] = index;
        at += 1;
    }
    slots
};

/// FNV-1a, folded to a slot. Clients who make names collide walk past a few slots more.
const fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    let mut rest = name;
    while let Some((byte, after)) = rest.split_first() {
        hash = (hash ^ *byte as u32).wrapping_mul(0x0100_0193);
        rest = after;
    }
    (hash ^ (hash >> 16)) as usize % SLOT_COUNT
}

impl Method {
    /// Whether several upstreams may be asked at once and the losers dropped: it reads, and any node will do.
    #[must_use]
    pub const fn may_race(&self) -> bool {
        matches!(self.kind, Kind::Read)
    }

    const fn at(self, position: usize) -> Self {
        let optional = false;
        self.with(BlockParam::At { position, optional })
    }

    const fn optional_at(self, position: usize) -> Self {
        let optional = true;
        self.with(BlockParam::At { position, optional })
    }

    const fn log_filter(self) -> Self {
        self.with(BlockParam::LogFilter)
    }

    const fn with(self, block: BlockParam) -> Self {
        Self { block, ..self }
    }

    const fn lookup(self) -> Self {
        Self {
            empty: Empty::Suspicious,
            ..self
        }
    }
}

const fn method(label: &'static str, kind: Kind, replay: Replay) -> Method {
    Method {
        label,
        index: 0,
        replay,
        kind,
        block: BlockParam::None,
        empty: Empty::Legitimate,
    }
}

const fn read(label: &'static str) -> Method {
    method(label, Kind::Read, Replay::Safe)
}

const fn raw(label: &'static str) -> Method {
    method(label, Kind::Write, Replay::Safe)
}

const fn write(label: &'static str) -> Method {
    method(label, Kind::Write, Replay::Unsafe)
}

const fn filter(label: &'static str) -> Method {
    method(label, Kind::Filter, Replay::Unsafe)
}

const fn subscription(label: &'static str) -> Method {
    method(label, Kind::Subscription, Replay::Unsafe)
}

/// Tells something of this very node.
const fn inspect(label: &'static str) -> Method {
    method(label, Kind::Administration, Replay::Safe)
}

/// Does something with the node's own keys or state.
const fn administer(label: &'static str) -> Method {
    method(label, Kind::Administration, Replay::Unsafe)
}

#[cfg(test)]
mod tests;
