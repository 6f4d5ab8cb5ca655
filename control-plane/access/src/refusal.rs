//! Why a call is refused.

use crate::Caller;

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was shown.
    #[error("this needs a token: send the header `authorization: Bearer tyr_...`")]
    NoToken,
    /// What was shown is no token that lives.
    #[error("the token is unknown, revoked or has expired")]
    BadToken,
    /// A node's certificate is needed.
    #[error(
        "this needs a node's certificate, with a name of the form spiffe://<domain>/tyrscale/<role>/<group>/<node>"
    )]
    NoCertificate,
    /// The certificate has ended, or has not begun.
    #[error("the certificate has expired")]
    Expired,
    /// The node was revoked.
    #[error("the node's certificate is revoked")]
    Revoked,
    /// The caller may not do that.
    #[error("{subject} is {is}; this is for {needs}")]
    Denied {
        /// Who asks.
        subject: String,
        /// What the caller may do.
        is: String,
        /// Who may.
        needs: String,
    },
    /// The node says that it is another than its certificate names.
    #[error("the node says that it is {claimed}, its certificate is for {certified}")]
    Impostor {
        /// What it says: role, group and id.
        claimed: String,
        /// What its certificate says.
        certified: String,
    },
    /// The call does not know scopes.
    #[error("the token is for some networks only, and this cannot be bounded to them")]
    Scoped,
    /// The method is not known.
    #[error("there is no rule about who may do this")]
    Unknown,
    /// Calls come too often.
    #[error("too many calls: wait a moment")]
    TooMany,
    /// Refused attempts come too often; they are neither looked at nor written down for a while.
    #[error("too many refused attempts: wait a minute")]
    TooManyFailures,
}

impl Refusal {
    /// Whether it is about who asks, and not about what that may do.
    #[must_use]
    pub const fn is_unauthenticated(&self) -> bool {
        matches!(
            self,
            Self::NoToken | Self::BadToken | Self::NoCertificate | Self::Expired | Self::Revoked
        )
    }

    /// Whether it is about how often.
    #[must_use]
    pub const fn is_limit(&self) -> bool {
        matches!(self, Self::TooMany | Self::TooManyFailures)
    }
}

/// A call that is refused.
#[derive(Debug)]
pub struct Refused {
    /// Who asks, as far as that is known.
    pub caller: Caller,
    /// Why.
    pub refusal: Refusal,
}

impl Refused {
    pub(crate) fn new(caller: Caller, refusal: Refusal) -> Box<Self> {
        Box::new(Self { caller, refusal })
    }
}
