//! What was changed, by whom, and back: `history`, `diff`, `rollback`, `tag`, `export` and `watch`. All of it over
//! gRPC.

mod compare;
mod export;
mod history;
mod tag;
mod watch;

use serde::Serialize;
use tyrscale_model::{Kind, ResourceKey, wire};
use tyrscale_proto::v1;

pub(crate) use compare::{DiffArgs, RollbackArgs, diff, roll_back};
pub(crate) use export::{Args as ExportArgs, run as export};
pub(crate) use history::{Args as HistoryArgs, run as history};
pub(crate) use tag::{TagVerb, run as tag};
pub(crate) use watch::{Args as WatchArgs, run as watch};

use crate::{Connection, Failure, args::TransportKind, transport::GrpcClient};

/// A resource as it is typed: `kind/id`.
pub(crate) fn parse_reference(text: &str) -> Result<ResourceKey, String> {
    let parsed = text.split_once('/').and_then(|(kind, id)| {
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        (!id.is_empty()).then(|| ResourceKey::new(kind, id))
    });
    parsed.ok_or_else(|| {
        let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("must be KIND/ID with one of the kinds {}", kinds.join(", "))
    })
}

fn references(keys: &[ResourceKey]) -> Vec<v1::ResourceRef> {
    keys.iter().map(wire::key_to_wire).collect()
}

/// The services, which REST does not have.
async fn connect(command: &str, connection: &Connection) -> Result<GrpcClient, Failure> {
    if connection.transport == TransportKind::Rest {
        let message = format!("REST has no {command}: use --transport grpc");
        return Err(Failure::Usage(message));
    }
    GrpcClient::connect(connection).await
}

/// One changed resource, or one changed field of it.
#[derive(Debug, Serialize)]
pub(crate) struct Changed {
    action: &'static str,
    kind: &'static str,
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    field: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    before: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    after: String,
}

/// The columns of [`Changed`].
pub(crate) const CHANGED: &[&str] = &["action", "kind", "id", "field", "before", "after"];

/// A line for each changed resource, or for each of its fields where they are told.
pub(crate) fn changed(changes: &[v1::Change]) -> Vec<Changed> {
    let mut lines = Vec::new();
    for change in changes {
        let key = change.resource.as_ref().and_then(wire::key_from_wire);
        let line = |field: Option<&v1::FieldChange>| Changed {
            action: match change.action() {
                v1::ChangeAction::Created => "created",
                v1::ChangeAction::Updated => "updated",
                v1::ChangeAction::Deleted => "deleted",
                v1::ChangeAction::Unspecified => "unspecified",
            },
            kind: key.as_ref().map_or("unknown", |key| key.kind.as_str()),
            id: change
                .resource
                .as_ref()
                .map(|resource| resource.id.clone())
                .unwrap_or_default(),
            field: field.map(|field| field.path.clone()).unwrap_or_default(),
            before: field.map(|field| field.before.clone()).unwrap_or_default(),
            after: field.map(|field| field.after.clone()).unwrap_or_default(),
        };
        if change.fields.is_empty() {
            lines.push(line(None));
        }
        lines.extend(change.fields.iter().map(|field| line(Some(field))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_typed_as_kind_and_id() {
        assert_eq!(
            parse_reference("plugin/a/b").unwrap(),
            ResourceKey::new(Kind::Plugin, "a/b")
        );
        for bad in ["", "network", "network/", "net/eth"] {
            assert!(parse_reference(bad).is_err(), "{bad}");
        }
    }
}
