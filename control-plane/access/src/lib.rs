//! Who may call what: tokens, roles, certificates of nodes, limits, and the audit log.
//!
//! A connection comes in through [`Port`], which speaks TLS, bounds what strangers can hold open and tells who the other
//! end is ([`Peer`]). Each call is looked up in one table ([`permission_of`]) that says what it needs, and
//! [`Gate::admit`] decides from the peer, the header `authorization` and the table who the [`Caller`] is, or why the call
//! is refused. While the call runs, [`caller`] names the caller and [`note`] collects what the audit log will say of it.
//! [`Audit`] keeps the log: a chain of records, each with a keyed hash over the one before, so that a change, a gap and a
//! cut show.

mod audit;
mod caller;
mod chain;
mod gate;
mod guard;
mod limiter;
mod lines;
mod nodes;
#[cfg(feature = "oidc")]
mod oidc;
mod peer;
mod pepper;
mod permission;
mod port;
mod refusal;
mod role;
mod rows;
mod scope;
mod table;
mod token;
mod tokens;

pub use audit::{Audit, Outcome};
pub use caller::{Caller, Note, Who, caller, note, within};
pub use chain::Verdict;
pub use gate::{Gate, GateRules};
pub use guard::{Call, Guard};
pub use limiter::Rate;
pub use lines::{AuditFiles, verify_lines};
pub use nodes::{RevokedNode, RevokedNodes};
#[cfg(feature = "oidc")]
pub use oidc::{KeySource, Oidc, OidcError, OidcRules, OidcUser};
pub use peer::Peer;
pub use pepper::{Pepper, write_private};
pub use permission::{Effect, NodeKind, Permission, Rule};
pub use port::{Connection, Port, PortLimits, PortTls, PortTlsError, Spoken};
pub use refusal::{Refusal, Refused};
pub use role::Role;
pub use scope::Scope;
pub use table::{GRPC, REST, permission_of};
pub use token::{TokenId, TokenText};
pub use tokens::{NewToken, OtherPepper, Token, Tokens};

use std::time::{SystemTime, UNIX_EPOCH};

use tyrscale_store::StoreError;

/// Why something about access was not done.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A field breaks a rule.
    #[error("{field} {rule}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// There is no such token.
    #[error("there is no token {0}")]
    NoSuchToken(String),
    /// The subject has two tokens that live.
    #[error("{0} has two tokens already: revoke one first")]
    TooMany(String),
    /// The token does not live any more.
    #[error("the token is revoked or has expired")]
    Dead,
    /// There are as many tokens as are kept.
    #[error("there are as many tokens as are kept: revoke some, they go when they have expired")]
    Full,
    /// The pepper is not the one that so many living tokens were made with.
    #[error(
        "{0} living tokens were made with another pepper, and nobody could use them: start with the file they were made with \
         (--pepper-file); if it is lost, start once with --renew-pepper, which revokes them and writes a new administrator's \
         token"
    )]
    OtherPepper(usize),
    /// What the store holds is no record of this version.
    #[error("the store holds something else than a record of {0}")]
    Unreadable(&'static str),
    /// The store takes no writes.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The wall clock, in seconds of Unix time.
#[must_use]
pub fn unix_now() -> i64 {
    unix_now_ms().div_euclid(1000)
}

fn unix_now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
