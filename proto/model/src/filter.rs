//! Filters of lists: `field=value` terms joined by ` AND `.

use crate::{Kind, Resource, Target, Violation, ViolationCode};

/// Which resources of a kind a list shows: those whose fields have exactly these values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    terms: Vec<(&'static str, String)>,
}

impl Filter {
    /// The fields that resources of a kind can be filtered by.
    #[must_use]
    pub const fn fields(kind: Kind) -> &'static [&'static str] {
        match kind {
            Kind::Network => &["name", "blockchain", "chain_id"],
            Kind::Secret => &["name", "fingerprint"],
            Kind::Rpc => &["id", "network", "provider", "visibility"],
            Kind::Plugin => &["route_id", "name", "type"],
            Kind::Upstream => &["id", "route_id", "rpc_id"],
            Kind::Route => &["id", "host", "path", "load_balancer"],
            Kind::Recommendation => &["route_id", "network", "strategy"],
        }
    }

    /// Reads a filter for a kind; an empty text filters nothing out. Values may stand in double quotes.
    ///
    /// # Errors
    /// A [`Violation`] of the field `filter` that names the term.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, Violation> {
        let invalid = |message: String| Violation::new("filter", ViolationCode::Invalid, message);
        let mut terms = Vec::new();
        for term in text.split(" AND ").map(str::trim).filter(|term| !term.is_empty()) {
            let (field, value) = term
                .split_once('=')
                .ok_or_else(|| invalid(format!("term {term:?} must be field=value")))?;
            let (field, value) = (field.trim(), value.trim());
            let field = Self::fields(kind)
                .iter()
                .find(|known| **known == field)
                .ok_or_else(|| {
                    invalid(format!(
                        "field {field:?} must be one of [{}]",
                        Self::fields(kind).join(" ")
                    ))
                })?;
            let value = value
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'))
                .unwrap_or(value);
            terms.push((*field, value.to_owned()));
        }
        Ok(Self { terms })
    }

    /// Whether a resource passes.
    #[must_use]
    pub fn matches(&self, resource: &Resource) -> bool {
        self.terms
            .iter()
            .all(|(field, value)| value_of(resource, field).as_ref() == Some(value))
    }
}

fn value_of(resource: &Resource, field: &str) -> Option<String> {
    match (resource, field) {
        (Resource::Network(network), "name") => Some(network.name.to_string()),
        (Resource::Network(network), "blockchain") => Some(network.blockchain.to_string()),
        (Resource::Network(network), "chain_id") => Some(network.chain_id.get().to_string()),
        (Resource::Secret(secret), "name") => Some(secret.name.to_string()),
        (Resource::Secret(secret), "fingerprint") => Some(secret.fingerprint.clone()),
        (Resource::Rpc(rpc), "id") => Some(rpc.id.to_string()),
        (Resource::Rpc(rpc), "network") => Some(rpc.network.to_string()),
        (Resource::Rpc(rpc), "provider") => Some(rpc.provider.to_string()),
        (Resource::Rpc(rpc), "visibility") => Some(rpc.visibility.to_string()),
        (Resource::Plugin(plugin), "route_id") => Some(plugin.route_id.to_string()),
        (Resource::Plugin(plugin), "name") => Some(plugin.name.to_string()),
        (Resource::Plugin(plugin), "type") => Some(plugin.plugin_type.to_string()),
        (Resource::Upstream(upstream), "id") => Some(upstream.id.to_string()),
        (Resource::Upstream(upstream), "route_id") => Some(upstream.route_id.to_string()),
        (Resource::Upstream(upstream), "rpc_id") => match &upstream.target {
            Target::Rpc(rpc) => Some(rpc.to_string()),
            Target::Address(_) => None,
        },
        (Resource::Route(route), "id") => Some(route.id.to_string()),
        (Resource::Route(route), "host") => Some(route.host.clone()),
        (Resource::Route(route), "path") => Some(route.path.clone()),
        (Resource::Route(route), "load_balancer") => Some(route.load_balancer.to_string()),
        (Resource::Recommendation(recommendation), "route_id") => Some(recommendation.route_id.to_string()),
        (Resource::Recommendation(recommendation), "network") => Some(recommendation.network.to_string()),
        (Resource::Recommendation(recommendation), "strategy") => Some(recommendation.strategy.to_string()),
        _ => None,
    }
}
