//! Rpcs: the JSON-RPC endpoints of networks.

mod prices;

use std::{fmt, str::FromStr};

pub use prices::CallPrices;

use crate::{
    HttpUrl, MethodFilter, Name, ProxyAddress, ResourceKey, RpcId, UpstreamHeaders, Violation, ViolationCode,
    rules::Rules,
};

/// Who may use an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Ours, or rented for us.
    Private,
    /// Anybody's.
    Public,
}

/// What the exporter measures of an rpc.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Collector {
    /// The height, with `eth_blockNumber`.
    EthBlockNumber,
    /// The peers, with `net_peerCount`.
    NetPeers,
    /// Whether it is catching up, with `eth_syncing`.
    EthSyncing,
    /// The chain, with `eth_chainId`.
    EthChainId,
    /// The price of gas, with `eth_gasPrice`.
    EthGasPrice,
    /// Program and version, with `web3_clientVersion`.
    ClientVersion,
    /// The height of the tag `finalized`.
    FinalizedBlock,
    /// The height of the tag `safe`.
    SafeBlock,
    /// The transactions that wait, with `txpool_status`.
    TxpoolStatus,
    /// The oldest block whose state it serves.
    ArchiveDepth,
    /// How long calls take.
    Latency,
}

macro_rules! words {
    ($name:ident, $field:literal, $rule:literal, { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $name {
            /// The word for it in REST bodies and commands.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = Violation;

            fn from_str(text: &str) -> Result<Self, Violation> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(Violation::new($field, ViolationCode::Invalid, $rule)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words!(Visibility, "visibility", "must be one of [private public]", {
    Private => "private",
    Public => "public",
});
words!(
    Collector,
    "collectors",
    "must be one of [eth_block_number net_peers eth_syncing eth_chain_id eth_gas_price client_version \
     finalized_block safe_block txpool_status archive_depth latency]",
    {
        EthBlockNumber => "eth_block_number",
        NetPeers => "net_peers",
        EthSyncing => "eth_syncing",
        EthChainId => "eth_chain_id",
        EthGasPrice => "eth_gas_price",
        ClientVersion => "client_version",
        FinalizedBlock => "finalized_block",
        SafeBlock => "safe_block",
        TxpoolStatus => "txpool_status",
        ArchiveDepth => "archive_depth",
        Latency => "latency",
    }
);

/// An endpoint of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Rpc {
    /// The id.
    pub id: RpcId,
    /// The network it serves; never changes.
    pub network: Name,
    /// Who runs it.
    pub provider: Name,
    /// Who may use it.
    pub visibility: Visibility,
    /// Where it is; unique in its normal form.
    pub url: HttpUrl,
    /// What is measured of it, at least one.
    pub collectors: Vec<Collector>,
    /// Which methods it is asked for; absent: all.
    pub methods: Option<MethodFilter>,
    /// What calls to it cost; absent: not known.
    pub prices: Option<CallPrices>,
    /// Set on every request to it.
    pub headers: UpstreamHeaders,
    /// The HTTP CONNECT proxy on the way to it.
    pub egress_proxy: Option<ProxyAddress>,
}

impl Rpc {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        self.id.key()
    }

    /// The rules the types do not hold already.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        let collectors = self.collectors.len();
        let mut bound = |broken, rule| rules.refuse_if(broken, "collectors", ViolationCode::OutOfRange, rule);
        bound(collectors == 0, "must contain at least 1 item");
        bound(collectors > 64, "must contain at most 64 items");
        let mut found = rules.finish();
        found.extend(self.methods.iter().flat_map(MethodFilter::violations));
        found.extend(self.prices.iter().flat_map(CallPrices::violations));
        found
    }
}
