//! Which cluster holds a store.

use http::Uri;
use tyrscale_tls::ClientTls;

use crate::engine::EngineError;

/// Which cluster, and how to speak with it.
#[derive(Debug, Clone)]
pub struct EtcdOptions {
    /// `http://host:port` or `https://host:port` of its members; at least one.
    pub endpoints: Vec<Uri>,
    /// Whose store it is: the control planes of one name share one. Letters, digits, `-`, `_` and `.`.
    pub cluster: String,
    /// For members at `https`.
    pub tls: ClientTls,
}

impl EtcdOptions {
    /// What the store is called in messages.
    pub(crate) fn place(&self) -> String {
        format!("etcd:{}", self.cluster)
    }

    pub(super) fn check(&self) -> Result<(), EngineError> {
        let bad = |rule: &str| Err(EngineError::Unavailable(rule.to_owned()));
        if self.endpoints.is_empty() {
            return bad("at least one address of etcd must be given");
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.cluster.is_empty() || self.cluster.len() > 128 || !self.cluster.chars().all(is_plain) {
            return bad("the name of the cluster must be 1 to 128 of letters, digits, '-', '_' and '.'");
        }
        Ok(())
    }
}
