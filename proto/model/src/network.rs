//! Networks: the chains that clients can reach.

use crate::{Kind, Name, ResourceKey, Violation, ViolationCode};

/// An EIP-155 chain id, above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId(u64);

impl ChainId {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for ChainId {
    type Error = Violation;

    fn try_from(number: u64) -> Result<Self, Violation> {
        match number {
            0 => Err(Violation::new(
                "chain_id",
                ViolationCode::OutOfRange,
                "must be greater than 0",
            )),
            _ => Ok(Self(number)),
        }
    }
}

/// A chain. Two networks may share a chain id, not a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// The id.
    pub name: Name,
    /// Which chain family, e.g. `ethereum`.
    pub blockchain: Name,
    /// The chain's id.
    pub chain_id: ChainId,
}

impl Network {
    /// The name that no network can have: what is bound to it reaches nothing.
    pub const NOWHERE: &'static str = "_no_network_is_named_this_";

    /// The rules that the types do not hold already.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        if self.name.as_str() == Self::NOWHERE {
            vec![Violation::new("name", ViolationCode::Invalid, "is reserved")]
        } else {
            Vec::new()
        }
    }

    /// The key of the network of this name.
    #[must_use]
    pub fn key_of(name: &Name) -> ResourceKey {
        ResourceKey::new(Kind::Network, name.as_str())
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        Self::key_of(&self.name)
    }
}
