//! Whether the pepper is the one that the tokens were made with.

use super::{Token, Tokens};
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
    /// The living tokens, if they were made with another pepper: nobody can use them here.
    ///
    /// # Errors
    /// [`AccessError::Store`].
    pub async fn unusable(&self, now: i64) -> Result<Vec<Token>, AccessError> {
        let noted = self.documents.get(MARK).await?;
        let is_other = noted.is_some_and(|noted| noted.value != self.pepper.mark().as_slice());
        Ok(if is_other {
            self.list(now, false)
        } else {
            Vec::new()
        })
    }

    /// Sees to it that the pepper is the one that the living tokens were made with, and notes it. Returns how many were
    /// revoked because it is another.
    ///
    /// # Errors
    /// [`AccessError::OtherPepper`], [`AccessError::Store`].
    pub async fn check_pepper(&self, other: OtherPepper, now: i64) -> Result<usize, AccessError> {
        let unusable = self.unusable(now).await?;
        if !unusable.is_empty() && other == OtherPepper::Refused {
            return Err(AccessError::OtherPepper(unusable.len()));
        }
        for token in &unusable {
            self.revoke(&token.id.to_string(), now).await?;
        }
        let mark = self.pepper.mark();
        let noted = self.documents.get(MARK).await?;
        if noted.is_none_or(|noted| noted.value != mark.as_slice()) {
            self.documents.put(MARK, mark.to_vec()).await?;
        }
        Ok(unusable.len())
    }
}
