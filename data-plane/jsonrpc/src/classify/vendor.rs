//! Who runs an upstream, as far as that changes what its errors mean.

/// A provider whose errors have rules of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Vendor {
    /// Alchemy.
    Alchemy,
    /// Infura, of MetaMask.
    Infura,
    /// QuickNode.
    QuickNode,
    /// dRPC.
    Drpc,
    /// LlamaNodes.
    LlamaNodes,
    /// BlockPI.
    BlockPi,
    /// Conduit.
    Conduit,
    /// Satelink.
    Satelink,
    /// Envio's HyperRPC.
    Envio,
    /// Anybody else: only the rules for all apply.
    #[default]
    Other,
}

/// Words that tell a vendor, in the names of providers and of hosts.
const WORDS: [(&str, Vendor); 13] = [
    ("alchemy", Vendor::Alchemy),
    ("infura", Vendor::Infura),
    ("quicknode", Vendor::QuickNode),
    ("quiknode", Vendor::QuickNode),
    ("drpc", Vendor::Drpc),
    ("llamarpc", Vendor::LlamaNodes),
    ("llamanodes", Vendor::LlamaNodes),
    ("blockpi", Vendor::BlockPi),
    ("conduit", Vendor::Conduit),
    ("satelink", Vendor::Satelink),
    ("envio", Vendor::Envio),
    ("hypersync", Vendor::Envio),
    ("hyperrpc", Vendor::Envio),
];

impl Vendor {
    /// The vendor behind a provider of that name at that host. The host decides, for it cannot be mistyped;
    /// case does not matter. A word must be a whole part of the name: `drpc` in `eth.drpc.org` and `dRPC (free)`,
    /// not in `wildrpc`.
    #[must_use]
    pub fn of(provider: &str, host: &str) -> Self {
        named(host).or_else(|| named(provider)).unwrap_or_default()
    }
}

fn named(name: &str) -> Option<Vendor> {
    name.split(|character: char| !character.is_ascii_alphanumeric())
        .find_map(|part| {
            WORDS
                .iter()
                .find(|(word, _)| part.eq_ignore_ascii_case(word))
                .map(|(_, vendor)| *vendor)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_or_else_the_provider_tells_the_vendor() {
        for (provider, host, vendor) in [
            ("", "eth-mainnet.g.alchemy.com", Vendor::Alchemy),
            ("", "mainnet.infura.io", Vendor::Infura),
            ("", "long-name.quiknode.pro", Vendor::QuickNode),
            ("QuickNode", "10.0.0.1", Vendor::QuickNode),
            ("alchemy", "lb.drpc.org", Vendor::Drpc),
            ("dRPC (free)", "localhost", Vendor::Drpc),
            ("", "eth.llamarpc.com", Vendor::LlamaNodes),
            ("", "ethereum.blockpi.network", Vendor::BlockPi),
            ("", "rpc-chain.t.conduit.xyz", Vendor::Conduit),
            ("", "1.rpc.hypersync.xyz", Vendor::Envio),
            ("satelink", "", Vendor::Satelink),
            ("own", "wildrpc.example", Vendor::Other),
            ("", "", Vendor::Other),
        ] {
            assert_eq!(Vendor::of(provider, host), vendor, "{provider} {host}");
        }
    }
}
