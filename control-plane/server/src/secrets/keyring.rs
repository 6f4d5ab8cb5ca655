//! Data keys: what values are sealed with. They rest in the store, sealed with the master key.

use std::fmt;

use prost::Message as _;
use tyrscale_model::{Name, SecretValue};

use super::{
    SecretsError,
    cipher::{self, KEY},
    master::{MasterKeys, hex},
};

/// How sealed values begin.
const FORMAT: u8 = 1;
/// What a sealed keyring is about.
const CONTEXT: &[u8] = b"tyrscale keyring";
/// The most data keys.
const MAX: usize = 1000;

/// As it is stored.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct KeyringRecord {
    /// The name of the master key it is sealed with.
    #[prost(bytes = "vec", tag = "1")]
    master: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    sealed: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
struct Keys {
    /// The number of a key is its place, from 1. The last one seals.
    #[prost(bytes = "vec", repeated, tag = "1")]
    data: Vec<Vec<u8>>,
    /// What fingerprints are made with.
    #[prost(bytes = "vec", tag = "2")]
    fingerprint: Vec<u8>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.data.len())
    }
}

/// The data keys of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keyring {
    data: Vec<DataKey>,
    fingerprint: DataKey,
}

#[derive(Clone, PartialEq, Eq)]
struct DataKey([u8; KEY]);

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Keyring {
    /// A new one, of one key.
    pub(super) fn make() -> Result<Self, SecretsError> {
        Ok(Self {
            data: vec![DataKey(cipher::random()?)],
            fingerprint: DataKey(cipher::random()?),
        })
    }

    /// The same with one more key, which seals from now on.
    pub(super) fn rotated(&self) -> Result<Self, SecretsError> {
        if self.data.len() >= MAX {
            return Err(SecretsError::TooManyKeys(self.data.len()));
        }
        let mut next = self.clone();
        next.data.push(DataKey(cipher::random()?));
        Ok(next)
    }

    /// As it is stored.
    pub(super) fn encode(&self, masters: &MasterKeys) -> Result<Vec<u8>, SecretsError> {
        let keys = Keys {
            data: self.data.iter().map(|key| key.0.to_vec()).collect(),
            fingerprint: self.fingerprint.0.to_vec(),
        };
        let record = KeyringRecord {
            master: masters.name().to_vec(),
            sealed: masters.seal(CONTEXT, &keys.encode_to_vec())?,
        };
        Ok(record.encode_to_vec())
    }

    /// Reads what [`Keyring::encode`] made, and whether it is sealed with a master key that is not in use any more.
    pub(super) fn decode(bytes: &[u8], masters: &MasterKeys) -> Result<(Self, bool), SecretsError> {
        let damaged = || SecretsError::Damaged("the keyring".to_owned());
        let record = KeyringRecord::decode(bytes).map_err(|_| damaged())?;
        let keys = masters.open(&record.master, CONTEXT, &record.sealed)?;
        let keys = Keys::decode(keys.as_slice()).map_err(|_| damaged())?;
        let key = |bytes: Vec<u8>| bytes.try_into().map(DataKey).map_err(|_| damaged());
        let ring = Self {
            data: keys.data.into_iter().map(key).collect::<Result<_, _>>()?,
            fingerprint: key(keys.fingerprint)?,
        };
        Ok((ring, record.master != masters.name()))
    }

    /// Seals a value of the secret of this name: `format 1 ‖ number of the key 4 ‖ sealed`.
    pub(super) fn seal(&self, name: &Name, value: &SecretValue) -> Result<Vec<u8>, SecretsError> {
        let number = u32::try_from(self.data.len()).unwrap_or_default();
        let key = self.data.last().ok_or(SecretsError::UnknownKey(number))?;
        let sealed = cipher::seal(&key.0, &context(name), value.expose().as_bytes())?;
        Ok([&[FORMAT], number.to_be_bytes().as_slice(), &sealed].concat())
    }

    /// Opens what [`Keyring::seal`] sealed for the secret of this name.
    pub(super) fn open(&self, name: &Name, sealed: &[u8]) -> Result<SecretValue, SecretsError> {
        let damaged = || SecretsError::Damaged(format!("secret/{name}"));
        let (format, rest) = sealed.split_first().ok_or_else(damaged)?;
        let (number, sealed) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        if *format != FORMAT {
            return Err(damaged());
        }
        let number = u32::from_be_bytes(*number);
        let place = usize::try_from(number).unwrap_or_default().checked_sub(1);
        let key = place
            .and_then(|place| self.data.get(place))
            .ok_or(SecretsError::UnknownKey(number))?;
        let plain = cipher::open(&key.0, &context(name), sealed).ok_or_else(damaged)?;
        let text = String::from_utf8(plain).map_err(|_| damaged())?;
        text.parse().map_err(|_| damaged())
    }

    /// Whether the newest key sealed it.
    pub(super) fn is_newest(&self, sealed: &[u8]) -> bool {
        let newest = u32::try_from(self.data.len()).unwrap_or_default();
        sealed.get(1..5) == Some(newest.to_be_bytes().as_slice())
    }

    /// Tells equal values: 16 hexadecimal digits, which nobody can guess values by who does not have the key.
    pub(super) fn fingerprint(&self, value: &SecretValue) -> String {
        let hash = self.keyed("fingerprint", value.expose().as_bytes());
        hex(hash.first_chunk::<8>().unwrap_or(&[0; 8]))
    }

    /// A hash that nobody can make who does not have the key.
    pub(super) fn keyed(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.fingerprint.0);
        hasher.update(&(purpose.len() as u64).to_le_bytes());
        hasher.update(purpose.as_bytes());
        hasher.update(bytes);
        *hasher.finalize().as_bytes()
    }
}

