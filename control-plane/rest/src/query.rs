//! Filters of lists: exact, all must hold, empty and unknown ones are ignored.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};

use crate::error::ApiError;

/// The query parameters as they were sent.
pub(crate) struct Filters(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Filters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(pairs)| Self(pairs))
            .map_err(|_| ApiError::invalid("query cannot be read"))
    }
}

impl Filters {
    /// The first value that is not empty under one of the names.
    pub(crate) fn get(&self, names: &[&str]) -> Option<&str> {
        let named = names.iter().find_map(|name| {
            let mut values = self
                .0
                .iter()
                .filter(|(key, value)| key == name && !value.is_empty());
            values.next()
        });
        named.map(|(_, value)| value.as_str())
    }

    /// The same, checked by `check`, which names what is wrong.
    pub(crate) fn checked<T>(
        &self,
        names: &[&str],
        check: impl FnOnce(&str, &str) -> Result<T, ApiError>,
    ) -> Result<Option<&str>, ApiError> {
        let value = self.get(names);
        if let (Some(value), Some(name)) = (value, names.first()) {
            check(name, value)?;
        }
        Ok(value)
    }

    /// A truth value as Go's `strconv.ParseBool` reads it.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.get(&[name]) {
            None => Ok(None),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
            Some(_) => Err(ApiError::invalid(format!("{name} must be a boolean"))),
        }
    }
}

/// Whether a filter lets a value pass.
pub(crate) fn passes(filter: Option<&str>, value: &str) -> bool {
    filter.is_none_or(|filter| filter == value)
}

/// Refuses a text that is no decimal number.
pub(crate) fn check_numeric(name: &str, text: &str) -> Result<(), ApiError> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(whole) && digits(fraction) {
        Ok(())
    } else {
        Err(ApiError::invalid(format!("{name} must be a valid numeric value")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_an_optional_sign_and_fraction() {
        for good in ["1", "-1", "+1.5", "007"] {
            assert!(check_numeric("chain_id", good).is_ok(), "{good}");
        }
        for bad in ["abc", "1.", ".5", "1e3", "", "-"] {
            assert!(check_numeric("chain_id", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_value_is_no_filter() {
        let pairs = [("name", ""), ("name", "eth"), ("chainId", "1")];
        let filters = Filters(
            pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        );
        assert_eq!(filters.get(&["name"]), Some("eth"));
        assert_eq!(filters.get(&["chain_id", "chainId"]), Some("1"));
        assert_eq!(filters.get(&["blockchain"]), None);
    }
}
