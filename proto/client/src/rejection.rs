//! Broken rules as details of a gRPC status, in both directions.
//!
//! The details are a `google.rpc.Status` (the error model of Google's API design guide, AIP-193) whose details
//! are one `tyrscale.v1.Violation` each. They travel in trailers, which peers bound, so they are cut to what
//! every client takes; the message then says how many are left out.

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tyrscale_model::{Rejection, ViolationCode, wire};
use tyrscale_proto::v1;

const TYPE_URL: &str = "type.googleapis.com/tyrscale.v1.Violation";
/// Encoded bytes of all details. Base64 makes four of three; common clients take 16 KiB of trailers.
const MAX_DETAILS: usize = 6 * 1024;
/// Bytes of the message; percent-encoding may make three of one.
const MAX_MESSAGE: usize = 1024;

/// The status code that the first, most important violation asks for.
#[must_use]
pub fn code_of(rejection: &Rejection) -> Code {
    let Some(first) = rejection.violations.first() else {
        return Code::InvalidArgument;
    };
    match first.code {
        ViolationCode::Required
        | ViolationCode::Invalid
        | ViolationCode::OutOfRange
        | ViolationCode::Immutable => Code::InvalidArgument,
        ViolationCode::AlreadyExists => Code::AlreadyExists,
        ViolationCode::NotFound | ViolationCode::ReferenceNotFound => Code::NotFound,
        ViolationCode::InUse
        | ViolationCode::ManagedByAnother
        | ViolationCode::LimitExceeded
        | ViolationCode::Unsupported => Code::FailedPrecondition,
        ViolationCode::EtagMismatch | ViolationCode::RevisionMismatch => Code::Aborted,
        ViolationCode::OutOfScope => Code::PermissionDenied,
    }
}

/// The status that carries a rejection.
#[must_use]
pub fn to_status(rejection: &Rejection, code: Code) -> Status {
    let mut details = Vec::new();
    let mut size = 0;
    for violation in &rejection.violations {
        let detail = Any {
            type_url: TYPE_URL.to_owned(),
            value: wire::violation_to_wire(violation).encode_to_vec(),
        };
        size += detail.encoded_len();
        if size > MAX_DETAILS {
            break;
        }
        details.push(detail);
    }
    let message = message_of(rejection, details.len());
    let status = tonic_types::Status {
        code: code.into(),
        message: message.clone(),
        details,
    };
    Status::with_details(code, message, status.encode_to_vec().into())
}

/// The violations a status carries, if any.
#[must_use]
pub fn from_status(status: &Status) -> Option<Rejection> {
    let carried = tonic_types::Status::decode(status.details()).ok()?;
    let violations: Vec<_> = carried
        .details
        .iter()
        .filter(|detail| detail.type_url == TYPE_URL)
        .filter_map(|detail| v1::Violation::decode(detail.value.as_slice()).ok())
        .map(|violation| wire::violation_from_wire(&violation))
        .collect();
    (!violations.is_empty()).then_some(Rejection { violations })
}

fn message_of(rejection: &Rejection, carried: usize) -> String {
    let mut message = String::new();
    let mut told = 0;
    for violation in rejection.violations.iter().take(carried.max(1)) {
        let text = violation.to_string();
        if told > 0 && message.len() + text.len() > MAX_MESSAGE {
            break;
        }
        if told > 0 {
            message.push_str("; ");
        }
        message.extend(text.chars().take(MAX_MESSAGE / 4));
        told += 1;
    }
    match rejection.violations.len() - told {
        0 => message,
        more => format!("{message}; and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tyrscale_model::{Kind, ResourceKey, Violation};

    use super::*;

    const CODES: [(ViolationCode, Code); 13] = [
        (ViolationCode::Required, Code::InvalidArgument),
        (ViolationCode::Invalid, Code::InvalidArgument),
        (ViolationCode::OutOfRange, Code::InvalidArgument),
        (ViolationCode::Immutable, Code::InvalidArgument),
        (ViolationCode::AlreadyExists, Code::AlreadyExists),
        (ViolationCode::NotFound, Code::NotFound),
        (ViolationCode::ReferenceNotFound, Code::NotFound),
        (ViolationCode::InUse, Code::FailedPrecondition),
        (ViolationCode::EtagMismatch, Code::Aborted),
        (ViolationCode::RevisionMismatch, Code::Aborted),
        (ViolationCode::ManagedByAnother, Code::FailedPrecondition),
        (ViolationCode::LimitExceeded, Code::FailedPrecondition),
        (ViolationCode::Unsupported, Code::FailedPrecondition),
    ];

    prop_compose! {
        fn violation()(
            code in 0..CODES.len(),
            field in "[a-z_.]{0,20}",
            message in ".{0,40}",
            resource in proptest::option::of("[a-z]{1,8}"),
            conflict in proptest::option::of("[a-z]{1,8}"),
        ) -> Violation {
            let key = |id: String| ResourceKey::new(Kind::Network, id);
            Violation {
                resource: resource.map(key),
                conflict: conflict.map(key),
                ..Violation::new(field, CODES[code].0, message)
            }
        }
    }

    proptest! {
        #[test]
        fn a_rejection_survives_the_way_through_a_status(
            violations in proptest::collection::vec(violation(), 1..12),
        ) {
            let rejection = Rejection { violations };
            let status = to_status(&rejection, code_of(&rejection));
            prop_assert_eq!(from_status(&status), Some(rejection));
        }

        #[test]
        fn details_of_any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let status = Status::with_details(Code::Internal, "", bytes.into());
            drop(from_status(&status));
        }
    }

    #[test]
    fn the_first_violation_gives_the_code() {
        for (violation, code) in CODES {
            let first = Violation::new("a", violation, "broken");
            let second = Violation::new("b", ViolationCode::Invalid, "broken");
            assert_eq!(code_of(&Rejection::from(vec![first, second])), code);
        }
    }

    #[test]
    fn a_long_rejection_is_cut_and_says_so() {
        let violation = Violation::new("url", ViolationCode::Invalid, "x".repeat(100));
        let rejection = Rejection {
            violations: vec![violation; 1000],
        };
        let status = to_status(&rejection, Code::InvalidArgument);
        assert!(status.details().len() < 8 * 1024);
        assert!(status.message().len() < 2 * MAX_MESSAGE);
        assert!(status.message().ends_with(" more"), "{}", status.message());
        assert!(!from_status(&status).unwrap().violations.is_empty());
    }

    #[test]
    fn a_status_without_violations_carries_no_rejection() {
        assert_eq!(from_status(&Status::unavailable("closed")), None);
    }
}
