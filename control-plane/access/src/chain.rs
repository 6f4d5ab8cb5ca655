//! The chain of audit records: each has a keyed hash over the one before and itself.

use prost::Message as _;
use tyrscale_proto::v1::AuditRecord;

use crate::Pepper;

const PURPOSE: &str = "tyrscale.dev 2026 audit chain";

/// The hash before the first record.
const BEGINNING: [u8; 32] = [0; 32];

/// Where a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) sequence: u64,
    pub(crate) hash: [u8; 32],
}

impl End {
    pub(crate) const BEGINNING: Self = Self {
        sequence: 0,
        hash: BEGINNING,
    };
}

/// What makes and proves chains.
#[derive(Clone)]
pub(crate) struct ChainKey([u8; 32]);

impl ChainKey {
    pub(crate) fn of(pepper: &Pepper) -> Self {
        Self(pepper.key(PURPOSE))
    }

    /// Gives the record its place after `end`, and the end with it.
    pub(crate) fn append(&self, end: End, record: &mut AuditRecord) -> End {
        record.sequence = end.sequence.saturating_add(1);
        let hash = self.hash(&end.hash, record);
        record.hash = hash.to_vec().into();
        End {
            sequence: record.sequence,
            hash,
        }
    }

    fn hash(&self, before: &[u8; 32], record: &AuditRecord) -> [u8; 32] {
        let unhashed = AuditRecord {
            hash: bytes::Bytes::new(),
            ..record.clone()
        };
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(before);
        hasher.update(&unhashed.encode_to_vec());
        *hasher.finalize().as_bytes()
    }
}

/// What a walk along the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How many records fit.
    pub records: u64,
    /// The sequence number of the last that fits.
    pub sequence: u64,
    /// Its hash.
    pub hash: [u8; 32],
    /// The first place where something does not fit, and what.
    pub broken: Option<(u64, String)>,
}

/// A walk along the chain.
pub(crate) struct Walk {
    key: ChainKey,
    begin: End,
    end: End,
    /// A record that must be found as it was.
    known: Option<End>,
}

impl Walk {
    /// A walk from the record after `begin`.
    pub(crate) const fn new(key: ChainKey, begin: End, known: Option<End>) -> Self {
        Self {
            key,
            begin,
            end: begin,
            known,
        }
    }

    /// Whether the known record is the one the walk has come to, and another.
    pub(crate) fn unlike_known(&self) -> Option<(u64, String)> {
        let known = self.known.filter(|known| known.sequence == self.end.sequence)?;
        let is_other = blake3::Hash::from_bytes(self.end.hash) != known.hash;
        is_other.then(|| {
            (
                known.sequence,
                "its hash is not the one known from elsewhere".to_owned(),
            )
        })
    }

    /// Takes the next record as it is stored.
    ///
    /// # Errors
    /// What does not fit, with the place.
    pub(crate) fn step(&mut self, record: &AuditRecord) -> Result<(), (u64, String)> {
        let place = self.end.sequence.saturating_add(1);
        if record.sequence != place {
            return Err((place, format!("record {} is in its place", record.sequence)));
        }
        let hash = self.key.hash(&self.end.hash, record);
        if blake3::Hash::from_bytes(hash) != *record.hash {
            return Err((
                place,
                "its hash is not that of its content and the records before it".to_owned(),
            ));
        }
        self.end = End {
            sequence: place,
            hash,
        };
        self.unlike_known().map_or(Ok(()), Err)
    }

    /// Ends the walk where the records end; `end` is where they should.
    pub(crate) fn finish(self, end: End) -> Verdict {
        let next = self.end.sequence.saturating_add(1);
        let must_have = end.sequence.max(self.known.map_or(0, |known| known.sequence));
        let broken = if self.end.sequence < must_have {
            Some((next, format!("the records end here, and went on to {must_have}")))
        } else if self.end != end {
            Some((
                self.end.sequence,
                "it is not the record that the log ends with".to_owned(),
            ))
        } else {
            None
        };
        self.verdict(broken)
    }

    pub(crate) const fn verdict(self, broken: Option<(u64, String)>) -> Verdict {
        Verdict {
            records: self.end.sequence - self.begin.sequence,
            sequence: self.end.sequence,
            hash: self.end.hash,
            broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> ChainKey {
        ChainKey::of(&Pepper::new([1; 32]))
    }

    fn chain(length: u64) -> (Vec<AuditRecord>, End) {
        let mut end = End::BEGINNING;
        let mut records = Vec::new();
        for number in 0..length {
            let mut record = AuditRecord {
                subject: format!("subject-{number}"),
                ..AuditRecord::default()
            };
            end = key().append(end, &mut record);
            records.push(record);
        }
        (records, end)
    }

    fn verify(records: &[AuditRecord], end: End, known: Option<End>) -> Verdict {
        let mut walk = Walk::new(key(), End::BEGINNING, known);
        for record in records {
            if let Err(broken) = walk.step(record) {
                return walk.verdict(Some(broken));
            }
        }
        walk.finish(end)
    }

    #[test]
    fn an_untouched_chain_is_intact() {
        for length in [0, 1, 20] {
            let (records, end) = chain(length);
            let verdict = verify(&records, end, None);
            assert_eq!((verdict.records, verdict.broken), (length, None));
        }
    }

    #[test]
    fn a_chain_rewritten_to_fit_is_told_by_a_hash_known_from_elsewhere() {
        let (_, known) = chain(5);
        let (mut records, _) = chain(4);
        let end = key().append(
            End {
                sequence: 4,
                hash: records[3].hash.as_ref().try_into().unwrap(),
            },
            records.last_mut().unwrap(),
        );
        assert_eq!(verify(&records, end, Some(known)).broken.unwrap().0, 4);
        let (records, end) = chain(3);
        assert!(
            verify(&records, end, Some(known))
                .broken
                .unwrap()
                .1
                .contains("went on to 5")
        );
    }

    proptest! {
        #[test]
        fn any_change_gap_or_cut_shows(length in 2_u64..20, place in any::<prop::sample::Index>(), how in 0..4) {
            let (mut records, end) = chain(length);
            let at = place.index(records.len());
            match how {
                0 => records[at].subject.push('x'),
                1 => { records.remove(at); }
                2 => records.truncate(at),
                _ => {
                    let last = records.len() - 1;
                    let other = if at == last { 0 } else { last };
                    records.swap(at, other);
                }
            }
            prop_assert!(verify(&records, end, None).broken.is_some());
        }
    }
}
