//! The tokens: made, kept hashed, looked up, revoked.

mod made_with;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use blake3::Hash;
use prost::Message as _;
use tokio::sync::watch;
use tyrscale_proto::v1::AccessRole;
use tyrscale_store::{Documents, StoreError};

use crate::rows::{TokenRow, UseRow, read};
use crate::{AccessError, Pepper, Role, Scope, TokenId, TokenText};

pub use self::made_with::OtherPepper;

const TOKEN: &str = "token/";
const USE: &str = "use/";
/// How many tokens are kept, dead ones included.
const MAX_TOKENS: usize = 10_000;
/// How many tokens of one subject may live.
const MAX_LIVE: usize = 2;
const MAX_SUBJECT: usize = 128;
/// Seconds for which a dead token is still listed.
const KEEP_DEAD: i64 = 30 * 86_400;
/// Seconds between two notes of a token's use.
const USE_STEP: i64 = 60;

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is called.
    pub id: TokenId,
    /// Who holds it.
    pub subject: String,
    /// What it may do.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// When it was made, in seconds of Unix time.
    pub created: i64,
    /// When it ends, in seconds of Unix time.
    pub expires: i64,
    /// When it was last used, to the minute.
    pub last_use: Option<i64>,
    /// When it was revoked.
    pub revoked: Option<i64>,
    /// Who made it.
    pub created_by: String,
}

impl Token {
    /// Whether it may be used.
    #[must_use]
    pub const fn lives(&self, now: i64) -> bool {
        self.revoked.is_none() && now < self.expires
    }
}

/// What a token is made of.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Who will hold it.
    pub subject: String,
    /// What it may do.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// For how long.
    pub lifetime: Duration,
}

impl NewToken {
    /// The lifetime when none is given.
    pub const LIFETIME: Duration = Duration::from_secs(90 * 86_400);
    /// The longest lifetime.
    pub const MAX_LIFETIME: Duration = Duration::from_secs(365 * 86_400);
    const MIN_LIFETIME: Duration = Duration::from_secs(60);

    fn check(&self) -> Result<(), AccessError> {
        let subject = &self.subject;
        let is_subject =
            (1..=MAX_SUBJECT).contains(&subject.len()) && subject.bytes().all(|byte| byte.is_ascii_graphic());
        let invalid = |field, rule| Err(AccessError::Invalid { field, rule });
        if !is_subject {
            return invalid(
                "subject",
                "must be 1 to 128 printable ASCII characters without blanks",
            );
        }
        if !(Self::MIN_LIFETIME..=Self::MAX_LIFETIME).contains(&self.lifetime) {
            return invalid("lifetime", "must be one minute to 365 days");
        }
        if self.role == Role::Admin && !self.scope.is_everywhere() {
            return invalid(
                "scope",
                "must be empty for the role admin, which could make itself any token",
            );
        }
        Ok(())
    }
}

struct Kept {
    token: Token,
    hash: Hash,
    used: AtomicI64,
    noted: AtomicI64,
}

/// The tokens; clones share them.
#[derive(Clone)]
pub struct Tokens {
    documents: Documents,
    pepper: Pepper,
    kept: Arc<RwLock<HashMap<TokenId, Arc<Kept>>>>,
    /// Held while tokens are made or revoked.
    changing: Arc<tokio::sync::Mutex<()>>,
    changed: watch::Sender<()>,
}

impl Tokens {
    /// Reads what the store knows.
    ///
    /// # Errors
    /// [`AccessError::Store`] or [`AccessError::Unreadable`].
    pub async fn open(documents: Documents, pepper: Pepper) -> Result<Self, AccessError> {
        let opened = Self {
            documents,
            pepper,
            kept: Arc::default(),
            changing: Arc::default(),
            changed: watch::Sender::new(()),
        };
        opened.reload().await?;
        Ok(opened)
    }

