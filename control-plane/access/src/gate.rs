//! Who calls, and whether that is allowed.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;
use tyrscale_tls::PeerCertificate;

use crate::limiter::Limiter;
use crate::{
    Caller, Peer, Permission, Rate, Refusal, Refused, RevokedNodes, Rule, TokenText, Tokens, Who, unix_now,
};

/// Refused attempts of one address that are looked at one by one.
const FAILURES: Rate = Rate {
    burst: 20,
    every: Duration::from_secs(3),
};

/// The credential of users whose tokens are a provider's.
const FOREIGN: &str = "oidc";
/// Seconds after which a credential is looked at again while a stream lasts.
const LOOK_AGAIN: u64 = 60;

/// What callers must show.
#[derive(Debug, Clone, Copy, Default)]
pub struct GateRules {
    /// Users need a token.
    pub tokens: bool,
    /// Nodes need a certificate.
    pub certificates: bool,
    /// How often a token, or an address without one, may call.
    pub rate: Option<Rate>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Source {
    Credential(String),
    Address(IpAddr),
}

/// Decides who may call.
#[derive(Debug)]
pub struct Gate {
    rules: GateRules,
    tokens: Tokens,
    nodes: RevokedNodes,
    failures: Limiter<IpAddr>,
    calls: Option<Limiter<Source>>,
    #[cfg(feature = "oidc")]
    oidc: Option<crate::Oidc>,
}

impl Gate {
    /// A gate over what is known.
    #[must_use]
    pub fn new(rules: GateRules, tokens: Tokens, nodes: RevokedNodes) -> Self {
        Self {
            rules,
            tokens,
            nodes,
            failures: Limiter::new(FAILURES),
            calls: rules.rate.map(Limiter::new),
            #[cfg(feature = "oidc")]
            oidc: None,
        }
    }

    /// The same, which believes tokens of a provider as well.
    #[cfg(feature = "oidc")]
    #[must_use]
    pub fn with_oidc(self, oidc: crate::Oidc) -> Self {
        Self {
            oidc: Some(oidc),
            ..self
        }
    }

    /// What callers must show.
    #[must_use]
    pub const fn rules(&self) -> GateRules {
        self.rules
    }

    /// The nodes whose certificates are refused.
    #[must_use]
    pub const fn nodes(&self) -> &RevokedNodes {
        &self.nodes
    }

    /// Who makes a call that needs `rule`. `authorization` is the value of the header. `time` is in seconds of Unix time.
    ///
    /// # Errors
    /// Why it is [`Refused`].
    pub fn admit(
        &self,
        rule: Option<&Rule>,
        peer: &Peer,
        authorization: Option<&[u8]>,
        (time, now): (i64, Instant),
    ) -> Result<Caller, Box<Refused>> {
        let decided = self.decide(rule, peer, authorization, time);
        match decided {
            Ok(caller) => match self.is_within_rate(&caller, peer, now) {
                true => Ok(caller),
                false => Err(Refused::new(caller, Refusal::TooMany)),
            },
            Err(refused) if !self.failures.take(&peer.network(), now) => {
                Err(Refused::new(refused.caller, Refusal::TooManyFailures))
            }
            refused => refused,
        }
    }

    fn is_within_rate(&self, caller: &Caller, peer: &Peer, now: Instant) -> bool {
        let source = match &caller.who {
            // Certified nodes are bounded by what they may call.
            Who::Node(_) => return true,
            Who::User { subject, .. } if caller.credential == FOREIGN => Source::Credential(subject.clone()),
            Who::User { .. } => Source::Credential(caller.credential.clone()),
            Who::Anonymous => Source::Address(peer.network()),
        };
        self.calls.as_ref().is_none_or(|calls| calls.take(&source, now))
    }

    fn decide(
        &self,
        rule: Option<&Rule>,
        peer: &Peer,
        authorization: Option<&[u8]>,
        time: i64,
    ) -> Result<Caller, Box<Refused>> {
        let unknown = anonymous(peer);
        let Some(rule) = rule else {
            let is_open = !self.rules.tokens && !self.rules.certificates;
            return if is_open {
                Ok(unknown)
            } else {
                Err(Refused::new(unknown, Refusal::Unknown))
            };
        };
        if rule.permission == Permission::Anybody {
            return Ok(unknown);
        }
        let caller = match self.identify(rule, peer, authorization, time) {
            Ok(caller) => caller,
            Err(refusal) => return Err(Refused::new(named(unknown, peer), refusal)),
        };
        if !rule.permission.admits(&caller) {
            let refusal = denied(&caller, rule.permission);
            return Err(Refused::new(caller, refusal));
        }
        if !caller.scope().is_everywhere() && !rule.effect.knows_scopes() {
            return Err(Refused::new(caller, Refusal::Scoped));
        }
        Ok(caller)
    }

    fn identify(
        &self,
        rule: &Rule,
        peer: &Peer,
        authorization: Option<&[u8]>,
        time: i64,
    ) -> Result<Caller, Refusal> {
        if self.rules.tokens
            && let Some(value) = authorization
        {
            return self.user(value, peer, time);
        }
        if let Some(certificate) = &peer.certificate
            && certificate.identity.is_some()
        {
            return self.node(certificate, peer, time);
        }
        let is_for_nodes = matches!(rule.permission, Permission::Nodes(_));
        match is_for_nodes {
            true if self.rules.certificates => Err(Refusal::NoCertificate),
            false if self.rules.tokens => Err(Refusal::NoToken),
            _ => Ok(anonymous(peer)),
        }
    }

