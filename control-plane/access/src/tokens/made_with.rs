//! Whether the pepper is the one that the tokens were made with.

use super::Tokens;
use crate::{AccessError, Pepper};

/// Where it is noted which pepper they were made with.
const MARK: &str = "pepper";
const PURPOSE: &str = "tyrscale 2026-11 mark of a pepper";

/// What becomes of tokens that were made with another pepper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherPepper {
    /// They keep whoever has another one from starting.
    Refused,
    /// They are revoked: the pepper that they were made with is lost.
    Renewed,
}

impl Pepper {
    /// Tells peppers apart, and nothing of what they are.
    fn mark(&self) -> [u8; 32] {
        self.key(PURPOSE)
    }
}

impl Tokens {
    /// Whether the pepper is the one that the living tokens were made with; where that is not noted yet, it is now.
    /// Returns how many were revoked because it is another.
    ///
    /// # Errors
    /// [`AccessError::OtherPepper`], [`AccessError::Store`].
    pub async fn check_pepper(&self, other: OtherPepper, now: i64) -> Result<usize, AccessError> {
        let mark = self.pepper.mark();
        let noted = self.documents.get(MARK).await?;
        let is_other = noted.as_ref().is_some_and(|noted| noted.value != mark.as_slice());
        let living = self.list(now, false);
        if is_other && !living.is_empty() && other == OtherPepper::Refused {
            return Err(AccessError::OtherPepper(living.len()));
        }
        let revoked = if is_other { living.as_slice() } else { &[] };
        for token in revoked {
            self.revoke(&token.id.to_string(), now).await?;
        }
        if is_other || noted.is_none() {
            self.documents.put(MARK, mark.to_vec()).await?;
        }
        Ok(revoked.len())
    }
}
