//! What a method or route needs.

use crate::{Caller, Role, Who};

/// Nodes, as their certificates name their role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A gateway.
    Gateway,
    /// An exporter.
    Exporter,
    /// A recommender.
    Recommender,
}

impl NodeKind {
    /// The role in a certificate.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Exporter => "exporter",
            Self::Recommender => "recommender",
        }
    }
}

/// Whom a method or route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Anybody, known or not.
    Anybody,
    /// Anybody who is known.
    Known,
    /// Users of this role or a higher one.
    Role(Role),
    /// These nodes.
    Nodes(&'static [NodeKind]),
    /// Users of this role or a higher one, and these nodes.
    RoleOrNodes(Role, &'static [NodeKind]),
}

impl Permission {
    /// Whether the caller is one of those it is for.
    #[must_use]
    pub fn admits(self, caller: &Caller) -> bool {
        let (role, nodes) = match self {
            Self::Anybody | Self::Known => return true,
            Self::Role(role) => (Some(role), [].as_slice()),
            Self::Nodes(nodes) => (None, nodes),
            Self::RoleOrNodes(role, nodes) => (Some(role), nodes),
        };
        match &caller.who {
            Who::Anonymous => true,
            Who::User { role: own, .. } => role.is_some_and(|needed| *own >= needed),
            Who::Node(identity) => nodes.iter().any(|node| node.as_str() == identity.role),
        }
    }
}

/// Whether a call changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does not.
    Read,
    /// It does, so the audit log tells of it.
    Write,
    /// It does, and honours the caller's scope.
    ScopedWrite,
    /// It does not, and honours the caller's scope.
    ScopedRead,
}

impl Effect {
    /// Whether the audit log tells of every call.
    #[must_use]
    pub const fn is_write(self) -> bool {
        matches!(self, Self::Write | Self::ScopedWrite)
    }

    /// Whether callers with a scope may call.
    #[must_use]
    pub const fn knows_scopes(self) -> bool {
        matches!(self, Self::ScopedWrite | Self::ScopedRead)
    }
}

/// What a method or route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// `/package.Service/Method` or `METHOD /path/{parameter}`.
    pub name: &'static str,
    /// Whom it is for.
    pub permission: Permission,
    /// Whether it changes something.
    pub effect: Effect,
}