    fn user(&self, authorization: &[u8], peer: &Peer, time: i64) -> Result<Caller, Refusal> {
        let text = std::str::from_utf8(authorization).map_err(|_| Refusal::BadToken)?;
        let (scheme, text) = text.split_once(' ').ok_or(Refusal::BadToken)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::BadToken);
        }
        let text = text.trim();
        #[cfg(feature = "oidc")]
        if let Some(oidc) = self.oidc.as_ref().filter(|_| text.contains('.')) {
            let user = oidc.verify(text, time).ok_or(Refusal::BadToken)?;
            return Ok(Caller {
                who: Who::User {
                    subject: user.subject,
                    role: user.role,
                    scope: crate::Scope::default(),
                },
                credential: FOREIGN.to_owned(),
                peer: peer.address.to_string(),
                expires: Some(user.expires),
            });
        }
        let text: TokenText = text.parse().map_err(|_| Refusal::BadToken)?;
        let token = self.tokens.verify(&text, time).ok_or(Refusal::BadToken)?;
        Ok(Caller {
            who: Who::User {
                subject: token.subject,
                role: token.role,
                scope: token.scope,
            },
            credential: token.id.to_string(),
            peer: peer.address.to_string(),
            expires: Some(token.expires),
        })
    }

    fn node(&self, certificate: &PeerCertificate, peer: &Peer, time: i64) -> Result<Caller, Refusal> {
        self.still_good(certificate, time)?;
        let identity = certificate.identity.clone().ok_or(Refusal::NoCertificate)?;
        Ok(Caller {
            who: Who::Node(identity),
            credential: certificate.serial.clone(),
            peer: peer.address.to_string(),
            expires: Some(certificate.not_after),
        })
    }

    /// Waits until the credential of a caller that was admitted is not good any more, and says why.
    pub async fn unfit(&self, caller: &Caller, peer: &Peer) -> Refusal {
        let (mut nodes, mut tokens) = (self.nodes.subscribe(), self.tokens.subscribe());
        loop {
            let time = unix_now();
            if let Err(refusal) = self.recheck(caller, peer, time) {
                return refusal;
            }
            let left = caller.expires.map(|expires| expires.saturating_sub(time));
            let left = left.and_then(|left| u64::try_from(left).ok()).unwrap_or(u64::MAX);
            // The wall clock may be set, so it is looked at now and then.
            let look_again = Duration::from_secs(left.min(LOOK_AGAIN));
            tokio::select! {
                () = tokio::time::sleep(look_again) => {}
                Ok(()) = nodes.changed() => {}
                Ok(()) = tokens.changed() => {}
            }
        }
    }

    fn recheck(&self, caller: &Caller, peer: &Peer, time: i64) -> Result<(), Refusal> {
        match (&caller.who, &peer.certificate) {
            (Who::Node(_), Some(certificate)) => self.still_good(certificate, time),
            (Who::User { .. }, _) if caller.credential == FOREIGN => match caller.expires {
                Some(expires) if expires <= time => Err(Refusal::BadToken),
                _ => Ok(()),
            },
            (Who::User { .. }, _) if !self.tokens.still_lives(&caller.credential, time) => {
                Err(Refusal::BadToken)
            }
            _ => Ok(()),
        }
    }

    /// Whether a certificate that was good when the connection was made still is.
    ///
    /// # Errors
    /// [`Refusal::Expired`] or [`Refusal::Revoked`].
    pub fn still_good(&self, certificate: &PeerCertificate, time: i64) -> Result<(), Refusal> {
        if !(certificate.not_before..certificate.not_after).contains(&time) {
            return Err(Refusal::Expired);
        }
        if self.nodes.refuses(certificate) {
            return Err(Refusal::Revoked);
        }
        Ok(())
    }
}

fn anonymous(peer: &Peer) -> Caller {
    Caller {
        who: Who::Anonymous,
        credential: String::new(),
        peer: peer.address.to_string(),
        expires: None,
    }
}

/// Whom a certificate that is refused names, for the audit log.
fn named(caller: Caller, peer: &Peer) -> Caller {
    let certificate = peer.certificate.as_ref();
    match certificate.and_then(|certificate| certificate.identity.clone().zip(Some(&certificate.serial))) {
        Some((identity, serial)) => Caller {
            who: Who::Node(identity),
            credential: serial.clone(),
            ..caller
        },
        None => caller,
    }
}

fn denied(caller: &Caller, permission: Permission) -> Refusal {
    let is = match &caller.who {
        Who::Anonymous => "nobody in particular".to_owned(),
        Who::User { role, .. } => format!("of the role {role}"),
        Who::Node(identity) => format!("a node of the role {}", identity.role),
    };
    let nodes = |nodes: &[crate::NodeKind]| {
        let names: Vec<_> = nodes.iter().map(|node| node.as_str()).collect();
        format!("nodes of the role {}", names.join(", "))
    };
    let needs = match permission {
        Permission::Anybody | Permission::Known => "anybody".to_owned(),
        Permission::Role(role) => format!("the role {role} and those above"),
        Permission::Nodes(of) => nodes(of),
        Permission::RoleOrNodes(role, of) => format!("the role {role} and those above, and {}", nodes(of)),
    };
    Refusal::Denied {
        subject: caller.subject().to_owned(),
        is,
        needs,
    }
}