    /// Takes over what another control plane has stored.
    ///
    /// # Errors
    /// As [`Tokens::open`].
    pub async fn reload(&self) -> Result<(), AccessError> {
        let _changing = self.changing.lock().await;
        let mut uses = HashMap::new();
        for document in self.documents.list(USE, "", MAX_TOKENS).await? {
            let row: UseRow = read(&document.value, "the use of a token")?;
            uses.insert(document.key.trim_start_matches(USE).to_owned(), row.last_use);
        }
        let mut kept = HashMap::new();
        for document in self.documents.list(TOKEN, "", MAX_TOKENS).await? {
            let unreadable = || AccessError::Unreadable("a token");
            let name = document.key.trim_start_matches(TOKEN);
            let id: TokenId = name.parse().map_err(|_| unreadable())?;
            let row: TokenRow = read(&document.value, "a token")?;
            let stored = uses.get(name).copied().unwrap_or_default();
            let known = self.find(id).map_or(0, |kept| kept.used.load(Ordering::Relaxed));
            let used = stored.max(known);
            kept.insert(
                id,
                Arc::new(kept_of(id, row, (used, stored)).ok_or_else(unreadable)?),
            );
        }
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = kept;
        self.changed.send_replace(());
        Ok(())
    }

    /// Tells when a token may have been made or revoked.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether a token that was verified still lives.
    #[must_use]
    pub fn still_lives(&self, id: &str, now: i64) -> bool {
        self.get(id).is_ok_and(|kept| kept.token.lives(now))
    }

