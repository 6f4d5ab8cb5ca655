//! Tokens of an OpenID Connect provider: JWTs, verified with the keys it publishes. Source: RFC 7519, RFC 7517, OpenID
//! Connect Core 1.0 section 3.1.3.7.

mod keys;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

pub use keys::{KeySource, OidcError};

use crate::Role;

/// What is accepted: signatures whose makers hold a private key. One that knows a verifier's secret could sign as well.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// Seconds by which clocks may differ.
const LEEWAY: u64 = 30;
const MAX_SUBJECT: usize = 128;

/// Which tokens are believed, and what they stand for.
#[derive(Debug, Clone)]
pub struct OidcRules {
    /// Who issues them: the claim `iss`.
    pub issuer: String,
    /// For whom they are issued: one of the claim `aud`.
    pub audience: String,
    /// Where the keys are published.
    pub keys: KeySource,
    /// The claim that holds what its subject may do: a text or a list of texts; parts of a path are joined by dots.
    pub role_claim: String,
    /// What values of that claim stand for.
    pub roles: BTreeMap<String, Role>,
}

/// Whom a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcUser {
    /// The claim `sub`.
    pub subject: String,
    /// The highest of its roles.
    pub role: Role,
    /// When it ends, in seconds of Unix time.
    pub expires: i64,
}

/// Verifies tokens of one provider; clones share its keys.
#[derive(Clone)]
pub struct Oidc {
    rules: Arc<OidcRules>,
    keys: Arc<RwLock<JwkSet>>,
    /// Told of a key that is not known.
    missing: Arc<Notify>,
    _refresh: Arc<AbortOnDropHandle<()>>,
}

impl Oidc {
    /// Reads the provider's keys, and goes on reading them now and then.
    ///
    /// # Errors
    /// [`OidcError`] when they cannot be had.
    pub async fn open(rules: OidcRules) -> Result<Self, OidcError> {
        let keys = Arc::new(RwLock::new(rules.keys.read().await?));
        let missing = Arc::new(Notify::new());
        let refresh = keys::refresh(rules.keys.clone(), Arc::clone(&keys), Arc::clone(&missing));
        Ok(Self {
            rules: Arc::new(rules),
            keys,
            missing,
            _refresh: Arc::new(AbortOnDropHandle::new(tokio::spawn(refresh))),
        })
    }

    /// Whom the token is for, if it is one of the provider's, for us, and good at `now`.
    #[must_use]
    pub fn verify(&self, text: &str, now: i64) -> Option<OidcUser> {
        let header = jsonwebtoken::decode_header(text).ok()?;
        if !ALGORITHMS.contains(&header.alg) {
            return None;
        }
        let key = self.key(header.kid.as_deref())?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.rules.issuer]);
        validation.set_audience(&[&self.rules.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        let claims = jsonwebtoken::decode::<Map<String, Value>>(text, &key, &validation).ok()?;
        self.user(&claims.claims, now)
    }

    fn key(&self, id: Option<&str>) -> Option<DecodingKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let found = match (id, keys.keys.as_slice()) {
            (Some(id), _) => keys.find(id),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        if found.is_none() {
            self.missing.notify_one();
        }
        DecodingKey::from_jwk(found?).ok()
    }

    fn user(&self, claims: &Map<String, Value>, now: i64) -> Option<OidcUser> {
        let subject = claims.get("sub")?.as_str()?;
        let is_subject =
            (1..=MAX_SUBJECT).contains(&subject.len()) && subject.bytes().all(|byte| byte.is_ascii_graphic());
        let expires = claims.get("exp")?.as_i64()?;
        let leeway = i64::try_from(LEEWAY).unwrap_or_default();
        if !is_subject || expires.saturating_add(leeway) <= now {
            return None;
        }
        let mut path = self.rules.role_claim.split('.');
        let first = claims.get(path.next()?)?;
        let value = path.try_fold(first, |value, part| value.get(part))?;
        let names: Vec<&str> = match value {
            Value::String(name) => name.split(' ').collect(),
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => return None,
        };
        let role = names
            .iter()
            .filter_map(|name| self.rules.roles.get(*name))
            .max()?;
        Some(OidcUser {
            subject: subject.to_owned(),
            role: *role,
            expires,
        })
    }
}

impl fmt::Debug for Oidc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oidc")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
