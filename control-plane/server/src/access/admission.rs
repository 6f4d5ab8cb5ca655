//! Whether a node is the one that its certificate names.

use tonic::Status;
use tyrscale_access::{Caller, Guard, Refusal, Who, caller};
use tyrscale_proto::v1;
use tyrscale_tls::Identity;

/// Who a node says that it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    node: &'a str,
    /// Group and role, where the message tells them; the rules of access hold roles to methods besides.
    place: Option<(&'a str, &'static str)>,
}

impl<'a> Claim<'a> {
    /// Of a message that tells no more than an id.
    pub(crate) const fn of_id(node: &'a str) -> Self {
        Self { node, place: None }
    }

    /// Of a candidate, which is a node or one of its processes: `node` or `node/process`.
    pub(crate) fn of_candidate(candidate: &'a str) -> Self {
        Self::of_id(candidate.split_once('/').map_or(candidate, |(node, _)| node))
    }

    fn is_of(&self, identity: &Identity) -> bool {
        let in_place = |(group, role)| identity.group == group && identity.role == role;
        identity.node == self.node && self.place.is_none_or(in_place)
    }
}

impl<'a> From<&'a v1::Node> for Claim<'a> {
    fn from(node: &'a v1::Node) -> Self {
        let role = match node.role() {
            v1::NodeRole::Gateway => "gateway",
            v1::NodeRole::Exporter => "exporter",
            v1::NodeRole::Recommender => "recommender",
            v1::NodeRole::Unspecified => "unspecified",
        };
        // A node that is not one of any is certified as one of the default.
        let group = match node.group.as_str() {
            "" => "default",
            group => group,
        };
        Self {
            node: &node.id,
            place: Some((group, role)),
        }
    }
}

impl std::fmt::Display for Claim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some((group, role)) = self.place {
            write!(f, "{role}/{group}/")?;
        }
        f.write_str(self.node)
    }
}

/// Who makes a call, to be held to what it says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    guard: Guard,
    caller: Option<Caller>,
    method: &'static str,
}

impl Admission {
    /// Of the call that runs in this task.
    pub(crate) fn of_call(guard: &Guard, method: &'static str) -> Self {
        Self {
            guard: guard.clone(),
            caller: caller(),
            method,
        }
    }

    /// Lets a node in whose certificate names it; one that is not is written down. Without a certificate there is
    /// nothing to hold it to.
    pub(crate) async fn admit(&self, claim: Claim<'_>) -> Result<(), Status> {
        let Some((caller, Who::Node(identity))) = self.caller.as_ref().map(|caller| (caller, &caller.who))
        else {
            return Ok(());
        };
        if claim.is_of(identity) {
            return Ok(());
        }
        let refusal = Refusal::Impostor {
            claimed: claim.to_string(),
            certified: identity.to_string(),
        };
        self.guard
            .refused(caller, self.method, &refusal, String::new())
            .await;
        Err(Status::permission_denied(refusal.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        "spiffe://example.org/tyrscale/gateway/default/gw-1"
            .parse()
            .unwrap()
    }

    #[test]
    fn id_group_and_role_must_be_the_certificates() {
        let node = v1::Node {
            id: "gw-1".to_owned(),
            role: v1::NodeRole::Gateway.into(),
            ..v1::Node::default()
        };
        assert!(Claim::from(&node).is_of(&identity()));
        for other in [
            v1::Node {
                id: "gw-2".to_owned(),
                ..node.clone()
            },
            v1::Node {
                group: "edge".to_owned(),
                ..node.clone()
            },
            v1::Node {
                role: v1::NodeRole::Recommender.into(),
                ..node.clone()
            },
        ] {
            assert!(!Claim::from(&other).is_of(&identity()), "{other:?}");
        }
    }

    #[test]
    fn a_candidate_is_a_process_of_its_node() {
        for (candidate, is_own) in [
            ("gw-1", true),
            ("gw-1/a/b", true),
            ("gw-10/a", false),
            ("a/gw-1", false),
        ] {
            assert_eq!(
                Claim::of_candidate(candidate).is_of(&identity()),
                is_own,
                "{candidate}"
            );
        }
    }
}
