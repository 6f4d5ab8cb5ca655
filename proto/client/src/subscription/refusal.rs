//! Why an update is not taken.

use tyrscale_model::{Rejection, Version, Violation, ViolationCode, wire};
use tyrscale_proto::v1;

pub use tyrscale_proto::v1::NackReason;

/// Violations a Nack carries at most.
const MAX_VIOLATIONS: usize = 32;

/// Why an update was refused; what ran before runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The class.
    pub reason: NackReason,
    /// What was offered, as far as it could be read.
    pub target: Option<Version>,
    /// The broken rules.
    pub rejection: Rejection,
}

impl Refusal {
    pub(crate) fn new(reason: NackReason, target: Option<Version>, rejection: impl Into<Rejection>) -> Self {
        Self {
            reason,
            target,
            rejection: rejection.into(),
        }
    }

    /// An update that contradicts itself or the protocol.
    pub(crate) fn decode(target: Option<Version>, field: &str, message: &str) -> Self {
        let violation = Violation::new(field, ViolationCode::Invalid, message);
        Self::new(NackReason::Decode, target, violation)
    }

    /// The answer to the message of this nonce.
    pub(crate) fn to_nack(&self, nonce: u64, running: Option<&Version>) -> v1::Nack {
        let violations = &self.rejection.violations;
        v1::Nack {
            nonce,
            rejected: self.target.as_ref().map(wire::version_to_wire),
            running: running.map(wire::version_to_wire),
            reason: self.reason.into(),
            violations: violations
                .iter()
                .take(MAX_VIOLATIONS)
                .map(wire::violation_to_wire)
                .collect(),
            violations_total: u32::try_from(violations.len()).unwrap_or(u32::MAX),
        }
    }
}
