//! JSON objects as the original program read them: names in any case, unknown ones ignored, `null` as absent,
//! numbers as numbers; the first field that is wrong is named.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tyrscale_model::{Name, Violation, ViolationCode};
use uuid::Uuid;

use crate::error::ApiError;

/// The members of an object by lower-case name, each still text; of two with one name the last.
#[derive(Debug, Default)]
pub(crate) struct Object(BTreeMap<String, Box<RawValue>>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(mut name) = map.next_key::<String>().map_err(A::Error::custom)? {
            name.make_ascii_lowercase();
            members.insert(name, map.next_value()?);
        }
        Ok(Object(members))
    }
}

/// Whether null, absent and a value of the wrong type.
type Member<T> = Result<Option<T>, ApiError>;

impl Object {
    /// Reads a body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        serde_json::from_slice(body).map_err(|error| {
            // The parser's own words may quote the body, which may be long or hold a key.
            ApiError::invalid(match error.classify() {
                serde_json::error::Category::Eof => "unexpected end of JSON input".to_owned(),
                serde_json::error::Category::Data => "body must be a JSON object".to_owned(),
                serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                    format!("invalid JSON at line {}, column {}", error.line(), error.column())
                }
            })
        })
    }

    /// The JSON text of a member that is there and not `null`.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        let text = self.0.get(name)?.get();
        (text != "null").then_some(text)
    }

    fn read<T: DeserializeOwned>(&self, name: &str, what: &str) -> Member<T> {
        let Some(text) = self.raw(name) else {
            return Ok(None);
        };
        let wrong = |_| ApiError::invalid(format!("{name} must be {what}"));
        serde_json::from_str(text).map(Some).map_err(wrong)
    }

    /// A text, perhaps empty.
    pub(crate) fn text(&self, name: &str) -> Member<String> {
        self.read(name, "a string")
    }

    /// A text that is not empty; an empty one counts as absent.
    pub(crate) fn filled(&self, name: &str) -> Member<String> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    /// A truth value.
    pub(crate) fn boolean(&self, name: &str) -> Member<bool> {
        self.read(name, "a boolean")
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Member<f64> {
        self.read(name, "a number")
    }

    /// A whole number written without fraction and exponent.
    pub(crate) fn whole(&self, name: &str) -> Member<i128> {
        self.read(name, "a whole number")
    }

    /// A whole number that is not negative and fits in 32 bits.
    pub(crate) fn unsigned(&self, name: &str) -> Member<u32> {
        let Some(number) = self.whole(name)? else {
            return Ok(None);
        };
        match u32::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) if number < 0 => Err(ApiError::invalid(format!("{name} must be 0 or greater"))),
            Err(_) => Err(ApiError::invalid(format!("{name} must be 4,294,967,295 or less"))),
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&self, name: &str) -> Member<Vec<String>> {
        self.read(name, "a list of strings")
    }

    /// A map of texts.
    pub(crate) fn text_map(&self, name: &str) -> Member<BTreeMap<String, String>> {
        self.read(name, "a map of strings")
    }

    /// An object.
    pub(crate) fn object(&self, name: &str) -> Member<Self> {
        self.read(name, "an object")
    }

    /// A value of a model type, from a text; an empty text counts as absent.
    pub(crate) fn parsed<T: FromStr<Err = Violation>>(&self, name: &str) -> Member<T> {
        let text = self.filled(name)?;
        text.map(|text| parse(name, &text)).transpose()
    }

    /// A name.
    pub(crate) fn name(&self, name: &str) -> Member<Name> {
        let text = self.filled(name)?;
        text.map(|text| parse_name(name, &text)).transpose()
    }

    /// A UUID in canonical form.
    pub(crate) fn uuid(&self, name: &str) -> Member<Uuid> {
        let text = self.filled(name)?;
        text.map(|text| parse_uuid(name, &text)).transpose()
    }
}

/// Refuses an absent field.
pub(crate) fn required<T>(name: &str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::invalid(format!("{name} is a required field")))
}

/// Reads a model type, naming the field when it is wrong.
pub(crate) fn parse<T: FromStr<Err = Violation>>(name: &str, text: &str) -> Result<T, ApiError> {
    text.parse()
        .map_err(|violation: Violation| ApiError::invalid(format!("{name} {}", violation.message)))
}

/// Reads a name.
pub(crate) fn parse_name(name: &str, text: &str) -> Result<Name, ApiError> {
    text.parse().map_err(|violation: Violation| {
        ApiError::invalid(match violation.code {
            ViolationCode::Invalid => format!("{name} is not respect this regex: ^[a-zA-Z0-9_-]+$"),
            _ => format!("{name} {}", violation.message),
        })
    })
}

/// Reads a UUID of lower-case digits.
pub(crate) fn parse_uuid(name: &str, text: &str) -> Result<Uuid, ApiError> {
    let uuid = Uuid::try_parse(text).ok();
    uuid.filter(|uuid| uuid.to_string() == text)
        .ok_or_else(|| ApiError::invalid(format!("{name} must be a valid UUID")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(text: &str) -> Object {
        Object::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_match_in_any_case_and_the_last_wins() {
        let read = object(r#"{"Path":"/a","PATH":"/b","other":[{}]}"#);
        assert_eq!(read.text("path").unwrap().as_deref(), Some("/b"));
    }

    #[test]
    fn numbers_are_numbers_and_whole_ones_are_whole() {
        let read = object(r#"{"a":1.5,"b":1e20,"c":"1","d":-1,"e":4294967296,"f":null,"g":7}"#);
        for wrong in ["a", "b", "c", "d", "e"] {
            assert!(read.unsigned(wrong).is_err(), "{wrong}");
        }
        assert_eq!(read.unsigned("f").unwrap(), None);
        assert_eq!(read.unsigned("g").unwrap(), Some(7));
        assert!(read.number("c").is_err());
    }

    #[test]
    fn what_is_no_object_is_refused_without_quoting_it() {
        for body in ["", "null", "[]", "1", "{bad", r#""secret""#, "{} x", r#"{"a":1"#] {
            let error = Object::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("Invalid input parameters: "), "{body}");
            assert!(!error.contains("secret"));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(read) = Object::parse(&bytes) {
                prop_assert!(read.text("a").is_ok() || read.raw("a").is_some());
            }
        }
    }
}
