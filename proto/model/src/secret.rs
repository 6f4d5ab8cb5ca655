//! Secrets: values that are written and never read, and texts that refer to them as `${secret:NAME}`.

pub(crate) mod reference;

use std::{fmt, str::FromStr};

use bytes::Bytes;

use crate::{Kind, Name, ResourceKey, Violation, ViolationCode, http_url::MASK, rules::Rules};

/// A value that must not be seen, such as a provider's key. `Debug` masks it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(String);

impl SecretValue {
    /// The longest value, in bytes.
    pub const MAX: usize = 4096;

    /// The value.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretValue {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        let violation = |code, rule| Err(Violation::new("value", code, rule));
        if text.is_empty() {
            return violation(ViolationCode::Required, "must be set");
        }
        if text.len() > Self::MAX {
            return violation(ViolationCode::OutOfRange, "must have at most 4096 bytes");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let rule = "must be visible ASCII without blanks";
            return violation(ViolationCode::Invalid, rule);
        }
        if text == MASK {
            return violation(ViolationCode::Invalid, "must not be the mask of a value");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// A secret. Where it is stored its value is sealed; who writes it, and a subscriber that needs it, have the value.
#[derive(Debug, Clone, PartialEq)]
pub struct Secret {
    /// The id.
    pub name: Name,
    /// The value, encrypted by the control plane; empty before that.
    pub sealed: Bytes,
    /// Tells equal values, to those who have the control plane's key.
    pub fingerprint: String,
    /// The value, where it is known.
    pub value: Option<SecretValue>,
}

impl Secret {
    /// The longest sealed value, in bytes.
    const MAX_SEALED: usize = 2 * SecretValue::MAX;
    /// The longest fingerprint, in bytes.
    const MAX_FINGERPRINT: usize = 64;

    /// The key of the secret of this name.
    #[must_use]
    pub fn key_of(name: &Name) -> ResourceKey {
        ResourceKey::new(Kind::Secret, name.as_str())
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        Self::key_of(&self.name)
    }

    /// The keys of those that `field` refers to.
    pub(crate) fn keys_of<'a>(
        field: &'static str,
        names: impl Iterator<Item = Name> + 'a,
    ) -> impl Iterator<Item = (&'static str, ResourceKey)> + 'a {
        names.map(move |name| (field, Self::key_of(&name)))
    }

    /// The rules the types do not hold already.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        let mut check = |broken, code, rule| rules.refuse_if(broken, "value", code, rule);
        check(self.sealed.is_empty(), ViolationCode::Required, "must be set");
        let is_large = self.sealed.len() > Self::MAX_SEALED || self.fingerprint.len() > Self::MAX_FINGERPRINT;
        check(
            is_large,
            ViolationCode::OutOfRange,
            "must be sealed in bounded size",
        );
        rules.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_visible_ascii_and_never_shown() {
        let value: SecretValue = "s3cret~/+=".parse().unwrap();
        assert_eq!(value.expose(), "s3cret~/+=");
        let secret = Secret {
            name: "alchemy".parse().unwrap(),
            sealed: Bytes::from_static(b"sealed"),
            fingerprint: String::new(),
            value: Some(value),
        };
        assert!(!format!("{secret:?}").contains("s3cret"));
        let long = "a".repeat(SecretValue::MAX + 1);
        for bad in ["", "a b", "a\n", "é", "***", long.as_str()] {
            let violation = bad.parse::<SecretValue>().unwrap_err();
            assert_eq!(violation.field, "value");
            assert!(bad.len() < 2 || !violation.message.contains(bad), "{violation}");
        }
    }

    #[test]
    fn what_is_not_sealed_is_not_stored() {
        let secret = Secret {
            name: "alchemy".parse().unwrap(),
            sealed: Bytes::new(),
            fingerprint: String::new(),
            value: "s3cret".parse().ok(),
        };
        assert_eq!(secret.violations().len(), 1);
    }
}
