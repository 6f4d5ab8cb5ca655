//! Versions: (lineage, dense revision, digest) in a lane.

use std::fmt;

use crate::Digest;

/// An independent sequence of revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Lane {
    /// What operators want.
    Config = 1,
    /// What the recommender computed.
    Weights = 2,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Self; 2] = [Self::Config, Self::Weights];

    /// The name as used in logs, metrics and commands.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Weights => "weights",
        }
    }
}

/// Whose order revisions are in: 16 random bytes, made when a store is created.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lineage(pub [u8; 16]);

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How many changes were committed since the store was empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which content: ordered by revision within a lineage, proved by the digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// The sequence.
    pub lane: Lane,
    /// Whose order.
    pub lineage: Lineage,
    /// The place in it.
    pub revision: Revision,
    /// The proof.
    pub digest: Digest,
}
