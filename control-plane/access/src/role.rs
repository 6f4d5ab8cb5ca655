//! What callers may do.

use tyrscale_proto::v1::AccessRole;

/// What a caller may do; each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Read, with secrets masked.
    Viewer,
    /// Set weights, cordon, drain, freeze, roll back.
    Operator,
    /// Write the configuration.
    Editor,
    /// Tokens, nodes, the audit log, restores.
    Admin,
}

impl Role {
    /// The name in messages and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }

    /// From a message; none when it is not set or of a newer version.
    #[must_use]
    pub const fn from_wire(role: AccessRole) -> Option<Self> {
        match role {
            AccessRole::Unspecified => None,
            AccessRole::Viewer => Some(Self::Viewer),
            AccessRole::Operator => Some(Self::Operator),
            AccessRole::Editor => Some(Self::Editor),
            AccessRole::Admin => Some(Self::Admin),
        }
    }

    /// As a message.
    #[must_use]
    pub const fn to_wire(self) -> AccessRole {
        match self {
            Self::Viewer => AccessRole::Viewer,
            Self::Operator => AccessRole::Operator,
            Self::Editor => AccessRole::Editor,
            Self::Admin => AccessRole::Admin,
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
