//! What is measured: an rpc and what its network is.

use std::{collections::BTreeSet, fmt, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, Uri, header::AUTHORIZATION};
use tyrscale_jsonrpc::Vendor;
use tyrscale_model::{
    ChainId, Collector, HttpUrl, Network, ProxyAddress, Resource, Rpc, RpcId, Snapshot, UpstreamHeaders,
    Violation,
};

/// An rpc as it is measured. Another one takes its place when anything of it changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub(crate) id: RpcId,
    pub(crate) labels: Labels,
    /// The chain it should be on, where that is known.
    pub(crate) chain: Option<ChainId>,
    pub(crate) collectors: BTreeSet<Collector>,
    pub(crate) vendor: Vendor,
    /// With the values of secrets; none while one of them is not here.
    address: Option<(HttpUrl, UpstreamHeaders, Option<ProxyAddress>)>,
}

/// What tells it in metrics: `network`, `provider`, `rpc_uuid` and `type`, never its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) network: Arc<str>,
    pub(crate) provider: Arc<str>,
    pub(crate) rpc: Arc<str>,
    pub(crate) visibility: &'static str,
}

impl Labels {
    pub(crate) fn values(&self) -> [&str; 4] {
        [&self.network, &self.provider, &self.rpc, self.visibility]
    }
}

/// Where requests go, and the rpc's own headers, the credentials in the URL among them.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) proxy: Option<Proxy>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.uri.authority()).finish()
    }
}

impl Target {
    /// An rpc of the configuration.
    pub(crate) fn of(rpc: &Rpc, snapshot: &Snapshot) -> Self {
        let network = snapshot.get(&Network::key_of(&rpc.network));
        let chain = network.and_then(|entry| match &entry.resource {
            Resource::Network(network) => Some(network.chain_id),
            _ => None,
        });
        Self {
            id: rpc.id,
            labels: Labels {
                network: rpc.network.as_str().into(),
                provider: rpc.provider.as_str().into(),
                rpc: rpc.id.to_string().into(),
                visibility: rpc.visibility.as_str(),
            },
            chain,
            collectors: rpc.collectors.iter().copied().collect(),
            vendor: Vendor::of(rpc.provider.as_str(), rpc.url.host()),
            address: filled(rpc, snapshot).ok(),
        }
    }

    /// Where to send requests; none when no request can be sent there.
    pub(crate) fn place(&self) -> Option<Place> {
        let (url, own, proxy) = self.address.as_ref()?;
        let query = url
            .expose_query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        let uri = format!("{}{}{query}", url.origin(), url.expose_path())
            .parse()
            .ok()?;
        let mut headers = HeaderMap::new();
        if let Some(user_info) = url.expose_user_info() {
            headers.insert(AUTHORIZATION, basic(&user_info)?);
        }
        headers.extend(own.expose().map(|(name, value)| (name.clone(), value.clone())));
        let proxy = match proxy {
            Some(proxy) => Some(Proxy::of(proxy)?),
            None => None,
        };
        Some(Place { uri, headers, proxy })
    }
}

/// Where an rpc is, with the values of secrets.
fn filled(
    rpc: &Rpc,
    snapshot: &Snapshot,
) -> Result<(HttpUrl, UpstreamHeaders, Option<ProxyAddress>), Violation> {
    let proxy = rpc.egress_proxy.as_ref();
    Ok((
        rpc.url.filled(snapshot)?,
        rpc.headers.filled(snapshot)?,
        proxy
            .map(|proxy| proxy.filled("egress_proxy", snapshot))
            .transpose()?,
    ))
}

/// An HTTP CONNECT proxy on the way to a target.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Proxy {
    pub(crate) uri: Uri,
    /// What it is shown.
    pub(crate) authorization: Option<HeaderValue>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxy").field(&self.uri).finish()
    }
}

impl Proxy {
    fn of(proxy: &ProxyAddress) -> Option<Self> {
        let uri = format!("http://{}:{}", proxy.host(), proxy.port()).parse().ok()?;
        let authorization = match proxy.expose_credentials() {
            Some(credentials) => Some(basic(credentials)?),
            None => None,
        };
        Some(Self { uri, authorization })
    }
}

/// Credentials as they are shown (RFC 7617).
fn basic(credentials: &str) -> Option<HeaderValue> {
    let basic = format!("Basic {}", BASE64_STANDARD.encode(credentials));
    let mut value = HeaderValue::from_str(&basic).ok()?;
    value.set_sensitive(true);
    Some(value)
}
