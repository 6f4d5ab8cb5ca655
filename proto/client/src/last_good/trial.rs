//! Which contents the process has not yet proved to live with, and which it died with.
//!
//! Before a content is taken it is written down as on trial. When the process has run for a while the trial is
//! over. A process that starts and finds it still on has died with it; after two such starts the newest content on
//! trial is put into quarantine and not taken again by this build.

use std::{fs, path::PathBuf};

use bytes::{Buf, BufMut};
use prost::Message;
use tyrscale_model::{Version, wire};
use tyrscale_proto::v1;

/// Starts with the same content on trial until it is put into quarantine.
const STARTS: u32 = 2;
/// Versions on trial or in quarantine, each; the oldest go.
const KEPT: usize = 16;
const CHECKSUM: usize = 32;
const FILE: &str = "attempt";
const UNFINISHED: &str = "attempt.new";

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Record {
    #[prost(message, repeated, tag = "1")]
    on_trial: Vec<v1::Version>,
    #[prost(uint32, tag = "2")]
    starts: u32,
    #[prost(message, repeated, tag = "3")]
    quarantined: Vec<v1::Version>,
    /// Which program died.
    #[prost(string, tag = "4")]
    build: String,
}

/// What is on trial. Kept in a file that outlives the process, but not a loss of power: that is no crash.
#[derive(Debug)]
pub(crate) struct Trial {
    directory: PathBuf,
    record: Record,
}

impl Trial {
    /// Reads what an earlier process left. Another build may live with what that one died with.
    pub(super) fn open(directory: PathBuf, build: &str) -> Self {
        let mut trial = Self::as_left(directory);
        let record = &mut trial.record;
        if record.build != build {
            record.quarantined.clear();
            record.starts = 0;
            build.clone_into(&mut record.build);
        }
        trial
    }

    /// Reads what a process left, for one that does not run what is kept but looks at it.
    pub(super) fn as_left(directory: PathBuf) -> Self {
        let record = fs::read(directory.join(FILE))
            .ok()
            .and_then(|bytes| decode(&bytes))
            .unwrap_or_default();
        Self { directory, record }
    }

    /// The process has started. Gives the version that is put into quarantine now, if any.
    pub(crate) fn start(&mut self) -> Option<Version> {
        if self.record.on_trial.is_empty() {
            return None;
        }
        self.record.starts += 1;
        let mut condemned = None;
        if self.record.starts >= STARTS {
            condemned = self.record.on_trial.pop();
            self.record.quarantined.extend(condemned.clone());
            keep_newest(&mut self.record.quarantined);
            self.record.starts = 0;
        }
        self.write();
        condemned.as_ref().and_then(wire::version_from_wire)
    }

    /// `version` is about to be taken.
    pub(crate) fn begin(&mut self, version: &Version) {
        let version = wire::version_to_wire(version);
        if self.record.on_trial.contains(&version) {
            return;
        }
        self.record.on_trial.push(version);
        keep_newest(&mut self.record.on_trial);
        self.record.starts = 0;
        self.write();
    }

    /// `version` was not taken after all.
    pub(crate) fn withdraw(&mut self, version: &Version) {
        let version = wire::version_to_wire(version);
        self.record.on_trial.retain(|other| *other != version);
        self.write();
    }

    /// The process has lived with what it runs for long enough.
    pub(crate) fn pass(&mut self) {
        if !self.record.on_trial.is_empty() {
            self.record.on_trial.clear();
            self.record.starts = 0;
            self.write();
        }
    }

    /// The process ends as it was told to: no crash.
    pub(crate) fn stop(&mut self) {
        if self.record.starts > 0 {
            self.record.starts = 0;
            self.write();
        }
    }

    /// The versions in quarantine.
    pub(crate) fn quarantined(&self) -> Vec<Version> {
        let quarantined = self.record.quarantined.iter();
        quarantined.filter_map(wire::version_from_wire).collect()
    }

