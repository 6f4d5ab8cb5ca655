//! Whatever happens to the files, what is loaded is what was saved, or nothing.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use prost::Message;
use tyrscale_model::{Kind, Lineage, ResourceKey, Revision, Row};
use tyrscale_proto::v1;

use super::*;

const VIEW: View = View::ALL;
const LINEAGE: Lineage = Lineage([9; 16]);

fn snapshot(revision: u64, networks: u64) -> Snapshot {
    let rows = (0..networks).map(|number| {
        let name = format!("n{number}");
        let network = v1::Network {
            name: name.clone(),
            blockchain: "ethereum".into(),
            chain_id: number + 1,
            meta: None,
        };
        Row {
            key: ResourceKey::new(Kind::Network, name),
            revision: Revision(number),
            payload: network.encode_to_vec().into(),
            value: None,
        }
    });
    Snapshot::empty(LINEAGE)
        .advance(LINEAGE, Revision(revision), rows.collect(), &[])
        .unwrap()
}

fn directory() -> (tempfile::TempDir, LastGood) {
    let directory = tempfile::tempdir().unwrap();
    let last_good = reopened(&directory);
    (directory, last_good)
}

fn reopened(directory: &tempfile::TempDir) -> LastGood {
    LastGood::new(directory.path().join("config"), VIEW, "test")
}

/// The content of every generation that gives one, newest first.
fn loaded(directory: &tempfile::TempDir) -> Vec<Version> {
    let mut last_good = reopened(directory);
    let generations = last_good.generations();
    let contents = generations.iter().filter_map(|name| last_good.load(name).ok());
    contents.map(|content| content.version(VIEW)).collect()
}

/// An update to `revision` that adds networks up to `networks`.
fn update(before: &Snapshot, revision: u64, networks: u64) -> Update {
    let after = snapshot(revision, networks);
    let changed = after.iter().filter(|(key, _)| before.get(key).is_none());
    Update {
        changed: changed.map(|(key, _)| key.clone()).collect(),
        version: after.version(VIEW),
        snapshot: after,
    }
}

/// Saves revision 1 as a whole and those up to `newest` as updates.
fn save_up_to(last_good: &mut LastGood, newest: u64) {
    let mut running = snapshot(1, 1);
    last_good.save_whole(&running).unwrap();
    for revision in 2..=newest {
        let update = update(&running, revision, revision);
        last_good.save(Some(&running.version(VIEW)), &update).unwrap();
        running = update.snapshot;
    }
}

fn version(revision: u64) -> Version {
    snapshot(revision, revision).version(VIEW)
}

proptest! {
    #[test]
    fn what_is_saved_is_loaded(revision in any::<u64>(), networks in 0u64..20) {
        let snapshot = snapshot(revision, networks);
        let loaded = snapshot_file::decode(&snapshot_file::encode(&snapshot, VIEW), VIEW).unwrap();
        prop_assert_eq!(loaded.version(VIEW), snapshot.version(VIEW));
        for (key, entry) in snapshot.iter() {
            let found = loaded.get(key).unwrap();
            prop_assert_eq!(&found.payload, &entry.payload);
            prop_assert_eq!(found.meta.modify_revision, entry.meta.modify_revision);
        }
    }

    #[test]
    fn a_changed_file_gives_nothing(
        networks in 0u64..5,
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut bytes = snapshot_file::encode(&snapshot(3, networks), VIEW);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(snapshot_file::decode(&bytes, VIEW).is_err());
    }

    #[test]
    fn a_file_cut_off_or_grown_gives_nothing(
        networks in 0u64..5,
        at in any::<prop::sample::Index>(),
        more in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let bytes = snapshot_file::encode(&snapshot(3, networks), VIEW);
        prop_assert!(snapshot_file::decode(&bytes[..at.index(bytes.len())], VIEW).is_err());
        prop_assert!(snapshot_file::decode(&[bytes, more].concat(), VIEW).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(snapshot_file::decode(&bytes, VIEW).is_err());
    }
}

proptest! {
    // Each saves a dozen files.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_log_gives_back_what_was_saved_before_it_was_torn(
        newest in 1u64..12,
        at in any::<prop::sample::Index>(),
        flip in any::<Option<std::num::NonZeroU8>>(),
    ) {
        let (directory, mut last_good) = directory();
        save_up_to(&mut last_good, newest);
        let path = last_good.file(&last_good.generations()[0], "log");
        let mut log = fs::read(&path).unwrap_or_default();
        if !log.is_empty() {
            let at = at.index(log.len());
            match flip {
                Some(flip) => log[at] ^= flip.get(),
                None => log.truncate(at),
            }
            fs::write(&path, &log).unwrap();
        }
        let found = loaded(&directory);
        prop_assert_eq!(found.len(), 1);
        let revision = found[0].revision.0;
        prop_assert!((1..=newest).contains(&revision));
        prop_assert_eq!(found[0], version(revision));
        // What is saved next follows, in the place of what was torn.
        let mut last_good = reopened(&directory);
        let running = last_good.load(&last_good.generations()[0]).unwrap();
        let next = update(&running, 20, 20);
        last_good.save(Some(&running.version(VIEW)), &next).unwrap();
        prop_assert_eq!(loaded(&directory), vec![version(20)]);
    }
}

