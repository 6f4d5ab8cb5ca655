//! Laws of going back and of managers' documents, over random histories.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tyrscale_model::{
    ChangeSet, Kind, Lineage, Operation, Ownership, Policy, Resource, ResourceKey, Snapshot, UnixMillis,
    View, apply, difference, restore, wire,
};
use tyrscale_proto::v1;

fn network(name: u8, chain_id: u64) -> Resource {
    let message = v1::Network {
        name: format!("n{name}"),
        blockchain: "evm".into(),
        chain_id,
        meta: None,
    };
    Resource::Network(wire::network_from_wire(&message).unwrap())
}

fn rpc(number: u8, network: u8) -> Resource {
    let message = v1::Rpc {
        id: format!("00000000-0000-4000-8000-{number:012}"),
        network: format!("n{network}"),
        provider: "own".into(),
        visibility: v1::Visibility::Private.into(),
        url: format!("https://node-{number}.example/{network}"),
        ..v1::Rpc::default()
    };
    Resource::Rpc(wire::rpc_from_wire(&message).unwrap())
}

/// Puts a network or an rpc, or deletes one with what depends on it.
fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (0..4u8, 1..4u64).prop_map(move |(name, chain_id)| Operation::put(network(name, chain_id))),
        3 => (0..4u8, 0..4u8).prop_map(move |(number, name)| Operation::put(rpc(number, name))),
        1 => (0..4u8, any::<bool>()).prop_map(|(number, is_rpc)| Operation::Delete {
            key: if is_rpc { rpc(number, 0).key() } else { network(number, 1).key() },
            etag: None,
            cascade: true,
        }),
    ]
}

fn step() -> impl Strategy<Value = ChangeSet> {
    let operations = proptest::collection::vec(operation(), 1..4);
    (operations, prop_oneof![Just(""), Just("one"), Just("other")]).prop_map(|(operations, manager)| {
        ChangeSet {
            operations,
            ownership: Ownership {
                manager: manager.to_owned(),
                ..Ownership::default()
            },
            ..ChangeSet::default()
        }
    })
}

fn applied(snapshot: &Snapshot, change_set: &ChangeSet) -> Option<Snapshot> {
    let applied = apply(snapshot, change_set, &Policy::default(), UnixMillis(0)).ok()?;
    Some(applied.snapshot)
}

/// Every revision of a random history; steps that break a rule are left out.
fn history() -> impl Strategy<Value = Vec<Snapshot>> {
    proptest::collection::vec(step(), 1..25).prop_map(|steps| {
        let mut seen = vec![Snapshot::empty(Lineage([1; 16]))];
        for step in steps {
            let newest = seen.last().unwrap();
            match applied(newest, &step) {
                Some(next) if next.revision() != newest.revision() => seen.push(next),
                _ => {}
            }
        }
        seen
    })
}

fn notes(snapshot: &Snapshot) -> Vec<(ResourceKey, String)> {
    snapshot
        .iter()
        .map(|(key, entry)| (key.clone(), entry.meta.managed_by.clone()))
        .collect()
}

proptest! {
    #[test]
    fn a_rollback_gives_content_and_digest_of_any_earlier_revision_and_can_be_undone(
        history in history(),
        at in any::<prop::sample::Index>(),
    ) {
        let newest = history.last().unwrap();
        let earlier = &history[at.index(history.len())];
        let back = |from: &Snapshot, to: &Snapshot| {
            let restoration = restore(from, to, &BTreeSet::new()).unwrap();
            let change_set = ChangeSet {
                operations: restoration.operations,
                notes: restoration.notes,
                ..ChangeSet::default()
            };
            applied(from, &change_set).expect("what was valid once is valid again")
        };
        let restored = back(newest, earlier);
        prop_assert_eq!(restored.digest(View::ALL), earlier.digest(View::ALL));
        prop_assert_eq!(notes(&restored), notes(earlier));
        let undone = back(&restored, newest);
        prop_assert_eq!(undone.digest(View::ALL), newest.digest(View::ALL));
        prop_assert_eq!(notes(&undone), notes(newest));
    }

    #[test]
    fn differences_compose(history in history(), cut in any::<prop::sample::Index>()) {
        let (first, last) = (&history[0], history.last().unwrap());
        let middle = &history[cut.index(history.len())];
        let whole: BTreeMap<_, _> = difference(first, last).into_iter().map(|found| (found.key.clone(), found)).collect();
        let mut composed = BTreeMap::new();
        for found in difference(first, middle).into_iter().chain(difference(middle, last)) {
            composed
                .entry(found.key.clone())
                .and_modify(|known: &mut tyrscale_model::Difference| known.after = found.after.clone())
                .or_insert(found);
        }
        composed.retain(|_, found| match (&found.before, &found.after) {
            (None, None) => false,
            (Some(before), Some(after)) => !before.has_content_of(after),
            _ => true,
        });
        prop_assert!(whole.keys().eq(composed.keys()));
        for (key, found) in &whole {
            prop_assert_eq!(found.action(), composed[key].action());
        }
    }

    #[test]
    fn a_pruning_document_never_touches_what_is_not_its_managers(
        history in history(),
        kept in proptest::collection::btree_map(0..4u8, 1..4u64, 0..3),
    ) {
        let newest = history.last().unwrap();
        let put = |(name, chain_id): (u8, u64)| Operation::put(network(name, chain_id));
        let document: BTreeSet<_> = kept.keys().map(|name| network(*name, 1).key()).collect();
        let change_set = ChangeSet {
            operations: kept.into_iter().map(put).collect(),
            ownership: Ownership { manager: "one".into(), prune: true, take_over: false },
            ..ChangeSet::default()
        };
        let Some(after) = applied(newest, &change_set) else { return Ok(()) };
        for found in difference(newest, &after) {
            let owner = found.before.as_ref().map_or("one", |entry| &entry.meta.managed_by);
            let is_named = document.contains(&found.key);
            prop_assert!(owner == "one" || (owner.is_empty() && is_named), "{}", found.key);
        }
        let left = after.iter().filter(|(_, entry)| entry.meta.managed_by == "one");
        for (key, _) in left {
            prop_assert!(document.contains(key), "{key} should have been pruned");
        }
    }
}

#[test]
fn an_unknown_resource_cannot_be_restored() {
    let empty = Snapshot::empty(Lineage([1; 16]));
    let only = BTreeSet::from([ResourceKey::new(Kind::Network, "eth")]);
    assert!(restore(&empty, &empty, &only).is_err());
}
