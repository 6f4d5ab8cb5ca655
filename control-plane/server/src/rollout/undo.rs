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
        Kind::Network | Kind::Secret => 0,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tyrscale_model::{ChangeSet, Policy, Resource, UnixMillis, apply, wire};
    use tyrscale_proto::v1::{self, resource::Resource as Wire};

    use super::*;

    /// A network, or a route with an upstream, by number.
    fn resources(number: u8, value: u8) -> Vec<Wire> {
        let id = |kind: u8| format!("00000000-0000-4000-8{kind:03}-{number:012}");
        let route = v1::Route {
            id: id(1),
            host: format!("h{number}.example"),
            path: format!("/{value}"),
            ..Default::default()
        };
        let upstream = v1::Upstream {
            id: id(2),
            route_id: id(1),
            target: Some(v1::upstream::Target::Address(v1::Address {
                scheme: "http".into(),
                host: "n.example".into(),
                port: 80,
                path: "/".into(),
            })),
            weight: f64::from(value),
            ..Default::default()
        };
        let network = v1::Network {
            name: format!("n{number}"),
            blockchain: "evm".into(),
            chain_id: u64::from(value) + 1,
            meta: None,
        };
        vec![
            Wire::Network(network),
            Wire::Route(route),
            Wire::Upstream(upstream),
        ]
    }

    fn read(wire: Wire) -> Resource {
        let message = v1::Resource { resource: Some(wire) };
        wire::resource_from_wire(&message).unwrap()
    }

    fn after(snapshot: &Snapshot, operations: Vec<Operation>) -> (Snapshot, BTreeSet<ResourceKey>) {
        let change_set = ChangeSet {
            operations,
            ..ChangeSet::default()
        };
        let applied = apply(snapshot, &change_set, &Policy::default(), UnixMillis(0)).unwrap();
        let keys = applied.changes.into_iter().map(|change| change.key).collect();
        (applied.snapshot, keys)
    }

    fn put(snapshot: &Snapshot, wanted: &[(u8, u8)]) -> (Snapshot, BTreeSet<ResourceKey>) {
        let resources = wanted
            .iter()
            .flat_map(|(number, value)| resources(*number, *value));
        let operations = resources.map(|resource| Operation::Upsert {
            resource: read(resource),
            expectation: Expectation::Any,
            etag: None,
        });
        after(snapshot, operations.collect())
    }

    fn empty() -> Snapshot {
        Snapshot::empty(tyrscale_model::Lineage([1; 16]))
    }

    proptest! {
        /// What is undone is as it was, and what was done beside it stays.
        #[test]
        fn undoing_gives_the_content_before_and_leaves_the_rest(
            before in prop::collection::btree_map(0u8..6, 0u8..4, 0..5),
            bad in prop::collection::btree_map(0u8..6, 4u8..8, 1..5),
            beside in prop::collection::btree_map(6u8..9, 0u8..4, 0..3),
        ) {
            let list = |map: std::collections::BTreeMap<u8, u8>| map.into_iter().collect::<Vec<_>>();
            let (before, beside) = (list(before), list(beside));
            let (base, _) = put(&empty(), &before);
            let (spoilt, keys) = put(&base, &list(bad));
            let (newest, _) = put(&spoilt, &beside);
            let operations = undo(&base, &spoilt, &keys, &newest).unwrap();
            let (undone, _) = after(&newest, operations);
            let (expected, _) = put(&base, &beside);
            prop_assert_eq!(undone.hashes(), expected.hashes());
            prop_assert_eq!(undo(&base, &spoilt, &keys, &undone), Ok(Vec::new()), "once is enough");
        }
    }

    #[test]
    fn what_was_changed_again_stands_in_the_way_by_name() {
        let (base, _) = put(&empty(), &[(1, 0)]);
        let (bad, keys) = put(&base, &[(1, 5)]);
        let (newest, _) = put(&bad, &[(1, 6)]);
        let refused = undo(&base, &bad, &keys, &newest).unwrap_err();
        assert_eq!(refused.violations.len(), 3);
        assert!(refused.to_string().contains("changed again since"));
    }

    #[test]
    fn only_weights_and_cordons_are_light() {
        let (base, _) = put(&empty(), &[(1, 1)]);
        let with = |change: fn(&mut v1::Upstream)| {
            let Some(Wire::Upstream(mut upstream)) = resources(1, 1).pop() else {
                panic!("the upstream is last")
            };
            change(&mut upstream);
            let operation = Operation::Upsert {
                resource: read(Wire::Upstream(upstream)),
                expectation: Expectation::Any,
                etag: None,
            };
            after(&base, vec![operation])
        };
        let (weighted, keys) = with(|upstream| upstream.weight = 7.0);
        assert!(is_light(&base, &weighted, &keys));
        let (cordoned, keys) = with(|upstream| upstream.cordoned = true);
        assert!(is_light(&base, &cordoned, &keys));
        let (moved, keys) = with(|upstream| upstream.tier = 1);
        assert!(!is_light(&base, &moved, &keys));
        let (more, keys) = put(&base, &[(2, 1)]);
        assert!(!is_light(&base, &more, &keys));
    }
}
