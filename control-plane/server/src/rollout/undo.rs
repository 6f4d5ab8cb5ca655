//! What restores a change that turned out bad. Pure.

use std::{collections::BTreeSet, sync::Arc};

use tyrscale_model::{
    Entry, Kind, Meta, Notes, Operation, Rejection, Resource, ResourceKey, Restoration, Snapshot, Violation,
    ViolationCode,
};

/// What gives what `bad` changed of `base`, among `keys`, the content and the notes that it has in `base` again. What was
/// changed once more since, up to `newest`, stands in the way; annotations and managers of which that is so are left.
pub(super) fn undo(
    base: &Snapshot,
    bad: &Snapshot,
    keys: &BTreeSet<ResourceKey>,
    newest: &Snapshot,
) -> Result<Restoration, Rejection> {
    let (mut restored, mut deleted, mut conflicts) = (Restoration::default(), Vec::new(), Vec::new());
    for key in keys {
        let entries = [base, bad, newest].map(|snapshot| snapshot.get(key));
        let payload = fate(entries.map(|entry| entry.map(|entry| &entry.payload)));
        let labels = fate(entries.map(|entry| entry.map(|entry| &entry.meta.labels)));
        if [payload, labels].contains(&Fate::ChangedAgain) {
            let message = "was changed again since";
            conflicts.push(Violation::new("", ViolationCode::RevisionMismatch, message).of(key.clone()));
            continue;
        }
        let [before, _, now] = entries;
        let notes = before.map(|before| notes_again(&before.meta, entries));
        let wanted = match payload {
            Fate::Undone if before.is_none() => {
                deleted.push(key);
                None
            }
            Fate::Undone => before,
            _ => now.filter(|_| notes.as_ref().is_some_and(|notes| *notes != Notes::default())),
        };
        if let Some(entry) = wanted {
            restored.operations.push(Operation::put(entry.resource.clone()));
            restored.notes.insert(key.clone(), notes.unwrap_or_default());
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
    restored.operations.extend(deletions);
    Ok(restored)
}

/// What becomes of something that is to be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is as it was.
    Left,
    Undone,
    ChangedAgain,
}

/// Of something in the content before, in the bad one, and in the newest.
fn fate<T: PartialEq>([before, bad, newest]: [T; 3]) -> Fate {
    if before == bad || before == newest {
        Fate::Left
    } else if bad == newest {
        Fate::Undone
    } else {
        Fate::ChangedAgain
    }
}

/// The notes that are to be given again.
fn notes_again(before: &Meta, entries: [Option<&Arc<Entry>>; 3]) -> Notes {
    fn again<T: PartialEq + Clone>(
        entries: [Option<&Arc<Entry>>; 3],
        note: impl Fn(&Meta) -> &T,
        before: &Meta,
    ) -> Option<T> {
        let notes = entries.map(|entry| entry.map(|entry| note(&entry.meta)));
        (fate(notes) == Fate::Undone).then(|| note(before).clone())
    }
    Notes {
        labels: again(entries, |meta| &meta.labels, before),
        annotations: again(entries, |meta| &meta.annotations, before),
        managed_by: again(entries, |meta| &meta.managed_by, before),
    }
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

/// Whether two contents differ, among `keys`, in nothing but weights and cordons of upstreams, and in notes. Labels of
/// routes are none of these: they say which gateways serve them.
pub(super) fn is_light(before: &Snapshot, after: &Snapshot, keys: &BTreeSet<ResourceKey>) -> bool {
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
            (Resource::Route(_), Resource::Route(_)) if before.meta.labels != after.meta.labels => false,
            _ => before.payload == after.payload,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tyrscale_model::{ChangeSet, Policy, UnixMillis, apply, wire};
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

    fn after(snapshot: &Snapshot, change: Restoration) -> (Snapshot, BTreeSet<ResourceKey>) {
        let change_set = ChangeSet {
            operations: change.operations,
            notes: change.notes,
            ..ChangeSet::default()
        };
        let applied = apply(snapshot, &change_set, &Policy::default(), UnixMillis(0)).unwrap();
        let keys = applied.changes.into_iter().map(|change| change.key).collect();
        (applied.snapshot, keys)
    }

    /// Steps that put these, each with its value as a label.
    fn steps(wanted: impl IntoIterator<Item = (Wire, u8)>) -> Restoration {
        let mut steps = Restoration::default();
        for (wire, value) in wanted {
            let resource = read(wire);
            let labels = [("value".to_owned(), value.to_string())].into();
            let notes = Notes {
                labels: Some(labels),
                managed_by: Some("them".to_owned()),
                ..Notes::default()
            };
            steps.notes.insert(resource.key(), notes);
            steps.operations.push(Operation::put(resource));
        }
        steps
    }

    fn put(snapshot: &Snapshot, wanted: &[(u8, u8)]) -> (Snapshot, BTreeSet<ResourceKey>) {
        let resources = wanted.iter().flat_map(|(number, value)| {
            let resources = resources(*number, *value).into_iter();
            resources.map(|resource| (resource, *value))
        });
        after(snapshot, steps(resources))
    }

    /// The same content with another label at the route of a number.
    fn labelled(
        snapshot: &Snapshot,
        (number, value): (u8, u8),
        label: u8,
    ) -> (Snapshot, BTreeSet<ResourceKey>) {
        let route = resources(number, value).swap_remove(1);
        after(snapshot, steps([(route, label)]))
    }

    /// What is there, with the labels.
    fn content(snapshot: &Snapshot) -> Vec<(ResourceKey, Arc<Entry>)> {
        snapshot
            .iter()
            .map(|(key, entry)| (key.clone(), Arc::clone(entry)))
            .collect()
    }

    fn is_same(one: &Snapshot, other: &Snapshot) -> bool {
        let (one, other) = (content(one), content(other));
        let mut pairs = one.iter().zip(&other);
        one.len() == other.len()
            && pairs.all(|(one, other)| one.0 == other.0 && one.1.has_content_of(&other.1))
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
            let steps = undo(&base, &spoilt, &keys, &newest).unwrap();
            let (undone, _) = after(&newest, steps);
            let (expected, _) = put(&base, &beside);
            prop_assert!(is_same(&undone, &expected));
            let again = undo(&base, &spoilt, &keys, &undone);
            prop_assert_eq!(again, Ok(Restoration::default()), "once is enough");
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
    fn a_label_alone_is_undone_and_stands_in_the_way_as_a_content_does() {
        let (base, _) = put(&empty(), &[(1, 0), (2, 0)]);
        let (bad, keys) = labelled(&base, (1, 0), 7);
        assert_eq!(bad.hashes(), base.hashes(), "the content is the same");
        assert!(!is_light(&base, &bad, &keys));
        let (newest, _) = put(&bad, &[(2, 5)]);
        let (undone, _) = after(&newest, undo(&base, &bad, &keys, &newest).unwrap());
        assert!(is_same(&undone, &put(&base, &[(2, 5)]).0));
        let (again, _) = labelled(&newest, (1, 0), 8);
        let refused = undo(&base, &bad, &keys, &again).unwrap_err();
        assert_eq!(refused.violations.len(), 1);
        // What was changed beside the label since, stays.
        let (moved, _) = after(&bad, steps([(resources(1, 3).swap_remove(1), 7)]));
        let (undone, _) = after(&moved, undo(&base, &bad, &keys, &moved).unwrap());
        assert!(is_same(&undone, &labelled(&moved, (1, 3), 0).0));
    }

    #[test]
    fn what_was_deleted_comes_back_with_its_labels_and_its_manager() {
        let (base, _) = put(&empty(), &[(1, 2)]);
        let keys: BTreeSet<_> = base.iter().map(|(key, _)| key.clone()).collect();
        // With the route goes its upstream.
        let named = keys.iter().filter(|key| key.kind != Kind::Upstream);
        let deletions = named.map(|key| Operation::Delete {
            key: key.clone(),
            etag: None,
            cascade: true,
        });
        let (bad, _) = after(
            &base,
            Restoration {
                operations: deletions.collect(),
                ..Restoration::default()
            },
        );
        assert!(bad.is_empty());
        let (undone, _) = after(&bad, undo(&base, &bad, &keys, &bad).unwrap());
        assert!(is_same(&undone, &base));
    }

    #[test]
    fn only_weights_and_cordons_are_light() {
        let (base, _) = put(&empty(), &[(1, 1)]);
        let with = |change: fn(&mut v1::Upstream)| {
            let Some(Wire::Upstream(mut upstream)) = resources(1, 1).pop() else {
                panic!("the upstream is last")
            };
            change(&mut upstream);
            after(&base, steps([(Wire::Upstream(upstream), 1)]))
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
