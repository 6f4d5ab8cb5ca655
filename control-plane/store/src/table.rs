//! The tables of documents. Their numbers and names go into stores and never change.

use std::fmt;

/// What documents are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// Answers to requests that were given an id, by the id.
    Requests = 1,
    /// Names of revisions, by the name.
    Tags = 2,
    /// What is known of nodes, by their id.
    Nodes = 3,
    /// Staged rollouts, by their id.
    Rollouts = 4,
    /// Who did what, by the place in the chain.
    Audit = 5,
    /// Tokens of users, hashed, by their id.
    Tokens = 6,
    /// What the recommender found and did, by route and time.
    Explanations = 7,
    /// Computed weights, by upstream.
    Weights = 8,
    /// Values of secrets, encrypted, by name.
    Secrets = 9,
    /// Leases and who holds them, by name.
    Leases = 10,
    /// Switches of the whole fleet, such as a freeze, by name.
    Switches = 11,
}

impl Table {
    /// Every table, by number.
    pub const ALL: [Self; 11] = [
        Self::Requests,
        Self::Tags,
        Self::Nodes,
        Self::Rollouts,
        Self::Audit,
        Self::Tokens,
        Self::Explanations,
        Self::Weights,
        Self::Secrets,
        Self::Leases,
        Self::Switches,
    ];

    /// The table of a number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.number() == number)
    }

    /// The number in keys.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name in messages and paths.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tags => "tags",
            Self::Nodes => "nodes",
            Self::Rollouts => "rollouts",
            Self::Audit => "audit",
            Self::Tokens => "tokens",
            Self::Explanations => "explanations",
            Self::Weights => "weights",
            Self::Secrets => "secrets",
            Self::Leases => "leases",
            Self::Switches => "switches",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_found_by_its_number() {
        let numbers = Table::ALL.map(Table::number);
        assert!(numbers.is_sorted());
        for (table, next) in Table::ALL.into_iter().zip(1..) {
            assert_eq!(
                Table::from_number(next),
                Some(table),
                "{next} has no gap before it"
            );
        }
    }
}
