//! The recommended weights on disk, with what was left of their lives, so that a restart keeps them.
//!
//! One file beside the last good configuration. It is written now and then and not synced: it may be lost or old, as
//! the control plane sends anew what is missing. Numbers are little-endian:
//!
//! ```text
//! checksum 32 · magic 8 · configuration lineage 16 · lineage 16 · revision u64 · digest 32 · written u64 · rows
//! ```
//!
//! `written` is in milliseconds of the wall clock; the rows are length-delimited `tyrscale.v1.DiscoveryResource`.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{Buf, BufMut};
use prost::Message;
use tyrscale_model::{Digest, Lane, Lineage, Revision, Version, WeightRow, WeightTtl, wire};
use tyrscale_proto::v1::DiscoveryResource;

const FILE: &str = "weights.soft";
const UNFINISHED: &str = "weights.unfinished";
const MAGIC: &[u8; 8] = b"tyrweig1";
const CHECKSUM: usize = 32;
const HEADER: usize = 8 + 16 + 16 + 8 + 32 + 8;
/// A larger file is not one of ours.
const MAX_FILE: u64 = 256 << 20;

/// Recommended weights as they are kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    /// Of the configuration whose revisions they name.
    pub(crate) config: Lineage,
    pub(crate) version: Version,
    /// With what is left of their lives.
    pub(crate) rows: Vec<WeightRow>,
}

/// The place of the file. All calls block.
#[derive(Debug)]
pub(crate) struct LastWeights {
    directory: PathBuf,
}

impl LastWeights {
    pub(crate) const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Replaces what is kept.
    pub(crate) fn save(&self, kept: &Kept) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        let unfinished = self.directory.join(UNFINISHED);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(&encode(kept, wall_clock()))?;
        fs::rename(unfinished, self.directory.join(FILE))
    }

    /// What is kept, less the time since; `None` when there is nothing of use.
    pub(crate) fn load(&self) -> Option<Kept> {
        let mut bytes = Vec::new();
        let file = fs::File::open(self.directory.join(FILE)).ok()?;
        file.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
        decode(&bytes, wall_clock())
    }
}

/// Milliseconds of the wall clock. Only how long this machine was without the process depends on it; a clock that
/// was set back takes nothing off.
fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn encode(kept: &Kept, now: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_slice(MAGIC);
    bytes.put_slice(&kept.config.0);
    bytes.put_slice(&kept.version.lineage.0);
    bytes.put_u64_le(kept.version.revision.0);
    bytes.put_slice(&kept.version.digest.0);
    bytes.put_u64_le(now);
    for row in &kept.rows {
        bytes.put_slice(&wire::weight_row_to_wire(row).encode_length_delimited_to_vec());
    }
    let sum = blake3::hash(&bytes);
    [sum.as_bytes().as_slice(), &bytes].concat()
}

fn decode(bytes: &[u8], now: u64) -> Option<Kept> {
    let (sum, rest) = bytes.split_at_checked(CHECKSUM)?;
    if blake3::hash(rest).as_bytes() != sum {
        return None;
    }
    let (mut header, mut body) = rest.split_at_checked(HEADER)?;
    let (mut magic, mut config, mut lineage, mut digest) = ([0; 8], [0; 16], [0; 16], [0; 32]);
    header.copy_to_slice(&mut magic);
    header.copy_to_slice(&mut config);
    header.copy_to_slice(&mut lineage);
    let revision = Revision(header.get_u64_le());
    header.copy_to_slice(&mut digest);
    let away = Duration::from_millis(now.saturating_sub(header.get_u64_le()));
    let mut rows = Vec::new();
    while body.has_remaining() {
        let message = DiscoveryResource::decode_length_delimited(&mut body).ok()?;
        let row = wire::weight_row_from_wire(&message)?.ok()?;
        let left = row.remaining.map(|left| left.get().saturating_sub(away));
        rows.push(WeightRow {
            remaining: left.map(WeightTtl::remaining),
            ..row
        });
    }
    (magic == *MAGIC).then_some(Kept {
        config: Lineage(config),
        version: Version {
            lane: Lane::Weights,
            lineage: Lineage(lineage),
            revision,
            digest: Digest(digest),
        },
        rows,
    })
}

#[cfg(test)]
mod tests {
    use tyrscale_model::{SoftWeight, Weight};

    use super::*;

    fn kept(seconds: u64) -> Kept {
        let soft = SoftWeight {
            weight: Weight::try_from(5.0).unwrap(),
            ttl: WeightTtl::default(),
            based_on: Revision(3),
        };
        Kept {
            config: Lineage([1; 16]),
            version: Version {
                lane: Lane::Weights,
                lineage: Lineage([2; 16]),
                revision: Revision(9),
                digest: Digest([3; 32]),
            },
            rows: vec![WeightRow {
                upstream: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
                revision: Revision(9),
                payload: wire::encode_weight(&soft),
                remaining: Some(WeightTtl::remaining(Duration::from_secs(seconds))),
            }],
        }
    }

    #[test]
    fn the_time_away_is_taken_off_and_a_clock_set_back_takes_nothing() {
        let bytes = encode(&kept(60), 1_000_000);
        assert_eq!(decode(&bytes, 1_000_000), Some(kept(60)));
        assert_eq!(decode(&bytes, 1_020_000), Some(kept(40)));
        assert_eq!(decode(&bytes, 9_999_999), Some(kept(1)));
        assert_eq!(decode(&bytes, 0), Some(kept(60)));
    }

    #[test]
    fn what_is_damaged_is_not_used() {
        let bytes = encode(&kept(60), 0);
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut], 0), None);
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(decode(&flipped, 0), None);
        }
    }
}