#[test]
fn updates_are_appended_until_the_log_is_no_longer_small() {
    let (directory, mut last_good) = directory();
    let mut running = snapshot(1, 1);
    last_good.save_whole(&running).unwrap();
    let mut newest = 1;
    while last_good.generations().len() == 1 {
        newest += 1;
        let update = update(&running, newest, 1);
        last_good.save(Some(&running.version(VIEW)), &update).unwrap();
        running = update.snapshot;
    }
    assert!(newest > 100);
    let before = snapshot(newest - 1, 1).version(VIEW);
    assert_eq!(loaded(&directory), [running.version(VIEW), before]);
    let log = last_good.file(&last_good.generations()[1], "log");
    assert!(fs::metadata(log).unwrap().len() <= SMALL_LOG);
}

#[test]
fn three_generations_are_kept() {
    let (directory, mut last_good) = directory();
    for revision in 1..=5 {
        last_good.save_whole(&snapshot(revision, revision)).unwrap();
    }
    assert_eq!(loaded(&directory), [version(5), version(4), version(3)]);
    let files = fs::read_dir(&last_good.directory).unwrap().count();
    assert_eq!(files, 4, "three snapshots and their list");
}

#[test]
fn only_the_owner_may_read_it() {
    let (_directory, mut last_good) = directory();
    last_good.trial.begin(&version(2));
    save_up_to(&mut last_good, 2);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&last_good.directory), 0o700);
    let files = fs::read_dir(&last_good.directory).unwrap();
    let modes: Vec<_> = files.map(|file| mode(&file.unwrap().path())).collect();
    assert_eq!(modes, [0o600; 4], "snapshot, log, list and attempt");
}

#[test]
fn what_a_crash_left_unfinished_is_replaced() {
    let (directory, mut last_good) = directory();
    save_up_to(&mut last_good, 1);
    fs::write(last_good.directory.join(UNFINISHED), "half").unwrap();
    last_good.save_whole(&snapshot(2, 2)).unwrap();
    assert_eq!(loaded(&directory), [version(2), version(1)]);
    assert!(!last_good.directory.join(UNFINISHED).exists());
}

#[test]
fn a_damaged_generation_gives_way_and_can_be_set_aside() {
    let (directory, mut last_good) = directory();
    save_up_to(&mut last_good, 1);
    last_good.save_whole(&snapshot(2, 2)).unwrap();
    let newest = last_good.generations()[0].clone();
    fs::write(last_good.file(&newest, "snap"), "damaged").unwrap();
    assert!(matches!(last_good.load(&newest), Err(LoadError::Damaged(_))));
    assert_eq!(loaded(&directory), [version(1)]);
    last_good.set_aside(&newest).unwrap();
    assert!(matches!(last_good.load(&newest), Err(LoadError::Io(_))));
    assert!(last_good.directory.join(DAMAGED).exists());
}

#[test]
fn what_is_in_quarantine_is_left_out_of_a_log_and_of_the_generations() {
    let (directory, mut last_good) = directory();
    save_up_to(&mut last_good, 3);
    last_good.trial.begin(&version(3));
    last_good.trial.start();
    last_good.trial.start();
    assert_eq!(loaded(&directory), [version(2)]);
    // What follows must not follow the unwanted one.
    let mut last_good = reopened(&directory);
    let running = last_good.load(&last_good.generations()[0]).unwrap();
    let next = update(&running, 4, 4);
    last_good.save(Some(&running.version(VIEW)), &next).unwrap();
    assert_eq!(loaded(&directory), [version(4), version(2)]);
    last_good.trial.begin(&version(4));
    last_good.trial.start();
    last_good.trial.start();
    assert_eq!(loaded(&directory), [version(2)]);
}

#[test]
fn content_of_another_view_is_not_taken_for_ours() {
    let bytes = snapshot_file::encode(&snapshot(1, 1), View::of(&[Kind::Network]));
    let other = snapshot_file::decode(&bytes, VIEW);
    assert!(matches!(other, Err(LoadError::OtherView)));
}

#[test]
fn a_file_of_a_later_format_is_told_apart_from_a_damaged_one() {
    let mut bytes = snapshot_file::encode(&snapshot(1, 1), VIEW);
    bytes[8] = 2;
    let later = snapshot_file::decode(&bytes, VIEW);
    assert!(matches!(later, Err(LoadError::OtherFormat(2))));
}

#[test]
fn what_a_gateway_died_with_is_not_made_a_store_of() {
    let directory = tempfile::tempdir().unwrap();
    let mut last_good = LastGood::new(directory.path().join(OF_GATEWAY), VIEW, "build 1");
    save_up_to(&mut last_good, 3);
    let found = last_good_content(directory.path()).unwrap();
    assert_eq!(found.version(VIEW), version(3));
    last_good.trial.begin(&version(3));
    last_good.trial.start();
    last_good.trial.start();
    let found = last_good_content(directory.path()).unwrap();
    assert_eq!(found.version(VIEW), version(2));
}

#[test]
fn what_an_exporter_keeps_is_not_made_a_store_of() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join(crate::follow::LAST_GOOD);
    let mut last_good = LastGood::new(kept, View::of(&[Kind::Network, Kind::Rpc]), "test");
    last_good.save_whole(&snapshot(1, 1)).unwrap();
    let refused = last_good_content(directory.path()).unwrap_err();
    assert!(
        matches!(refused.source, Some(LoadError::OfNoGateway)),
        "{refused:?}"
    );
}
