//! Which content each node is to run.

use std::sync::Arc;

use tyrscale_proto::v1;
use tyrscale_store::Head;

use super::decide::Rollout;

/// What nodes are to run now.
#[derive(Debug)]
pub(crate) struct Targets {
    /// The newest revision, for all but gateways.
    pub(super) newest: Arc<Head>,
    /// What gateways run that no rollout includes.
    pub(super) released: Arc<Head>,
    /// A change on its way, and what it leads to.
    pub(super) staged: Option<(Rollout, Arc<Head>)>,
    pub(super) is_frozen: bool,
}

/// What one node is to run.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) head: Arc<Head>,
    /// Why it is not the newest; empty when it is.
    pub(crate) held: &'static str,
}

impl Targets {
    /// All nodes run the newest revision.
    pub(super) fn newest(head: Arc<Head>) -> Self {
        Self {
            newest: Arc::clone(&head),
            released: head,
            staged: None,
            is_frozen: false,
        }
    }

    /// What a node is to run.
    pub(crate) fn of(&self, node: &v1::Node) -> Target {
        let head = match &self.staged {
            _ if node.role() != v1::NodeRole::Gateway => &self.newest,
            Some((rollout, head)) if rollout.includes(&node.id) => head,
            _ => &self.released,
        };
        let is_newest = head.snapshot.revision() == self.newest.snapshot.revision();
        Target {
            head: Arc::clone(head),
            held: match (is_newest, self.is_frozen) {
                (true, _) => "",
                (false, true) => "the fleet is frozen",
                (false, false) => "waits for a rollout",
            },
        }
    }
}
