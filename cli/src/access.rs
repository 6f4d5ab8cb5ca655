//! `tyrctl token`, `audit`, `events`, `node` and `whoami`: who may call what, and what was done.

mod audit;
mod node;
mod token;

use std::collections::BTreeMap;

use prost_types::Timestamp;
use serde::Serialize;
use tyrscale_proto::v1;

pub(crate) use audit::{AuditVerb, EventsArgs, events};
pub(crate) use node::NodeVerb;
pub(crate) use token::TokenVerb;

use crate::{
    Connection, Failure, Output,
    args::TransportKind,
    transport::{GrpcClient, signed},
};

/// Whom the control plane takes the caller for.
#[derive(Debug, Serialize)]
struct Me {
    subject: String,
    role: String,
    networks: Vec<String>,
    labels: BTreeMap<String, String>,
    credential: String,
    identity: String,
    expires: Option<String>,
}

/// `tyrctl whoami`.
pub(crate) async fn whoami(connection: &Connection, output: Output) -> Result<(), Failure> {
    let client = connect(connection).await?;
    let answer = client
        .control_plane()
        .access()
        .who_am_i(signed(v1::WhoAmIRequest {}))
        .await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    let role = role_word(answer.role()).to_owned();
    let scope = answer.scope.unwrap_or_default();
    let me = Me {
        role,
        subject: answer.subject,
        networks: scope.networks,
        labels: scope.labels,
        credential: answer.credential_id,
        identity: answer.identity,
        expires: answer.expire_time.map(time),
    };
    output.write_one(
        &me,
        &["subject", "role", "networks", "labels", "credential", "expires"],
    )
}

async fn connect(connection: &Connection) -> Result<GrpcClient, Failure> {
    if connection.transport == TransportKind::Rest {
        return Err(Failure::Usage(
            "REST knows neither tokens nor the audit log: use --transport grpc".to_owned(),
        ));
    }
    GrpcClient::connect(connection).await
}

const fn role_word(role: v1::AccessRole) -> &'static str {
    match role {
        v1::AccessRole::Unspecified => "",
        v1::AccessRole::Viewer => "viewer",
        v1::AccessRole::Operator => "operator",
        v1::AccessRole::Editor => "editor",
        v1::AccessRole::Admin => "admin",
    }
}

/// To the second, in UTC.
fn time(mut time: Timestamp) -> String {
    time.nanos = 0;
    time.to_string()
}
