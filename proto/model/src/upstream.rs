//! Upstreams: the places a route sends requests to.

mod address;
mod headers;
mod limits;
mod weight;

use std::{fmt, str::FromStr};

use crate::{ProxyAddress, ResourceKey, RouteId, RpcId, UpstreamId, Violation, ViolationCode, rpc::words};

pub use address::Address;
pub use headers::UpstreamHeaders;
pub use limits::UpstreamLimits;
pub use weight::Weight;

/// Where an upstream is.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// At the URL of an rpc.
    Rpc(RpcId),
    /// At an address of its own.
    Address(Address),
}

/// Whose traffic an upstream takes: 0 is primary, a tier gets what those below it cannot take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tier(u8);

impl Tier {
    /// The last tier.
    pub const MAX: Self = Self(7);

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u32> for Tier {
    type Error = Violation;

    fn try_from(number: u32) -> Result<Self, Violation> {
        match u8::try_from(number).map(Self) {
            Ok(tier) if tier <= Self::MAX => Ok(tier),
            _ => Err(Violation::new(
                "tier",
                ViolationCode::OutOfRange,
                "must be 7 or less",
            )),
        }
    }
}

/// How HTTP is spoken with an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum UpstreamProtocol {
    /// Over https what ALPN agrees on; over http HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; over http with prior knowledge.
    Http2,
}

words!(UpstreamProtocol, "protocol", "must be one of [auto http1 http2]", {
    Auto => "auto",
    Http1 => "http1",
    Http2 => "http2",
});

/// A method that gives all receipts of a block; nodes differ in which they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::enum_variant_names, reason = "the names are those of the methods")]
pub enum ReceiptsMethod {
    /// `eth_getBlockReceipts`, which most nodes have by now.
    EthGetBlockReceipts,
    /// `debug_getRawReceipts`: each receipt as the bytes it has in the block.
    DebugGetRawReceipts,
    /// `alchemy_getTransactionReceipts`, of a provider.
    AlchemyGetTransactionReceipts,
    /// `parity_getBlockReceipts`, of old nodes.
    ParityGetBlockReceipts,
}

words!(
    ReceiptsMethod,
    "receipts_method",
    "must be one of [eth_getBlockReceipts debug_getRawReceipts alchemy_getTransactionReceipts parity_getBlockReceipts]",
    {
        EthGetBlockReceipts => "eth_getBlockReceipts",
        DebugGetRawReceipts => "debug_getRawReceipts",
        AlchemyGetTransactionReceipts => "alchemy_getTransactionReceipts",
        ParityGetBlockReceipts => "parity_getBlockReceipts",
    }
);

/// One place a route sends requests to.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// The id.
    pub id: UpstreamId,
    /// The route it belongs to; never changes.
    pub route_id: RouteId,
    /// Where it is.
    pub target: Target,
    /// Its share.
    pub weight: Weight,
    /// The HTTP CONNECT proxy on the way to it.
    pub proxy: Option<ProxyAddress>,
    /// Whose traffic it takes.
    pub tier: Tier,
    /// What it may be asked; absent: anything.
    pub limits: Option<UpstreamLimits>,
    /// Set on every request to it.
    pub headers: UpstreamHeaders,
    /// How HTTP is spoken with it.
    pub protocol: UpstreamProtocol,
    /// Whether it gets no traffic, whatever its weight.
    pub cordoned: bool,
    /// By which method it gives all receipts of a block; absent: it is not asked for them.
    pub receipts_method: Option<ReceiptsMethod>,
}

impl Upstream {
    /// An upstream with the default of everything else.
    #[must_use]
    pub fn new(id: UpstreamId, route_id: RouteId, target: Target, weight: Weight) -> Self {
        Self {
            id,
            route_id,
            target,
            weight,
            proxy: None,
            tier: Tier::default(),
            limits: None,
            headers: UpstreamHeaders::default(),
            protocol: UpstreamProtocol::default(),
            cordoned: false,
            receipts_method: None,
        }
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        self.id.key()
    }

    /// The rules the types do not hold already.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.limits.iter().flat_map(UpstreamLimits::violations).collect()
    }
}
