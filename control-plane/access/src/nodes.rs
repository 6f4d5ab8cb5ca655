//! Nodes whose certificates are refused.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use prost::Message as _;
use tokio::sync::watch;
use tyrscale_store::Documents;
use tyrscale_tls::PeerCertificate;

use crate::AccessError;
use crate::rows::{NodeRow, read};

const PREFIX: &str = "node/";
/// How many are kept.
const MAX_NODES: usize = 20_000;
const MAX_REASON: usize = 256;

/// A node whose certificates up to a time are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedNode {
    /// As in the certificate.
    pub node: String,
    /// Certificates that begin up to here are refused; seconds of Unix time.
    pub revoked: i64,
    /// Who said so.
    pub revoked_by: String,
    /// Why.
    pub reason: String,
}

/// The nodes whose certificates are refused; clones share them.
#[derive(Debug, Clone)]
pub struct RevokedNodes {
    documents: Documents,
    nodes: Arc<RwLock<BTreeMap<String, RevokedNode>>>,
    changed: watch::Sender<()>,
}

impl RevokedNodes {
    /// Reads what the store knows.
    ///
    /// # Errors
    /// [`AccessError::Store`] or [`AccessError::Unreadable`].
    pub async fn open(documents: Documents) -> Result<Self, AccessError> {
        let opened = Self {
            documents,
            nodes: Arc::default(),
            changed: watch::Sender::new(()),
        };
        opened.reload().await?;
        Ok(opened)
    }

    /// Takes over what another control plane has stored.
    ///
    /// # Errors
    /// As [`RevokedNodes::open`].
    pub async fn reload(&self) -> Result<(), AccessError> {
        let documents = self.documents.list(PREFIX, "", MAX_NODES).await?;
        let mut nodes = BTreeMap::new();
        for document in documents {
            let row: NodeRow = read(&document.value, "a revoked node")?;
            let node = document.key.trim_start_matches(PREFIX).to_owned();
            nodes.insert(node.clone(), node_of(node, row));
        }
        let mut known = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        if *known != nodes {
            *known = nodes;
            self.changed.send_replace(());
        }
        Ok(())
    }

    /// Tells when a node was revoked.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Refuses a node's certificates up to `now`.
    ///
    /// # Errors
    /// [`AccessError::Invalid`], or [`AccessError::Store`] when it could not be made durable.
    pub async fn revoke(
        &self,
        node: &str,
        reason: &str,
        by: &str,
        now: i64,
    ) -> Result<RevokedNode, AccessError> {
        if !(1..=128).contains(&node.len()) || !node.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AccessError::Invalid {
                field: "node_id",
                rule: "must be 1 to 128 printable ASCII characters without blanks",
            });
        }
        if reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
            return Err(AccessError::Invalid {
                field: "reason",
                rule: "must be at most 256 printable characters",
            });
        }
        let row = NodeRow {
            revoked: now,
            revoked_by: by.to_owned(),
            reason: reason.to_owned(),
        };
        self.documents
            .put(&format!("{PREFIX}{node}"), row.encode_to_vec())
            .await?;
        let revoked = node_of(node.to_owned(), row);
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        nodes.insert(node.to_owned(), revoked.clone());
        drop(nodes);
        self.changed.send_replace(());
        Ok(revoked)
    }

    /// All of them, by id.
    #[must_use]
    pub fn list(&self) -> Vec<RevokedNode> {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        nodes.values().cloned().collect()
    }

    /// Whether the certificate is one of a revoked node's.
    #[must_use]
    pub fn refuses(&self, certificate: &PeerCertificate) -> bool {
        let Some(identity) = &certificate.identity else {
            return false;
        };
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        nodes
            .get(&identity.node)
            .is_some_and(|node| certificate.not_before <= node.revoked)
    }
}

fn node_of(node: String, row: NodeRow) -> RevokedNode {
    RevokedNode {
        node,
        revoked: row.revoked,
        revoked_by: row.revoked_by,
        reason: row.reason,
    }
}
