//! `tyrctl node`: whose certificates are refused.

use clap::Subcommand;
use serde::Serialize;
use tyrscale_proto::v1;

use super::{connect, time};
use crate::{Connection, Failure, Output, transport::signed};

const COLUMNS: &[&str] = &["node", "revoked", "revoked_by", "reason"];

/// What can be done with nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    /// Refuses every certificate of a node that begins up to now, and ends its streams. One issued later is good.
    Revoke {
        /// The node's id, as in its certificate.
        id: String,
        /// Why, for the log.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// The nodes whose certificates are refused.
    Revoked,
}

#[derive(Debug, Serialize)]
struct RevokedNode {
    node: String,
    revoked: Option<String>,
    revoked_by: String,
    reason: String,
}

impl From<v1::RevokedNode> for RevokedNode {
    fn from(node: v1::RevokedNode) -> Self {
        Self {
            node: node.node_id,
            revoked: node.revoke_time.map(time),
            revoked_by: node.revoked_by,
            reason: node.reason,
        }
    }
}

impl NodeVerb {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let client = connect(connection).await?;
        let mut access = client.control_plane().access();
        let nodes = match self {
            Self::Revoke { id, reason } => {
                let request = signed(v1::RevokeNodeRequest { node_id: id, reason });
                let answer = access.revoke_node(request).await;
                let answer = answer.map_err(|status| client.failure(status))?.into_inner();
                answer.node.into_iter().collect()
            }
            Self::Revoked => {
                let request = signed(v1::ListRevokedNodesRequest {});
                let answer = access.list_revoked_nodes(request).await;
                answer
                    .map_err(|status| client.failure(status))?
                    .into_inner()
                    .nodes
            }
        };
        let nodes: Vec<RevokedNode> = nodes.into_iter().map(RevokedNode::from).collect();
        output.write_all(&nodes, COLUMNS)
    }
}
