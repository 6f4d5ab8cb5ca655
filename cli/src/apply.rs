//! `tyrctl apply`: many resources as one change.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;
use tyrscale_model::{OnHalt, RolloutPolicy, wire};
use tyrscale_proto::v1::{self, apply_request::Part};

use crate::{
    Connection, Failure, Output,
    args::TransportKind,
    input,
    output::say,
    resource::{self, Network, Recommendation, Resource, Route, Rpc, Secret, Upstream},
    transport::{GrpcClient, Reference, signed},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// YAML documents or JSON lists of resources, each with its `kind` and its id beside the fields of the API;
    /// "-" is standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Check everything, tell what would happen, change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Refuse unless the configuration is at this revision.
    #[arg(long, visible_alias = "expect-revision", value_name = "REVISION")]
    expected_revision: Option<u64>,
    /// How the change reaches the gateways: `all` at once, or stages parted by commas, each a count, a percentage or
    /// a label, and how long it must be good before the next. By default as the control plane was told.
    #[arg(long, value_name = "POLICY")]
    rollout: Option<RolloutPolicy>,
    /// Leave gateways where they are when the rollout halts, instead of reverting the change.
    #[arg(long, requires = "rollout")]
    hold_on_halt: bool,
    #[command(flatten)]
    ownership: Ownership,
    /// The most deletions allowed; a fifth of what exists, at least 10, when it is left out.
    #[arg(long, value_name = "COUNT")]
    max_deletes: Option<u32>,
    /// Done once within 24 hours, however often it is sent with this id.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,
    /// Why, for the control plane's log.
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
}

/// In whose name a document is applied.
#[derive(Debug, clap::Args)]
struct Ownership {
    /// In whose name: what the document puts belongs to this manager afterwards, and what others manage is refused.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    manager: String,
    /// Delete what belongs to the manager and is not in the document.
    #[arg(long, requires = "manager")]
    prune: bool,
    /// Take over what other managers own.
    #[arg(long, requires = "manager")]
    take_ownership: bool,
}

/// What became of a resource.
#[derive(Debug, Serialize)]
struct Applied {
    action: &'static str,
    #[serde(flatten)]
    resource: Option<Reference>,
}

pub(crate) async fn run(args: Args, connection: &Connection, output: Output) -> Result<(), Failure> {
    if connection.transport == TransportKind::Rest {
        return Err(Failure::Usage(
            "REST cannot apply: use --transport grpc".to_owned(),
        ));
    }
    let documents = input::read_many(&args.file)?;
    let resources = documents
        .into_iter()
        .enumerate()
        .map(|(index, document)| {
            read_resource(document).map_err(|failure| {
                Failure::Usage(format!(
                    "{}: resource {}: {failure}",
                    args.file.display(),
                    index + 1
                ))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let header = v1::ApplyHeader {
        expected_revision: args.expected_revision,
        dry_run: args.dry_run,
        message: args.message,
        rollout: args.rollout.map(|mut policy| {
            if args.hold_on_halt {
                policy.on_halt = OnHalt::Hold;
            }
            wire::rollout_policy_to_wire(&policy)
        }),
        request_id: args.request_id,
        manager: args.ownership.manager,
        prune: args.ownership.prune,
        take_ownership: args.ownership.take_ownership,
        max_deletes: args.max_deletes,
        ..v1::ApplyHeader::default()
    };
    let client = GrpcClient::connect(connection).await?;
    let upserts = resources.into_iter().map(upsert).collect();
    let answer = send(&client, header, upserts).await?;
    let revision = answer.version.map(|version| version.revision).unwrap_or_default();
    say(&match (args.dry_run, answer.unchanged) {
        (true, true) => format!("nothing would change: revision {revision} says so already"),
        (true, false) => format!("{} changes would make revision {revision}", answer.changes.len()),
        (false, true) => format!("nothing changed: revision {revision} says so already"),
        (false, false) => format!("{} changes made in revision {revision}", answer.changes.len()),
    });
    for warning in answer
        .warnings
        .iter()
        .map(tyrscale_model::wire::violation_from_wire)
    {
        say(&format!("warning: {warning}"));
    }
    let applied: Vec<_> = answer.changes.iter().map(applied).collect();
    output.write_changes(&applied, &["action", "kind", "id"])
}

/// Sends upserts and deletions as one change.
pub(crate) async fn send(
    client: &GrpcClient,
    header: v1::ApplyHeader,
    operations: Vec<Part>,
) -> Result<v1::ApplyResponse, Failure> {
    let count = u32::try_from(operations.len())
        .map_err(|_| Failure::Usage("too many resources for one change".to_owned()))?;
    let parts: Vec<_> = std::iter::once(Part::Header(header))
        .chain(operations)
        .chain([Part::Commit(v1::ApplyCommit { count })])
        .map(|part| v1::ApplyRequest { part: Some(part) })
        .collect();
    let mut configuration = client.control_plane().configuration();
    let answer = configuration.apply(signed(tokio_stream::iter(parts))).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| client.failure(status))
}

/// Puts a resource, whatever was there before.
pub(crate) fn upsert(resource: v1::resource::Resource) -> Part {
    Part::Upsert(v1::ApplyUpsert {
        resource: Some(v1::Resource {
            resource: Some(resource),
        }),
        expectation: v1::Expectation::Unspecified.into(),
    })
}

fn read_resource(mut document: Value) -> Result<v1::resource::Resource, Failure> {
    let kind = document.as_object_mut().and_then(|fields| fields.remove("kind"));
    match kind.as_ref().and_then(Value::as_str) {
        Some("network") => read::<Network>(document),
        Some("secret") => read::<Secret>(document),
        Some("rpc") => read::<Rpc>(document),
        Some("route") => read::<Route>(document),
        Some("upstream") => read::<Upstream>(document),
        Some("recommendation") => read::<Recommendation>(document),
        _ => Err(Failure::Usage(
            "kind must be one of [network secret rpc route upstream recommendation]".to_owned(),
        )),
    }
}

fn read<R: Resource>(document: Value) -> Result<v1::resource::Resource, Failure> {
    let fields = document.as_object().cloned().unwrap_or_default();
    Ok(R::wrap(resource::from_fields::<R>(fields)?.into_message()))
}

fn applied(change: &v1::Change) -> Applied {
    Applied {
        action: match change.action() {
            v1::ChangeAction::Created => "created",
            v1::ChangeAction::Updated => "updated",
            v1::ChangeAction::Deleted => "deleted",
            v1::ChangeAction::Unspecified => "unspecified",
        },
        resource: change.resource.as_ref().map(Reference::from_message),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_resource_is_read_by_its_kind() {
        let network = json!({"kind": "network", "name": "eth", "chain_id": 1});
        let resource = read_resource(network).unwrap();
        assert!(matches!(resource, v1::resource::Resource::Network(network) if network.chain_id == 1));
    }

    #[test]
    fn a_kind_or_field_that_does_not_exist_is_refused() {
        for bad in [
            json!({"name": "eth"}),
            json!({"kind": "net"}),
            json!({"kind": "network", "chain": 1}),
            json!(null),
            json!([]),
        ] {
            assert!(read_resource(bad.clone()).is_err(), "{bad}");
        }
    }
}
