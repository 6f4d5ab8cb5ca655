//! A resource of any kind, and what all kinds have in common.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::{
    Kind, Network, PluginAttachment, ProxyAddress, Recommendation, ResourceKey, Route, Rpc, Secret, Target,
    Upstream, Violation, ViolationCode, wire,
};

/// One resource of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    /// A chain.
    Network(Network),
    /// A value that must not be seen.
    Secret(Secret),
    /// An endpoint of a network.
    Rpc(Rpc),
    /// A plugin attached to a route.
    Plugin(PluginAttachment),
    /// A place a route sends requests to.
    Upstream(Upstream),
    /// Where clients connect.
    Route(Route),
    /// Whose weights are computed.
    Recommendation(Recommendation),
}

/// A field whose value only one resource may have, in its normal form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct UniqueKey {
    pub(crate) kind: Kind,
    pub(crate) field: &'static str,
    pub(crate) value: String,
}

impl Resource {
    /// The largest resource, in bytes of its payload.
    pub const MAX_PAYLOAD: usize = 256 * 1024;

    /// Its key.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        match self {
            Self::Network(network) => network.key(),
            Self::Secret(secret) => secret.key(),
            Self::Rpc(rpc) => rpc.key(),
            Self::Plugin(plugin) => plugin.key(),
            Self::Upstream(upstream) => upstream.key(),
            Self::Route(route) => route.key(),
            Self::Recommendation(recommendation) => recommendation.key(),
        }
    }

    /// The encoded wire message without meta, secrets included: what is stored, sent and hashed.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        wire::encode_payload(self)
    }

    /// The secrets it refers to, each once.
    #[must_use]
    pub fn secrets(&self) -> BTreeSet<ResourceKey> {
        let named = self.references().into_iter().map(|(_, key)| key);
        named.filter(|key| key.kind == Kind::Secret).collect()
    }

    /// What it names, by field.
    pub(crate) fn references(&self) -> Vec<(&'static str, ResourceKey)> {
        match self {
            Self::Network(_) | Self::Secret(_) | Self::Route(_) => Vec::new(),
            Self::Rpc(rpc) => {
                let mut named = vec![("network", Network::key_of(&rpc.network))];
                named.extend(Secret::keys_of("url", rpc.url.secrets()));
                named.extend(Secret::keys_of("headers", rpc.headers.secrets()));
                let proxy = rpc.egress_proxy.iter().flat_map(ProxyAddress::secrets);
                named.extend(Secret::keys_of("egress_proxy", proxy));
                named
            }
            Self::Plugin(plugin) => vec![("route_id", plugin.route_id.key())],
            Self::Upstream(upstream) => {
                let mut named = vec![("route_id", upstream.route_id.key())];
                match &upstream.target {
                    Target::Rpc(rpc) => named.push(("rpc_id", rpc.key())),
                    Target::Address(address) => named.extend(Secret::keys_of("path", address.secrets())),
                }
                named.extend(Secret::keys_of("headers", upstream.headers.secrets()));
                let proxy = upstream.proxy.iter().flat_map(ProxyAddress::secrets);
                named.extend(Secret::keys_of("proxy_host", proxy));
                named
            }
            Self::Recommendation(recommendation) => vec![
                ("route_id", recommendation.route_id.key()),
                ("network", Network::key_of(&recommendation.network)),
            ],
        }
    }

    /// The field that no other resource of the kind may share, besides the id.
    pub(crate) fn unique_key(&self) -> Option<UniqueKey> {
        let (field, value) = match self {
            Self::Rpc(rpc) => ("url", rpc.url.normalized()),
            Self::Route(route) => ("host", route.route_key().to_string()),
            Self::Recommendation(recommendation) => ("network", recommendation.network.to_string()),
            Self::Network(_) | Self::Secret(_) | Self::Plugin(_) | Self::Upstream(_) => return None,
        };
        Some(UniqueKey {
            kind: self.key().kind,
            field,
            value,
        })
    }

    /// The rules of its fields that the types do not hold already, and that of the size of its payload.
    pub(crate) fn violations(&self, payload: &[u8]) -> Vec<Violation> {
        let mut found = match self {
            Self::Route(route) => route.violations(),
            Self::Plugin(plugin) => plugin.violations(),
            Self::Rpc(rpc) => rpc.violations(),
            Self::Upstream(upstream) => upstream.violations(),
            Self::Recommendation(recommendation) => recommendation.violations(),
            Self::Secret(secret) => secret.violations(),
            Self::Network(network) => network.violations(),
        };
        if payload.len() > Self::MAX_PAYLOAD {
            found.push(Violation::new(
                "",
                ViolationCode::OutOfRange,
                "must have at most 262144 bytes",
            ));
        }
        found
    }

    /// The rules on how it may differ from what it replaces.
    pub(crate) fn change_violations(&self, before: &Self) -> Vec<Violation> {
        let field = match (self, before) {
            (Self::Rpc(after), Self::Rpc(before)) if after.network != before.network => "network",
            (Self::Upstream(after), Self::Upstream(before)) if after.route_id != before.route_id => {
                "route_id"
            }
            _ => return Vec::new(),
        };
        vec![Violation::new(field, ViolationCode::Immutable, "cannot change")]
    }

    /// Puts the stored secrets back where this resource shows them masked: what is read can be written back.
    ///
    /// # Errors
    /// A masked text that is not the masked form of what is stored.
    pub(crate) fn unmasked(mut self, before: Option<&Self>) -> Result<Self, Violation> {
        let stale = |field: &str| {
            Violation::new(
                field,
                ViolationCode::Invalid,
                "a masked value stands only for the one that is stored here",
            )
        };
        match &mut self {
            Self::Rpc(rpc) => {
                let stored = match before {
                    Some(Self::Rpc(stored)) => Some(stored),
                    _ => None,
                };
                if rpc.url.is_masked() {
                    match stored {
                        Some(stored) if stored.url.masked() == rpc.url.expose() => {
                            rpc.url = stored.url.clone();
                        }
                        _ => return Err(stale("url")),
                    }
                }
                if !rpc.headers.unmask(stored.map(|stored| &stored.headers)) {
                    return Err(stale("headers"));
                }
                let known = stored.and_then(|stored| stored.egress_proxy.as_ref());
                if !unmask_proxy(&mut rpc.egress_proxy, known) {
                    return Err(stale("egress_proxy"));
                }
            }
            Self::Upstream(upstream) => {
                let stored = match before {
                    Some(Self::Upstream(stored)) => Some(stored),
                    _ => None,
                };
                if let Target::Address(address) = &mut upstream.target
                    && address.is_masked()
                {
                    match stored.map(|stored| &stored.target) {
                        Some(Target::Address(known)) if known.masks_to(address) => *address = known.clone(),
                        _ => return Err(stale("path")),
                    }
                }
                let known = stored.and_then(|stored| stored.proxy.as_ref());
                if !unmask_proxy(&mut upstream.proxy, known) {
                    return Err(stale("proxy_host"));
                }
                if !upstream.headers.unmask(stored.map(|stored| &stored.headers)) {
                    return Err(stale("headers"));
                }
            }
            _ => {}
        }
        Ok(self)
    }
}

/// Puts the stored proxy back where it is shown masked; `false` when it is not the one that is stored.
fn unmask_proxy(proxy: &mut Option<ProxyAddress>, stored: Option<&ProxyAddress>) -> bool {
    let Some(masked) = proxy.as_ref().filter(|proxy| proxy.is_masked()) else {
        return true;
    };
    match stored {
        Some(known) if known.masked() == masked.expose() => {
            *proxy = Some(known.clone());
            true
        }
        _ => false,
    }
}
