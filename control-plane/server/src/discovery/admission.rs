//! Whether a node is the one that its certificate names.

use tonic::Status;
use tyrscale_access::{Caller, Guard, Refusal, Who};
use tyrscale_proto::v1;
use tyrscale_tls::Identity;

/// What is asked for, in the audit log.
const METHOD: &str = "/tyrscale.v1.DiscoveryService/StreamConfig";

/// Lets a node in whose certificate names it; one that is not is written down.
pub(super) async fn admit(guard: &Guard, caller: &Caller, node: &v1::Node) -> Result<(), Status> {
    let Who::Node(identity) = &caller.who else {
        return Ok(());
    };
    if names(identity, node) {
        return Ok(());
    }
    let refusal = Refusal::Impostor {
        claimed: format!("{}/{}/{}", role_of(node), node.group, node.id),
        certified: identity.to_string(),
    };
    guard.refused(caller, METHOD, &refusal, String::new()).await;
    Err(Status::permission_denied(refusal.to_string()))
}

fn names(identity: &Identity, node: &v1::Node) -> bool {
    // A node that is not one of any is certified as one of the default.
    let group = if node.group.is_empty() {
        "default"
    } else {
        &node.group
    };
    identity.node == node.id && identity.group == group && identity.role == role_of(node)
}

fn role_of(node: &v1::Node) -> &'static str {
    match node.role() {
        v1::NodeRole::Gateway => "gateway",
        v1::NodeRole::Exporter => "exporter",
        v1::NodeRole::Recommender => "recommender",
        v1::NodeRole::Unspecified => "unspecified",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_group_and_role_must_be_the_certificates() {
        let identity: Identity = "spiffe://example.org/tyrscale/gateway/default/gw-1"
            .parse()
            .unwrap();
        let node = v1::Node {
            id: "gw-1".to_owned(),
            role: v1::NodeRole::Gateway.into(),
            ..v1::Node::default()
        };
        assert!(names(&identity, &node));
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
            assert!(!names(&identity, &other), "{other:?}");
        }
    }
}
