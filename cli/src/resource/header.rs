//! HTTP headers: `Name: value` as a flag, a map in documents.

use std::{collections::BTreeMap, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A header, name and value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header(pub(crate) String, pub(crate) String);

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("must be \"Name: value\"")?;
        Ok(Self(name.trim().to_owned(), value.trim().to_owned()))
    }
}

/// Headers as they stand in a message.
pub(crate) fn to_map(headers: Vec<Header>) -> BTreeMap<String, String> {
    headers
        .into_iter()
        .map(|Header(name, value)| (name, value))
        .collect()
}

/// Headers of a message.
pub(crate) fn from_map(map: BTreeMap<String, String>) -> Vec<Header> {
    map.into_iter().map(|(name, value)| Header(name, value)).collect()
}

/// Writes headers as a map.
pub(crate) fn serialize<S: Serializer>(headers: &[Header], serializer: S) -> Result<S::Ok, S::Error> {
    let map: BTreeMap<_, _> = headers.iter().map(|Header(name, value)| (name, value)).collect();
    map.serialize(serializer)
}

/// Reads a map of headers.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Header>, D::Error> {
    BTreeMap::deserialize(deserializer).map(from_map)
}
