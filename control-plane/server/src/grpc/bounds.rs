//! What the caller may write, beyond whether it may write at all, and what the audit log says of it.

use std::fmt::Write as _;

use tonic::Status;
use tyrscale_access::{Role, Scope, Who, caller, note};
use tyrscale_model::{ChangeAction, ChangeSet, Policy, Rejection, Snapshot, UnixMillis, apply};
use tyrscale_store::Committed;

use super::mask::Mask;

/// How many changed resources the audit log names.
const MAX_NAMED: usize = 20;

/// Where the caller may act.
pub(crate) fn scope() -> Scope {
    caller().map(|caller| caller.scope()).unwrap_or_default()
}

/// Whether a change set, applied under the policy of the store, stays inside the scope.
///
/// # Errors
/// The [`Rejection`] that names what is outside, or the change set's own.
pub(crate) fn check_scope(
    scope: &Scope,
    policy: &Policy,
    snapshot: &Snapshot,
    change_set: &ChangeSet,
) -> Result<(), Rejection> {
    if scope.is_everywhere() {
        return Ok(());
    }
    let applied = apply(snapshot, change_set, policy, UnixMillis(0))?;
    let keys = applied.changes.iter().map(|change| &change.key);
    scope.admit_change(snapshot, &applied.snapshot, keys)
}

/// Whether the caller's role reaches for these fields: an operator changes `fields` only.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(crate) fn check_fields(mask: &Mask, fields: &[&str]) -> Result<(), Status> {
    let is_bounded = caller().is_some_and(|caller| match caller.who {
        Who::User { role, .. } => role < Role::Editor,
        Who::Anonymous | Who::Node(_) => false,
    });
    let reaches = match mask {
        Mask::All => false,
        Mask::Paths(paths) => paths.iter().all(|path| fields.contains(&path.as_str())),
    };
    if !is_bounded || reaches {
        return Ok(());
    }
    Err(Status::permission_denied(format!(
        "the role operator changes {} only",
        fields.join(" and ")
    )))
}

/// Tells the audit log what was committed.
pub(crate) fn note_commit(committed: &Committed, dry_run: bool) {
    note(|note| {
        let revision = committed.head.snapshot.revision().0;
        let is_new = !dry_run && !committed.changes.is_empty();
        note.revision = if is_new { revision } else { 0 };
        note.summary = summary(committed, dry_run);
    });
}

/// Tells the audit log that nothing was committed: the request had been done before.
pub(crate) fn note_repeated() {
    note(|note| "done before: the first answer again".clone_into(&mut note.summary));
}

fn summary(committed: &Committed, dry_run: bool) -> String {
    let mut text = String::new();
    if dry_run {
        text.push_str("dry run: ");
    }
    for change in committed.changes.iter().take(MAX_NAMED) {
        let action = match change.action {
            ChangeAction::Created => "created",
            ChangeAction::Updated => "updated",
            ChangeAction::Deleted => "deleted",
        };
        // Writing to a string cannot fail.
        _ = write!(text, "{action} {}; ", change.key);
    }
    match committed.changes.len().checked_sub(MAX_NAMED) {
        Some(more @ 1..) => _ = write!(text, "and {more} more"),
        _ if committed.changes.is_empty() => text.push_str("nothing changed"),
        _ => text.truncate(text.trim_end_matches("; ").len()),
    }
    text
}

#[cfg(test)]
mod tests {
    use tyrscale_model::{Lineage, Notes, Operation, PluginType, wire};
    use tyrscale_proto::v1::{self, resource::Resource as Wire};

    use super::*;

    const ROUTE: &str = "00000000-0000-4000-8000-000000000001";

    #[test]
    fn a_scope_is_checked_under_the_rules_of_the_store() {
        let labels: std::collections::BTreeMap<_, _> = [("team".to_owned(), "a".to_owned())].into();
        let scope = Scope::default().with_labels(labels.clone()).unwrap();
        let route = Wire::Route(v1::Route {
            id: ROUTE.to_owned(),
            host: "a.example".to_owned(),
            path: "/".to_owned(),
            load_balancer: v1::LoadBalancer::LeastLoad.into(),
            ..v1::Route::default()
        });
        let plugin = Wire::Plugin(v1::PluginAttachment {
            route_id: ROUTE.to_owned(),
            name: "cache".to_owned(),
            r#type: v1::PluginType::Middleware.into(),
            priority: 1,
            config_json: "{}".to_owned(),
            ..v1::PluginAttachment::default()
        });
        let mut change_set = ChangeSet::default();
        for message in [route, plugin] {
            let resource = Some(message);
            let resource = wire::resource_from_wire(&v1::Resource { resource }).unwrap();
            let notes = Notes {
                labels: Some(labels.clone()),
                ..Notes::default()
            };
            change_set.notes.insert(resource.key(), notes);
            change_set.operations.push(Operation::put(resource));
        }
        let policy = Policy {
            plugins: [("cache".parse().unwrap(), PluginType::Middleware)].into(),
        };
        let empty = Snapshot::empty(Lineage([7; 16]));
        assert!(check_scope(&scope, &policy, &empty, &change_set).is_ok());
        let unknown = check_scope(&scope, &Policy::default(), &empty, &change_set);
        assert!(unknown.is_err(), "the plugin is not loaded");
    }
}
