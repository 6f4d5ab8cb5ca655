//! Rpcs on the command line.

use serde::{Deserialize, Serialize};
use tyrscale_model::Kind;
use tyrscale_proto::v1;

use super::{
    Meta, Resource,
    header::{self, Header},
    is_unset,
    methods::Methods,
    part::part,
    word::{Word, number},
};
use crate::output::Columns;

part! {
    "Prices of a million calls" Prices = v1::CallPrices {
        /// Of calls of no class below.
        #[arg(long = "price", id = "price", value_name = "PRICE")]
        calls: f64,
        /// Of eth_getLogs and filters; as any call when not given.
        #[arg(long = "price-logs", id = "price_logs", value_name = "PRICE")]
        logs: f64,
        /// Of debug_* and trace_*; as any call when not given.
        #[arg(long = "price-traces", id = "price_traces", value_name = "PRICE")]
        traces: f64,
        /// Of sending a transaction; as any call when not given.
        #[arg(long = "price-transactions", id = "price_transactions", value_name = "PRICE")]
        transactions: f64,
    }
}

#[derive(Debug, Clone, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rpc {
    /// A lower-case UUID; made by the control plane when not given.
    #[arg(long = "id", id = "own_id", value_name = "UUID")]
    id: Option<String>,
    /// Name of its network.
    #[arg(long)]
    network: Option<String>,
    /// Who runs it.
    #[arg(long)]
    provider: Option<String>,
    /// Who may use it.
    #[arg(long)]
    visibility: Option<Word<v1::Visibility>>,
    /// Where it is, http or https; keys in it are masked when shown. Its path, query and user may be ${secret:NAME}.
    #[arg(long)]
    url: Option<String>,
    /// What the exporter measures of it; may be repeated.
    #[arg(long = "collector", value_name = "COLLECTOR")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    collectors: Vec<Word<v1::Collector>>,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    methods: Methods,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    prices: Prices,
    /// A header set on every request to it, "Name: value"; may be repeated. A value may be ${secret:NAME}.
    #[arg(long = "header", value_name = "HEADER")]
    #[serde(with = "header", skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Header>,
    /// HTTP CONNECT proxy on the way to it: host:port, or user:password@host:port; user and password may be
    /// ${secret:NAME}. Empty: none.
    #[arg(long, value_name = "PROXY")]
    #[serde(skip_serializing_if = "is_unset")]
    egress_proxy: Option<String>,
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Meta>,
}

impl Resource for Rpc {
    type Message = v1::Rpc;
    const KIND: Kind = Kind::Rpc;
    const ID: &'static str = "id";
    const COLUMNS: Columns = &["id", "network", "provider", "visibility", "url", "collectors"];
    const REST_FIELDS: &'static [(&'static str, &'static str)] = &[
        ("id", "uuid"),
        ("network", "network_name"),
        ("provider", "provider"),
        ("visibility", "type"),
        ("url", "url"),
        ("collectors", "collectors"),
    ];

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn meta_mut(&mut self) -> &mut Option<Meta> {
        &mut self.meta
    }

    fn into_message(self) -> v1::Rpc {
        v1::Rpc {
            id: self.id.unwrap_or_default(),
            network: self.network.unwrap_or_default(),
            provider: self.provider.unwrap_or_default(),
            visibility: number(self.visibility),
            url: self.url.unwrap_or_default(),
            collectors: self
                .collectors
                .into_iter()
                .map(|word| number(Some(word)))
                .collect(),
            methods: self.methods.into_message(),
            prices: self.prices.into_message(),
            headers: header::to_map(self.headers),
            egress_proxy: self.egress_proxy.unwrap_or_default(),
            meta: Meta::into_message(self.meta),
        }
    }

    fn from_message(message: v1::Rpc) -> Self {
        Self {
            id: Some(message.id),
            network: Some(message.network),
            provider: Some(message.provider),
            visibility: Word::from_number(message.visibility),
            url: Some(message.url),
            collectors: message
                .collectors
                .into_iter()
                .filter_map(Word::from_number)
                .collect(),
            methods: Methods::from_message(message.methods),
            prices: Prices::from_message(message.prices),
            headers: header::from_map(message.headers),
            egress_proxy: Some(message.egress_proxy).filter(|proxy| !proxy.is_empty()),
            meta: Meta::from_message(message.meta),
        }
    }

    fn wrap(message: v1::Rpc) -> v1::resource::Resource {
        v1::resource::Resource::Rpc(message)
    }
}
