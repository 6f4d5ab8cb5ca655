//! Ids: UUIDs of their own types, and names.

use std::{fmt, str::FromStr, sync::Arc};

use uuid::Uuid;

use crate::{Kind, ResourceKey, Violation, ViolationCode};

/// Reads a UUID in its canonical text form: 8-4-4-4-12 lower-case hexadecimal digits, any version.
fn parse_uuid(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    let mut buffer = Uuid::encode_buffer();
    let canonical: &str = uuid.as_hyphenated().encode_lower(&mut buffer);
    (canonical == text).then_some(uuid)
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The key of the resource of this id.
            #[must_use]
            pub fn key(&self) -> ResourceKey {
                let mut buffer = Uuid::encode_buffer();
                let text: &str = self.0.as_hyphenated().encode_lower(&mut buffer);
                ResourceKey::new($kind, text)
            }
        }

        impl FromStr for $name {
            type Err = Violation;

            fn from_str(text: &str) -> Result<Self, Violation> {
                parse_uuid(text).map(Self).ok_or_else(|| {
                    Violation::new("id", ViolationCode::Invalid, "must be a lower-case UUID")
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

uuid_id!(
    /// Which rpc.
    RpcId,
    Kind::Rpc
);
uuid_id!(
    /// Which route.
    RouteId,
    Kind::Route
);
uuid_id!(
    /// Which upstream.
    UpstreamId,
    Kind::Upstream
);

/// A name: 1 to 128 letters, digits, `_` and `-`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The longest name, in bytes.
    pub const MAX: usize = 128;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        let violation = |code, message| Err(Violation::new("name", code, message));
        if text.is_empty() {
            return violation(ViolationCode::Required, "must be set");
        }
        if text.len() > Self::MAX {
            return violation(ViolationCode::OutOfRange, "must have at most 128 characters");
        }
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !text.bytes().all(valid) {
            return violation(ViolationCode::Invalid, "must match ^[a-zA-Z0-9_-]+$");
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_of_a_uuid_is_an_id() {
        let text = "0191e7a2-5d1c-4b7e-8a3f-000000000001";
        assert_eq!(text.parse::<RpcId>().unwrap().to_string(), text);
        for bad in [
            "",
            "zz",
            &text.to_uppercase(),
            &text.replace('-', ""),
            &format!("{{{text}}}"),
            "*",
        ] {
            assert!(bad.parse::<RpcId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_has_letters_digits_underscore_and_hyphen() {
        assert!("eth_main-1".parse::<Name>().is_ok());
        for bad in ["", "bad name", "p*", "a/b", "é"] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
