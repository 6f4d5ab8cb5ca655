//! Tokens, nodes and refusals as messages.

use prost_types::Timestamp;
use tonic::Status;
use tyrscale_access::{AccessError, RevokedNode, Scope, Token};
use tyrscale_model::{Violation, ViolationCode};
use tyrscale_proto::v1;

use crate::grpc::{refused, store_status};

pub(super) fn time(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

pub(super) fn scope(scope: &Scope) -> Option<v1::AccessScope> {
    (!scope.is_everywhere()).then(|| v1::AccessScope {
        networks: scope.networks().map(ToString::to_string).collect(),
        labels: scope.labels().clone(),
    })
}

pub(super) fn token(token: &Token) -> v1::Token {
    v1::Token {
        id: token.id.to_string(),
        subject: token.subject.clone(),
        role: token.role.to_wire().into(),
        scope: scope(&token.scope),
        create_time: Some(time(token.created)),
        expire_time: Some(time(token.expires)),
        last_use_time: token.last_use.map(time),
        revoke_time: token.revoked.map(time),
        created_by: token.created_by.clone(),
    }
}

pub(super) fn node(node: &RevokedNode) -> v1::RevokedNode {
    v1::RevokedNode {
        node_id: node.node.clone(),
        revoke_time: Some(time(node.revoked)),
        revoked_by: node.revoked_by.clone(),
        reason: node.reason.clone(),
    }
}

/// The status of what was not done.
pub(super) fn status(error: AccessError) -> Status {
    let text = error.to_string();
    match error {
        AccessError::Invalid { field, rule } => invalid(field, rule),
        AccessError::NoSuchToken(_) => Status::not_found(text),
        AccessError::TooMany(_) | AccessError::Dead | AccessError::OtherPepper(_) => {
            Status::failed_precondition(text)
        }
        AccessError::Full => Status::resource_exhausted(text),
        AccessError::Unreadable(_) => Status::data_loss(text),
        AccessError::Store(error) => store_status(error),
    }
}

pub(super) fn invalid(field: &'static str, rule: &'static str) -> Status {
    refused(Violation::new(field, ViolationCode::Invalid, rule))
}
