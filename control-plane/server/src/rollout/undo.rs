//! What restores a change that turned out bad. Pure.

use std::collections::BTreeSet;

use tyrscale_model::{
    Expectation, Kind, Operation, Rejection, ResourceKey, Snapshot, Violation, ViolationCode,
};

/// The operations that give what `bad` changed of `base`, among `keys`, its content in `base` again. What was changed
/// once more since, up to `newest`, stands in the way.
pub(super) fn undo(
    base: &Snapshot,
    bad: &Snapshot,
    keys: &BTreeSet<ResourceKey>,
    newest: &Snapshot,
) -> Result<Vec<Operation>, Rejection> {
    let payload = |snapshot: &Snapshot, key| snapshot.get(key).map(|entry| entry.payload.clone());
    let (mut restored, mut deleted, mut conflicts) = (Vec::new(), Vec::new(), Vec::new());
    for key in keys {
        let (before, after, now) = (payload(base, key), payload(bad, key), payload(newest, key));
        if before == after || before == now {
            continue;
        }
        if after != now {
            let message = "was changed again since";
            conflicts.push(Violation::new("", ViolationCode::RevisionMismatch, message).of(key.clone()));
            continue;
        }
        match base.get(key) {
            Some(entry) => restored.push(Operation::Upsert {
                resource: entry.resource.clone(),
                expectation: Expectation::Any,
                etag: None,
            }),
            None => deleted.push(key),
        }
    }
    if !conflicts.is_empty() {
        return Err(conflicts.into());
    }
    // What needs others goes before them.
    deleted.sort_by_key(|key| std::cmp::Reverse(depth(key.kind)));
    let deletions = deleted.into_iter().map(|key| Operation::Delete {
        key: key.clone(),
        etag: None,
        cascade: false,
    });
    restored.extend(deletions);
    Ok(restored)
}

/// How many kinds it may hang on.
const fn depth(kind: Kind) -> u8 {
    match kind {
        Kind::Network => 0,
        Kind::Rpc => 1,
        Kind::Route => 2,
        Kind::Upstream | Kind::Plugin => 3,
        Kind::Recommendation => 4,
    }
}

/// Whether two contents differ, among `keys`, in nothing but weights and cordons of upstreams.
pub(super) fn is_light(before: &Snapshot, after: &Snapshot, keys: &BTreeSet<ResourceKey>) -> bool {
    use tyrscale_model::Resource;
    keys.iter().all(|key| {
        let entries = (before.get(key), after.get(key));
        let (Some(before), Some(after)) = entries else {
            return entries.0.is_none() && entries.1.is_none();
        };
        match (&before.resource, &after.resource) {
            (Resource::Upstream(before), Resource::Upstream(after)) => {
                let mut same = after.clone();
                same.weight = before.weight;
                same.cordoned = before.cordoned;
                same == *before
            }
            _ => before.payload == after.payload,
        }
    })
}
