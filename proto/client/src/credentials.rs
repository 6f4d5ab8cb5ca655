//! What a client shows of itself.

use std::fmt;

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};
use tyrscale_tls::ClientTls;

/// How a client proves who it is: by nothing, a certificate, a token, or both.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// For control planes at `https`.
    pub tls: ClientTls,
    /// What each call carries.
    pub token: Option<ApiToken>,
}

/// The text of a token. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken(String);

/// A text that is no token. It is not repeated, as it may be one with a slip in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has printable ascii characters without blanks, at most 8192")]
pub struct TokenTextError;

impl std::str::FromStr for ApiToken {
    type Err = TokenTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let is_text = (1..=8192).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_text {
            Ok(Self(text.to_owned()))
        } else {
            Err(TokenTextError)
        }
    }
}

impl ApiToken {
    /// The value of the header `authorization`.
    #[must_use]
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(***)")
    }
}

/// Puts the token, if any, on each call.
#[derive(Debug, Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    pub(crate) fn new(token: Option<&ApiToken>) -> Self {
        let value = token.and_then(|token| token.header().parse().ok());
        Self(value.map(|mut value: MetadataValue<Ascii>| {
            value.set_sensitive(true);
            value
        }))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_shown() {
        let token: ApiToken = " tyr_0011_canary\n".parse().unwrap();
        assert_eq!(token.header(), "Bearer tyr_0011_canary");
        let bearer = Bearer::new(Some(&token));
        assert!(!format!("{token:?} {bearer:?}").contains("canary"));
        assert_eq!("a b".parse::<ApiToken>(), Err(TokenTextError));
    }
}
