//! Networks on the command line.

use serde::{Deserialize, Serialize};
use tyrscale_model::Kind;
use tyrscale_proto::v1;

use super::{Meta, Resource};
use crate::output::Columns;

#[derive(Debug, Clone, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Network {
    /// Its name, which is its id: letters, digits, "_" and "-".
    #[arg(long)]
    name: Option<String>,
    /// Which chain family, such as ethereum.
    #[arg(long)]
    blockchain: Option<String>,
    /// EIP-155 chain id, above 0.
    #[arg(long)]
    chain_id: Option<u64>,
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Meta>,
}

impl Resource for Network {
    type Message = v1::Network;
    const KIND: Kind = Kind::Network;
    const ID: &'static str = "name";
    const COLUMNS: Columns = &["name", "blockchain", "chain_id"];
    const REST_FIELDS: &'static [(&'static str, &'static str)] = &[
        ("name", "name"),
        ("blockchain", "blockchain"),
        ("chain_id", "chain_id"),
    ];

    fn id(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn meta_mut(&mut self) -> &mut Option<Meta> {
        &mut self.meta
    }

    fn into_message(self) -> v1::Network {
        v1::Network {
            name: self.name.unwrap_or_default(),
            blockchain: self.blockchain.unwrap_or_default(),
            chain_id: self.chain_id.unwrap_or_default(),
            meta: Meta::into_message(self.meta),
        }
    }

    fn from_message(message: v1::Network) -> Self {
        Self {
            name: Some(message.name),
            blockchain: Some(message.blockchain),
            chain_id: Some(message.chain_id),
            meta: Meta::from_message(message.meta),
        }
    }

    fn wrap(message: v1::Network) -> v1::resource::Resource {
        v1::resource::Resource::Network(message)
    }
}
