//! The text of a token and its hash.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use blake3::Hash;

use crate::Pepper;

const PREFIX: &str = "tyr_";
const PURPOSE: &str = "tyrscale.dev 2026 api tokens";

/// What a token is called, in records and lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(u64);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text that is no token, or no id of one. It is not repeated, as it may be a token with a slip in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no token")]
pub struct NoToken;

impl FromStr for TokenId {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let is_plain = text.len() == 16 && text.bytes().all(is_hex);
        let number = is_plain.then(|| u64::from_str_radix(text, 16).ok());
        number.flatten().map(Self).ok_or(NoToken)
    }
}

/// What the holder of a token has: `tyr_<id>_<secret>`, the secret of 256 random bits.
#[derive(Clone)]
pub struct TokenText {
    pub(crate) id: TokenId,
    secret: [u8; 32],
}

impl TokenText {
    /// Draws a token.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(crate) fn draw() -> Result<Self, getrandom::Error> {
        let (mut id, mut secret) = ([0; 8], [0; 32]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        Ok(Self {
            id: TokenId(u64::from_be_bytes(id)),
            secret,
        })
    }

    /// The text itself, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> String {
        let mut text = format!("{PREFIX}{}_", self.id);
        for byte in self.secret {
            // Writing to a string cannot fail.
            _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// What is kept of it. Comparing two of them takes the same time wherever they differ.
    pub(crate) fn hash(&self, pepper: &Pepper) -> Hash {
        let mut hasher = blake3::Hasher::new_keyed(&pepper.key(PURPOSE));
        hasher.update(&self.id.0.to_be_bytes());
        hasher.update(&self.secret);
        hasher.finalize()
    }
}

impl FromStr for TokenText {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let (id, secret) = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('_'))
            .ok_or(NoToken)?;
        let is_plain = secret.len() == 64 && secret.bytes().all(is_hex);
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(secret.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NoToken)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NoToken)?;
        }
        let secret = is_plain.then_some(bytes).ok_or(NoToken)?;
        Ok(Self {
            id: id.parse()?,
            secret,
        })
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenText({PREFIX}{}_***)", self.id)
    }
}

const fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_reads_as_it_is_shown_and_hides_its_secret() {
        let token = TokenText::draw().unwrap();
        let text = token.reveal();
        let read: TokenText = text.parse().unwrap();
        let pepper = Pepper::new([7; 32]);
        assert_eq!(read.hash(&pepper), token.hash(&pepper));
        assert_ne!(token.hash(&pepper), token.hash(&Pepper::new([8; 32])));
        assert_ne!(token.hash(&pepper), TokenText::draw().unwrap().hash(&pepper));
        let (_, secret) = text.rsplit_once('_').unwrap();
        assert!(!format!("{token:?}").contains(secret));
    }

    proptest! {
        #[test]
        fn only_texts_of_the_form_are_tokens(text in "(tyr_)?[0-9a-fA-F_]{0,90}") {
            if let Ok(token) = text.parse::<TokenText>() {
                prop_assert_eq!(token.reveal(), text);
            }
        }
    }
}
