//! How tokens and revoked nodes are stored.

use prost::Message;
use tyrscale_model::Network;

use crate::{AccessError, Scope};

/// A token.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TokenRow {
    /// Keyed, of its secret.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) hash: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) subject: String,
    /// The number of the role on the wire.
    #[prost(int32, tag = "3")]
    pub(crate) role: i32,
    /// What readers that know no labels go by: the networks of the scope, or nowhere when labels bound it too.
    #[prost(string, repeated, tag = "4")]
    pub(crate) networks: Vec<String>,
    /// Seconds of Unix time, as all times here.
    #[prost(int64, tag = "5")]
    pub(crate) created: i64,
    #[prost(int64, tag = "6")]
    pub(crate) expires: i64,
    #[prost(int64, optional, tag = "7")]
    pub(crate) revoked: Option<i64>,
    #[prost(string, tag = "8")]
    pub(crate) created_by: String,
    #[prost(btree_map = "string, string", tag = "9")]
    pub(crate) labels: std::collections::BTreeMap<String, String>,
    /// The networks of a scope with labels.
    #[prost(string, repeated, tag = "10")]
    pub(crate) labelled_networks: Vec<String>,
}

impl TokenRow {
    /// The same with this scope.
    pub(crate) fn with_scope(self, scope: &Scope) -> Self {
        let networks = scope.networks().map(ToString::to_string).collect();
        let (networks, labelled_networks) = if scope.labels().is_empty() {
            (networks, Vec::new())
        } else {
            (vec![Network::NOWHERE.to_owned()], networks)
        };
        Self {
            networks,
            labels: scope.labels().clone(),
            labelled_networks,
            ..self
        }
    }

    /// Its scope.
    ///
    /// # Errors
    /// [`AccessError::Invalid`].
    pub(crate) fn scope(&self) -> Result<Scope, AccessError> {
        let names = self.networks.iter().chain(&self.labelled_networks);
        let names = names.map(String::as_str);
        let is_marked = !self.labels.is_empty();
        Scope::of(names.filter(|name| !(is_marked && *name == Network::NOWHERE)))?
            .with_labels(self.labels.clone())
    }
}

/// When a token was last used.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct UseRow {
    #[prost(int64, tag = "1")]
    pub(crate) last_use: i64,
}

/// A node whose certificates are refused.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeRow {
    #[prost(int64, tag = "1")]
    pub(crate) revoked: i64,
    #[prost(string, tag = "2")]
    pub(crate) revoked_by: String,
    #[prost(string, tag = "3")]
    pub(crate) reason: String,
}

/// Where the audit log begins and ends.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AuditHead {
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) hash: Vec<u8>,
    /// The last record that was removed; 0 for none.
    #[prost(uint64, tag = "3")]
    pub(crate) floor_sequence: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) floor_hash: Vec<u8>,
}

/// Reads a row.
pub(crate) fn read<R: Message + Default>(value: &[u8], what: &'static str) -> Result<R, AccessError> {
    R::decode(value).map_err(|_| AccessError::Unreadable(what))
}
