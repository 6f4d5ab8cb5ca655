//! Whatever happens to the files, what is loaded is what was saved, or nothing.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use tyrscale_model::{Kind, ResourceKey};
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
        }
    });
    Snapshot::empty(LINEAGE)
        .advance(LINEAGE, Revision(revision), rows.collect(), &[])
        .unwrap()
}

fn directory() -> (tempfile::TempDir, LastGood) {
    let directory = tempfile::tempdir().unwrap();
    let last_good = LastGood::new(directory.path().join("config"), VIEW);
    (directory, last_good)
}

fn loaded(last_good: &LastGood, generation: Generation) -> Option<tyrscale_model::Version> {
    let snapshot = last_good.load(generation).unwrap()?;
    Some(snapshot.version(VIEW))
}

proptest! {
    #[test]
    fn what_is_saved_is_loaded(revision in any::<u64>(), networks in 0u64..20) {
        let snapshot = snapshot(revision, networks);
        let loaded = decode(&encode(&snapshot, VIEW), VIEW).unwrap();
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
        let mut bytes = encode(&snapshot(3, networks), VIEW);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(decode(&bytes, VIEW).is_err());
    }

    #[test]
    fn a_file_cut_off_or_grown_gives_nothing(
        networks in 0u64..5,
        at in any::<prop::sample::Index>(),
        more in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let bytes = encode(&snapshot(3, networks), VIEW);
        prop_assert!(decode(&bytes[..at.index(bytes.len())], VIEW).is_err());
        prop_assert!(decode(&[bytes, more].concat(), VIEW).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&bytes, VIEW).is_err());
    }
}

#[test]
fn the_content_before_is_kept_as_the_previous_generation() {
    let (_directory, last_good) = directory();
    assert_eq!(loaded(&last_good, Generation::Current), None);
    for revision in 1..4 {
        last_good.save(&snapshot(revision, revision)).unwrap();
        let version = snapshot(revision, revision).version(VIEW);
        assert_eq!(loaded(&last_good, Generation::Current), Some(version));
    }
    let before = snapshot(2, 2).version(VIEW);
    assert_eq!(loaded(&last_good, Generation::Previous), Some(before));
}

#[test]
fn only_the_owner_may_read_it() {
    let (_directory, last_good) = directory();
    last_good.save(&snapshot(1, 1)).unwrap();
    last_good.save(&snapshot(2, 1)).unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(last_good.directory.clone()), 0o700);
    for file in [CURRENT, PREVIOUS] {
        assert_eq!(mode(last_good.directory.join(file)), 0o600);
    }
}

#[test]
fn what_a_crash_left_unfinished_is_replaced() {
    let (_directory, last_good) = directory();
    last_good.save(&snapshot(1, 1)).unwrap();
    fs::write(last_good.directory.join(UNFINISHED), "half").unwrap();
    last_good.save(&snapshot(2, 2)).unwrap();
    let version = snapshot(2, 2).version(VIEW);
    assert_eq!(loaded(&last_good, Generation::Current), Some(version));
    assert!(!last_good.directory.join(UNFINISHED).exists());
}

#[test]
fn a_crash_between_the_renames_leaves_the_previous_generation() {
    let (_directory, last_good) = directory();
    last_good.save(&snapshot(1, 1)).unwrap();
    let current = last_good.directory.join(CURRENT);
    fs::rename(current, last_good.directory.join(PREVIOUS)).unwrap();
    assert_eq!(loaded(&last_good, Generation::Current), None);
    let version = snapshot(1, 1).version(VIEW);
    assert_eq!(loaded(&last_good, Generation::Previous), Some(version));
    last_good.save(&snapshot(2, 2)).unwrap();
    assert_eq!(loaded(&last_good, Generation::Previous), Some(version));
}

#[test]
fn a_damaged_file_can_be_set_aside() {
    let (_directory, last_good) = directory();
    last_good.save(&snapshot(1, 1)).unwrap();
    fs::write(last_good.directory.join(CURRENT), "damaged").unwrap();
    assert!(matches!(
        last_good.load(Generation::Current),
        Err(LoadError::Damaged(_))
    ));
    last_good.set_aside(Generation::Current).unwrap();
    assert_eq!(loaded(&last_good, Generation::Current), None);
    assert!(last_good.directory.join(DAMAGED).exists());
}

#[test]
fn content_of_another_view_is_not_taken_for_ours() {
    let bytes = encode(&snapshot(1, 1), View::of(&[Kind::Network]));
    assert!(matches!(decode(&bytes, VIEW), Err(LoadError::OtherView)));
}

#[test]
fn a_file_of_a_later_format_is_told_apart_from_a_damaged_one() {
    let mut bytes = encode(&snapshot(1, 1), VIEW);
    bytes[8] = 2;
    assert!(matches!(decode(&bytes, VIEW), Err(LoadError::OtherFormat(2))));
}
