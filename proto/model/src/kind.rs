//! The kinds of resources, the key that names one, and the part of the configuration a reader sees.

use std::{fmt, sync::Arc};

/// The kinds of resources. The numbers are those of `tyrscale.v1.Kind` and go into digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A chain.
    Network = 1,
    /// A value that must not be seen.
    Secret = 2,
    /// An endpoint of a network.
    Rpc = 3,
    /// A plugin attached to a route.
    Plugin = 4,
    /// A place a route sends requests to.
    Upstream = 5,
    /// Where clients connect.
    Route = 6,
    /// Whose weights are computed.
    Recommendation = 7,
}

impl Kind {
    /// Every kind, in the order of the numbers.
    pub const ALL: [Self; 7] = [
        Self::Network,
        Self::Secret,
        Self::Rpc,
        Self::Plugin,
        Self::Upstream,
        Self::Route,
        Self::Recommendation,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind of a wire number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| i32::from(kind.number()) == number)
    }

    /// Position in [`Kind::ALL`].
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Network => 0,
            Self::Secret => 1,
            Self::Rpc => 2,
            Self::Plugin => 3,
            Self::Upstream => 4,
            Self::Route => 5,
            Self::Recommendation => 6,
        }
    }

    /// The name as used in messages and commands.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Secret => "secret",
            Self::Rpc => "rpc",
            Self::Plugin => "plugin",
            Self::Upstream => "upstream",
            Self::Route => "route",
            Self::Recommendation => "recommendation",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names one resource: its kind and its id within the kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey {
    /// The kind.
    pub kind: Kind,
    /// The id: a network's or secret's name, a plugin attachment's `route/name`, a recommendation's route, else a UUID.
    pub id: Arc<str>,
}

impl ResourceKey {
    /// The key of `id` among the resources of `kind`.
    #[must_use]
    pub fn new(kind: Kind, id: impl Into<Arc<str>>) -> Self {
        Self { kind, id: id.into() }
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

/// The part of the configuration a reader sees: a set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct View(u8);

impl View {
    /// Everything.
    pub const ALL: Self = Self(0b111_1111);

    /// The view of these kinds.
    #[must_use]
    pub fn of(kinds: &[Kind]) -> Self {
        Self(kinds.iter().fold(0, |bits, kind| bits | (1 << kind.index())))
    }

    /// Whether resources of `kind` are seen.
    #[must_use]
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind.index()) != 0
    }

    /// The kinds seen, in the order of their numbers.
    pub fn kinds(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}
