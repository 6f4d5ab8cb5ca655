//! Upstreams on the command line.

mod limits;

use serde::{Deserialize, Serialize};
use tyrscale_model::Kind;
use tyrscale_proto::v1::{self, upstream::Target};

use super::{
    Meta, Resource,
    header::{self, Header},
    is_unset,
    word::{Word, number},
};
use crate::output::Columns;
use limits::Limits;

#[derive(Debug, Clone, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Upstream {
    /// A lower-case UUID; made by the control plane when not given.
    #[arg(long = "id", id = "own_id", value_name = "UUID")]
    id: Option<String>,
    /// The route that sends requests to it.
    #[arg(long)]
    route_id: Option<String>,
    /// The rpc whose url is its address; instead of the address flags.
    #[arg(long, conflicts_with_all = ["scheme", "host", "port", "path"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    rpc_id: Option<String>,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    address: Address,
    /// Its share of traffic: 0 to 100, fractions count, 0 drains it.
    #[arg(long)]
    weight: Option<f64>,
    /// HTTP CONNECT proxy on the way to it: host:port, or user:password@host:port, both of which may be
    /// ${secret:NAME}.
    #[arg(long)]
    proxy_host: Option<String>,
    /// Its tier: 0 is primary, a tier gets what those with lower numbers cannot take.
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<u32>,
    /// How HTTP is spoken with it.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Word<v1::UpstreamProtocol>>,
    /// Whether it gets no traffic and stays configured.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cordoned: Option<bool>,
    /// By which method it gives all receipts of a block; not asked for them when not given.
    #[arg(long, value_name = "METHOD")]
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts_method: Option<Word<v1::ReceiptsMethod>>,
    /// Header set on every request to it, "Name: value"; may be repeated. All of them change together, "***" keeps
    /// a value.
    #[arg(long = "header", value_name = "HEADER")]
    #[serde(with = "header", skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Header>,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    limits: Limits,
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Meta>,
}

#[derive(Debug, Clone, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Address {
    /// Protocol of a plain address: http or https.
    #[arg(long)]
    scheme: Option<String>,
    /// Host of a plain address.
    #[arg(long)]
    host: Option<String>,
    /// Port of a plain address.
    #[arg(long)]
    port: Option<u32>,
    /// Path of a plain address; starts with "/".
    #[arg(long)]
    path: Option<String>,
}

impl Upstream {
    /// The route it belongs to, when set.
    pub(crate) fn route_id(&self) -> Option<&str> {
        self.route_id.as_deref()
    }

    /// The same, getting no traffic or getting it again.
    pub(crate) const fn cordoned(mut self, cordoned: bool) -> Self {
        self.cordoned = Some(cordoned);
        self
    }

    /// Its share of traffic, when set.
    pub(crate) const fn weight(&self) -> Option<f64> {
        self.weight
    }

    /// The same, of another route.
    pub(crate) fn of_route(mut self, route_id: &str) -> Self {
        self.route_id = Some(route_id.to_owned());
        self
    }

    /// The same, with one target only: the rpc, if there is one.
    pub(crate) fn with_one_target(mut self) -> Self {
        self.rpc_id = self.rpc_id.filter(|id| !id.is_empty());
        if self.rpc_id.is_some() {
            self.address = Address::default();
        }
        self
    }

    /// The same, at its plain address.
    pub(crate) fn without_rpc(mut self) -> Self {
        self.rpc_id = None;
        self
    }

    /// Whether it names an rpc.
    pub(crate) fn names_rpc(&self) -> bool {
        self.rpc_id.is_some()
    }
}

impl Resource for Upstream {
    type Message = v1::Upstream;
    const KIND: Kind = Kind::Upstream;
    const ID: &'static str = "id";
    const COLUMNS: Columns = &[
        "id",
        "route_id",
        "rpc_id",
        "address.host",
        "address.port",
        "weight",
        "tier",
        "cordoned",
    ];
    const REST_FIELDS: &'static [(&'static str, &'static str)] = &[
        ("id", "uuid"),
        ("rpc_id", "rpc_uuid"),
        ("address.scheme", "scheme"),
        ("address.host", "host"),
        ("address.port", "port"),
        ("address.path", "path"),
        ("weight", "weight"),
        ("proxy_host", "fasthttp_settings.proxy_host"),
    ];

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn meta_mut(&mut self) -> &mut Option<Meta> {
        &mut self.meta
    }

    fn into_message(self) -> v1::Upstream {
        let address = (!is_unset(&self.address)).then(|| {
            Target::Address(v1::Address {
                scheme: self.address.scheme.unwrap_or_default(),
                host: self.address.host.unwrap_or_default(),
                port: self.address.port.unwrap_or_default(),
                path: self.address.path.unwrap_or_default(),
            })
        });
        v1::Upstream {
            id: self.id.unwrap_or_default(),
            route_id: self.route_id.unwrap_or_default(),
            target: self.rpc_id.map(Target::RpcId).or(address),
            weight: self.weight.unwrap_or_default(),
            proxy_host: self.proxy_host.unwrap_or_default(),
            tier: self.tier.unwrap_or_default(),
            limits: self.limits.into_message(),
            headers: header::to_map(self.headers),
            protocol: number(self.protocol),
            cordoned: self.cordoned.unwrap_or_default(),
            receipts_method: number(self.receipts_method),
            meta: Meta::into_message(self.meta),
        }
    }

    fn from_message(message: v1::Upstream) -> Self {
        let (rpc_id, address) = match message.target {
            Some(Target::RpcId(id)) => (Some(id), Address::default()),
            Some(Target::Address(address)) => (None, Address::from_message(address)),
            None => (None, Address::default()),
        };
        Self {
            id: Some(message.id),
            route_id: Some(message.route_id),
            rpc_id,
            address,
            weight: Some(message.weight),
            proxy_host: Some(message.proxy_host),
            tier: Some(message.tier),
            protocol: Word::from_number(message.protocol),
            cordoned: Some(message.cordoned),
            receipts_method: Word::from_number(message.receipts_method),
            headers: header::from_map(message.headers),
            limits: Limits::from_message(message.limits),
            meta: Meta::from_message(message.meta),
        }
    }

    fn wrap(message: v1::Upstream) -> v1::resource::Resource {
        v1::resource::Resource::Upstream(message)
    }
}

impl Address {
    fn from_message(message: v1::Address) -> Self {
        Self {
            scheme: Some(message.scheme),
            host: Some(message.host),
            port: Some(message.port),
            path: Some(message.path),
        }
    }
}