    /// Whether the process died with this content, under whatever revision.
    pub(crate) fn is_quarantined(&self, version: &Version) -> bool {
        let digest = version.digest.0.as_slice();
        self.record.quarantined.iter().any(|it| it.digest == digest)
    }

    fn write(&self) {
        if let Err(error) = self.try_write() {
            tracing::warn!(%error, "what is on trial could not be written down");
        }
    }

    fn try_write(&self) -> std::io::Result<()> {
        super::make_directory(&self.directory)?;
        let unfinished = self.directory.join(UNFINISHED);
        super::write_file(&unfinished, &encode(&self.record), false)?;
        fs::rename(unfinished, self.directory.join(FILE))
    }
}

fn keep_newest(versions: &mut Vec<v1::Version>) {
    let surplus = versions.len().saturating_sub(KEPT);
    versions.drain(..surplus);
}

fn encode(record: &Record) -> Vec<u8> {
    let body = record.encode_to_vec();
    let mut bytes = Vec::with_capacity(CHECKSUM + body.len());
    bytes.put_slice(blake3::hash(&body).as_bytes());
    bytes.put_slice(&body);
    bytes
}

fn decode(mut bytes: &[u8]) -> Option<Record> {
    let mut sum = [0; CHECKSUM];
    bytes.try_copy_to_slice(&mut sum).ok()?;
    if *blake3::hash(bytes).as_bytes() != sum {
        return None;
    }
    Record::decode(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tyrscale_model::{Digest, Lineage, Revision};

    use super::*;

    fn version(revision: u64) -> Version {
        Version {
            lane: tyrscale_model::Lane::Config,
            lineage: Lineage([1; 16]),
            revision: Revision(revision),
            digest: Digest([u8::try_from(revision % 250).unwrap(); 32]),
        }
    }

    struct Place(tempfile::TempDir);

    impl Place {
        fn open(&self) -> Trial {
            Trial::open(self.0.path().join("config"), "build 1")
        }
    }

    fn place() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    #[test]
    fn a_content_that_two_starts_find_on_trial_is_put_into_quarantine() {
        let place = place();
        place.open().begin(&version(5));
        assert_eq!(place.open().start(), None);
        let mut third = place.open();
        third.begin(&version(5));
        assert_eq!(place.open().start(), Some(version(5)));
        let next = place.open();
        assert_eq!(next.quarantined(), [version(5)]);
        let same_content = Version {
            revision: Revision(9),
            ..version(5)
        };
        assert!(next.is_quarantined(&same_content));
        assert!(!next.is_quarantined(&version(6)));
    }

    #[test]
    fn the_newest_of_several_on_trial_is_condemned_first() {
        let place = place();
        let mut trial = place.open();
        trial.begin(&version(5));
        trial.begin(&version(6));
        assert_eq!(place.open().start(), None);
        assert_eq!(place.open().start(), Some(version(6)));
        assert_eq!(place.open().start(), None);
        assert_eq!(place.open().start(), Some(version(5)));
        assert_eq!(place.open().start(), None);
    }

    #[test]
    fn what_passed_was_refused_or_ended_as_told_condemns_nothing() {
        let place = place();
        for end in [
            |trial: &mut Trial| trial.pass(),
            |trial: &mut Trial| trial.withdraw(&version(5)),
            |trial: &mut Trial| trial.stop(),
        ] {
            let mut trial = place.open();
            for _ in 0..4 {
                trial.begin(&version(5));
                assert_eq!(trial.start(), None);
                end(&mut trial);
                trial = place.open();
            }
        }
    }

    #[test]
    fn another_build_starts_without_quarantine() {
        let place = place();
        place.open().begin(&version(5));
        place.open().start();
        place.open().start();
        assert_eq!(place.open().quarantined().len(), 1);
        let directory = place.0.path().join("config");
        assert!(Trial::open(directory, "build 2").quarantined().is_empty());
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_no_trial(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let place = place();
            let directory = place.0.path().join("config");
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join(FILE), bytes).unwrap();
            prop_assert_eq!(place.open().start(), None);
        }
    }
}