    fn find(&self, id: TokenId) -> Option<Arc<Kept>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(&id).cloned()
    }

    /// Whether anybody could make tokens.
    #[must_use]
    pub fn has_admin(&self, now: i64) -> bool {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.values()
            .any(|kept| kept.token.role == Role::Admin && kept.token.lives(now))
    }

    /// The token that a text is, if it lives. Its use is noted.
    #[must_use]
    pub fn verify(&self, text: &TokenText, now: i64) -> Option<Token> {
        let kept = self.find(text.id)?;
        // Comparing hashes takes the same time wherever they differ.
        if kept.hash != text.hash(&self.pepper) || !kept.token.lives(now) {
            return None;
        }
        kept.used.fetch_max(now, Ordering::Relaxed);
        Some(kept.token.clone())
    }

    /// Makes a token. Its text is not kept.
    ///
    /// # Errors
    /// [`AccessError::Invalid`], [`AccessError::TooMany`], [`AccessError::Full`], or [`AccessError::Store`] when it could
    /// not be made durable.
    pub async fn create(&self, new: NewToken, by: &str, now: i64) -> Result<(Token, TokenText), AccessError> {
        new.check()?;
        let _changing = self.changing.lock().await;
        let live = self
            .list(now, false)
            .into_iter()
            .filter(|token| token.subject == new.subject);
        if live.count() >= MAX_LIVE {
            return Err(AccessError::TooMany(new.subject));
        }
        self.forget_dead(now).await?;
        if self.list(now, true).len() >= MAX_TOKENS {
            return Err(AccessError::Full);
        }
        let text = TokenText::draw()
            .map_err(|error| StoreError::Unavailable(format!("there are no random bytes: {error}")))?;
        let lifetime = i64::try_from(new.lifetime.as_secs()).unwrap_or_default();
        let row = TokenRow {
            hash: text.hash(&self.pepper).as_bytes().to_vec(),
            subject: new.subject,
            role: new.role.to_wire().into(),
            created: now,
            expires: now.saturating_add(lifetime),
            created_by: by.to_owned(),
            ..TokenRow::default()
        }
        .with_scope(&new.scope);
        let token = self.put(text.id, row).await?;
        Ok((token, text))
    }

    /// Makes the next token of a token's subject, with its role, scope and lifetime.
    ///
    /// # Errors
    /// [`AccessError::NoSuchToken`], [`AccessError::Dead`], or as [`Tokens::create`].
    pub async fn rotate(&self, id: &str, by: &str, now: i64) -> Result<(Token, TokenText), AccessError> {
        let old = self.get(id)?;
        if !old.token.lives(now) {
            return Err(AccessError::Dead);
        }
        let old = &old.token;
        let lifetime = u64::try_from(old.expires.saturating_sub(old.created)).unwrap_or_default();
        let new = NewToken {
            subject: old.subject.clone(),
            role: old.role,
            scope: old.scope.clone(),
            lifetime: Duration::from_secs(lifetime),
        };
        self.create(new, by, now).await
    }

    /// Refuses a token from now on.
    ///
    /// # Errors
    /// [`AccessError::NoSuchToken`], or [`AccessError::Store`] when it could not be made durable.
    pub async fn revoke(&self, id: &str, now: i64) -> Result<Token, AccessError> {
        let _changing = self.changing.lock().await;
        let kept = self.get(id)?;
        let token = &kept.token;
        let row = TokenRow {
            hash: kept.hash.as_bytes().to_vec(),
            subject: token.subject.clone(),
            role: token.role.to_wire().into(),
            created: token.created,
            expires: token.expires,
            revoked: Some(token.revoked.unwrap_or(now)),
            created_by: token.created_by.clone(),
            ..TokenRow::default()
        }
        .with_scope(&token.scope);
        self.put(token.id, row).await
    }

    /// The tokens that live, or all that are kept, by subject and age.
    #[must_use]
    pub fn list(&self, now: i64, include_dead: bool) -> Vec<Token> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let mut tokens: Vec<Token> = kept
            .values()
            .filter(|kept| include_dead || kept.token.lives(now))
            .map(|kept| shown(kept))
            .collect();
        tokens.sort_by(|one, other| {
            (&one.subject, one.created, one.id).cmp(&(&other.subject, other.created, other.id))
        });
        tokens
    }

    /// Stores which tokens were used since it was last done.
    ///
    /// # Errors
    /// [`AccessError::Store`].
    pub async fn note_uses(&self) -> Result<(), AccessError> {
        let kept: Vec<Arc<Kept>> = {
            let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
            kept.values().cloned().collect()
        };
        for kept in kept {
            let used = kept.used.load(Ordering::Relaxed);
            if used >= kept.noted.load(Ordering::Relaxed).saturating_add(USE_STEP) {
                let row = UseRow { last_use: used };
                let key = format!("{USE}{}", kept.token.id);
                self.documents.put(&key, row.encode_to_vec()).await?;
                kept.noted.store(used, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn get(&self, id: &str) -> Result<Arc<Kept>, AccessError> {
        let found = id.parse().ok().and_then(|id| self.find(id));
        // What is no id may be a whole token, so it is not repeated.
        let name = if id.len() == 16 { id } else { "of that id" };
        found.ok_or_else(|| AccessError::NoSuchToken(name.to_owned()))
    }

    async fn put(&self, id: TokenId, row: TokenRow) -> Result<Token, AccessError> {
        self.documents
            .put(&format!("{TOKEN}{id}"), row.encode_to_vec())
            .await?;
        let used = self.find(id).map_or(0, |kept| kept.used.load(Ordering::Relaxed));
        let kept = kept_of(id, row, (used, used)).ok_or(AccessError::Unreadable("a token"))?;
        let token = shown(&kept);
        let mut all = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(id, Arc::new(kept));
        drop(all);
        self.changed.send_replace(());
        Ok(token)
    }

    async fn forget_dead(&self, now: i64) -> Result<(), AccessError> {
        let is_old = |token: &Token| {
            let end = token
                .revoked
                .map_or(token.expires, |revoked| revoked.min(token.expires));
            end.saturating_add(KEEP_DEAD) < now
        };
        for token in self.list(now, true).into_iter().filter(is_old) {
            self.documents.delete(&format!("{TOKEN}{}", token.id)).await?;
            self.documents.delete(&format!("{USE}{}", token.id)).await?;
            let mut all = self.kept.write().unwrap_or_else(PoisonError::into_inner);
            all.remove(&token.id);
        }
        Ok(())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

fn shown(kept: &Kept) -> Token {
    let used = kept.used.load(Ordering::Relaxed);
    Token {
        last_use: (used > 0).then(|| used - used.rem_euclid(USE_STEP)),
        ..kept.token.clone()
    }
}

fn kept_of(id: TokenId, row: TokenRow, (used, noted): (i64, i64)) -> Option<Kept> {
    let role = AccessRole::try_from(row.role).ok().and_then(Role::from_wire)?;
    let scope = row.scope().ok()?;
    let hash: [u8; 32] = row.hash.try_into().ok()?;
    let token = Token {
        id,
        subject: row.subject,
        role,
        scope,
        created: row.created,
        expires: row.expires,
        last_use: None,
        revoked: row.revoked,
        created_by: row.created_by,
    };
    Some(Kept {
        token,
        hash: Hash::from_bytes(hash),
        used: AtomicI64::new(used),
        noted: AtomicI64::new(noted),
    })
}
