//! Which values of secrets a subscriber is sent: those that something refers to which it is there for.

use tyrscale_model::{Kind, Resource, ResourceKey, Snapshot, View};
use tyrscale_proto::v1::NodeRole;

use crate::secrets::{SecretsError, Vault};

/// The referrers for whose sake values are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Needs {
    rpcs: bool,
    upstreams: bool,
}

impl Needs {
    /// Those of a node: gateways send to upstreams and rpcs, exporters to rpcs, others to none.
    pub(crate) const fn of(role: NodeRole, view: View) -> Self {
        let (rpcs, upstreams) = match role {
            NodeRole::Gateway => (true, true),
            NodeRole::Exporter => (true, false),
            NodeRole::Recommender | NodeRole::Unspecified => (false, false),
        };
        let sees_secrets = view.contains(Kind::Secret);
        Self {
            rpcs: rpcs && sees_secrets && view.contains(Kind::Rpc),
            upstreams: upstreams && sees_secrets && view.contains(Kind::Upstream),
        }
    }

    /// Tells them apart.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.rpcs) | u64::from(self.upstreams) << 1
    }

    fn are_of(self, kind: Kind) -> bool {
        match kind {
            Kind::Rpc => self.rpcs,
            Kind::Upstream => self.upstreams,
            _ => false,
        }
    }

    /// The secrets that a resource refers to and whose values go with it.
    pub(crate) fn beside(self, resource: &Resource) -> impl Iterator<Item = ResourceKey> {
        let is_one = self.are_of(resource.key().kind);
        is_one.then(|| resource.secrets()).into_iter().flatten()
    }

    /// The value of a secret, when it is needed and set.
    ///
    /// # Errors
    /// When it does not open.
    pub(crate) fn value_of(
        self,
        snapshot: &Snapshot,
        resource: &Resource,
        vault: &Vault,
    ) -> Result<Option<String>, SecretsError> {
        let Resource::Secret(secret) = resource else {
            return Ok(None);
        };
        let mut referrers = snapshot.referrers_of(&secret.key());
        if !referrers.any(|referrer| self.are_of(referrer.kind)) {
            return Ok(None);
        }
        let value = vault.value_of(secret)?;
        Ok(value.map(|value| value.expose().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_to_who_sends_requests_and_asked_for_secrets() {
        let numbers = |role, view| Needs::of(role, view).number();
        let measured = View::of(&[Kind::Secret, Kind::Rpc]);
        assert_eq!(numbers(NodeRole::Gateway, View::ALL), 3);
        assert_eq!(numbers(NodeRole::Gateway, measured), 1);
        assert_eq!(numbers(NodeRole::Exporter, View::ALL), 1);
        assert_eq!(numbers(NodeRole::Recommender, View::ALL), 0);
        assert_eq!(numbers(NodeRole::Unspecified, View::ALL), 0);
        assert_eq!(
            numbers(NodeRole::Gateway, View::of(&[Kind::Rpc, Kind::Upstream])),
            0
        );
    }
}
