//! What is wrong with a change: one [`Violation`] per broken rule, a [`Rejection`] for all of them.

use std::fmt;

use crate::ResourceKey;

/// Which rule was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ViolationCode {
    /// A field that must be set is not.
    Required,
    /// A field is not of the form it must have.
    Invalid,
    /// A number is outside its bounds.
    OutOfRange,
    /// A field that never changes was changed.
    Immutable,
    /// The id or a unique field belongs to another resource.
    AlreadyExists,
    /// The resource itself is not there.
    NotFound,
    /// A resource that this one names is not there.
    ReferenceNotFound,
    /// Other resources need this one.
    InUse,
    /// The etag given is not the current one.
    EtagMismatch,
    /// The revision expected is not the current one.
    RevisionMismatch,
    /// Another manager's documents own it.
    ManagedByAnother,
    /// There would be too many.
    LimitExceeded,
    /// The resource is outside of what the writer may touch.
    OutOfScope,
    /// Not every node understands what it needs.
    Unsupported,
}

impl ViolationCode {
    /// The code as it goes over the wire, lower snake case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Invalid => "invalid",
            Self::OutOfRange => "out_of_range",
            Self::Immutable => "immutable",
            Self::AlreadyExists => "already_exists",
            Self::NotFound => "not_found",
            Self::ReferenceNotFound => "reference_not_found",
            Self::InUse => "in_use",
            Self::EtagMismatch => "etag_mismatch",
            Self::RevisionMismatch => "revision_mismatch",
            Self::ManagedByAnother => "managed_by_another",
            Self::LimitExceeded => "limit_exceeded",
            Self::OutOfScope => "out_of_scope",
            Self::Unsupported => "unsupported",
        }
    }
}

/// One broken rule: which resource, which field, which rule, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The resource, when it is known which.
    pub resource: Option<ResourceKey>,
    /// Path of the field, e.g. `health_check.interval_ms`; empty for the whole resource.
    pub field: String,
    /// The rule.
    pub code: ViolationCode,
    /// The rule in words, lower case, never with a secret in it.
    pub message: String,
    /// The resource that stands in the way, when there is one.
    pub conflict: Option<ResourceKey>,
}

impl Violation {
    /// A broken rule of a field, of a resource named later by [`Violation::of`].
    #[must_use]
    pub fn new(field: impl Into<String>, code: ViolationCode, message: impl Into<String>) -> Self {
        Self {
            resource: None,
            field: field.into(),
            code,
            message: message.into(),
            conflict: None,
        }
    }

    /// The same, of this resource.
    #[must_use]
    pub fn of(mut self, resource: ResourceKey) -> Self {
        self.resource = Some(resource);
        self
    }

    /// The same, with the resource that stands in the way.
    #[must_use]
    pub fn against(mut self, conflict: ResourceKey) -> Self {
        self.conflict = Some(conflict);
        self
    }

    /// The same, with the field inside `parent`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(resource) = &self.resource {
            write!(f, "{resource}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// Why a change was refused: at least one violation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.summary())]
pub struct Rejection {
    /// Every broken rule found, the first the most important.
    pub violations: Vec<Violation>,
}

impl Rejection {
    fn summary(&self) -> String {
        let texts: Vec<String> = self.violations.iter().map(ToString::to_string).collect();
        texts.join("; ")
    }
}

impl From<Violation> for Rejection {
    fn from(violation: Violation) -> Self {
        Self {
            violations: vec![violation],
        }
    }
}

impl From<Vec<Violation>> for Rejection {
    fn from(violations: Vec<Violation>) -> Self {
        Self { violations }
    }
}