fn context(name: &Name) -> Vec<u8> {
    [b"tyrscale secret/", name.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn values_open_under_their_own_name_and_after_rotations() {
        let ring = Keyring::make().unwrap();
        let value: SecretValue = "s3cret".parse().unwrap();
        let sealed = ring.seal(&name("a"), &value).unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"s3cret"));
        assert_eq!(ring.open(&name("a"), &sealed).unwrap(), value);
        assert!(ring.open(&name("b"), &sealed).is_err());
        let rotated = ring.rotated().unwrap();
        assert_eq!(rotated.open(&name("a"), &sealed).unwrap(), value);
        assert!(ring.is_newest(&sealed) && !rotated.is_newest(&sealed));
        let anew = rotated.seal(&name("a"), &value).unwrap();
        assert!(matches!(
            ring.open(&name("a"), &anew),
            Err(SecretsError::UnknownKey(2))
        ));
        assert_eq!(ring.fingerprint(&value), rotated.fingerprint(&value));
        assert_ne!(
            ring.fingerprint(&value),
            Keyring::make().unwrap().fingerprint(&value),
            "a fingerprint says nothing without the key"
        );
    }

    #[test]
    fn it_rests_sealed_and_moves_to_another_master_key() {
        let keys = |text: String| text.parse::<MasterKeys>().unwrap();
        let (old, new) = ("11".repeat(KEY), "22".repeat(KEY));
        let ring = Keyring::make().unwrap();
        let stored = ring.encode(&keys(old.clone())).unwrap();
        assert!(!stored.windows(KEY).any(|part| part == ring.data[0].0));
        assert_eq!(
            Keyring::decode(&stored, &keys(old.clone())).unwrap(),
            (ring.clone(), false)
        );
        let both = keys(format!("{new},{old}"));
        assert_eq!(Keyring::decode(&stored, &both).unwrap(), (ring.clone(), true));
        let moved = ring.encode(&both).unwrap();
        assert_eq!(Keyring::decode(&moved, &keys(new)).unwrap(), (ring, false));
        assert!(Keyring::decode(&moved, &keys(old)).is_err());
    }
}
