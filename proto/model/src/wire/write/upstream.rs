//! Upstreams as messages.

use tyrscale_proto::v1;

use super::{Exposure, proxy_to_wire};
use crate::{ReceiptsMethod, Target, Upstream, UpstreamLimits, UpstreamProtocol};

pub(super) fn to_wire(upstream: &Upstream, exposure: Exposure) -> v1::Upstream {
    let target = match &upstream.target {
        Target::Rpc(rpc) => v1::upstream::Target::RpcId(rpc.to_string()),
        Target::Address(address) => v1::upstream::Target::Address(v1::Address {
            scheme: address.scheme.as_str().to_owned(),
            host: address.host.clone(),
            port: address.port.into(),
            path: match exposure {
                Exposure::Masked => address.masked_path(),
                Exposure::Full => address.expose_path().to_owned(),
            },
        }),
    };
    v1::Upstream {
        id: upstream.id.to_string(),
        route_id: upstream.route_id.to_string(),
        target: Some(target),
        weight: upstream.weight.get(),
        proxy_host: proxy_to_wire(upstream.proxy.as_ref(), exposure),
        tier: upstream.tier.get().into(),
        limits: upstream.limits.map(limits),
        headers: match exposure {
            Exposure::Masked => upstream.headers.masked(),
            Exposure::Full => upstream.headers.exposed_texts(),
        },
        protocol: protocol(upstream.protocol).into(),
        cordoned: upstream.cordoned,
        receipts_method: receipts_method(upstream.receipts_method).into(),
        meta: None,
    }
}

const fn receipts_method(method: Option<ReceiptsMethod>) -> v1::ReceiptsMethod {
    match method {
        None => v1::ReceiptsMethod::Unspecified,
        Some(ReceiptsMethod::EthGetBlockReceipts) => v1::ReceiptsMethod::EthGetBlockReceipts,
        Some(ReceiptsMethod::DebugGetRawReceipts) => v1::ReceiptsMethod::DebugGetRawReceipts,
        Some(ReceiptsMethod::AlchemyGetTransactionReceipts) => {
            v1::ReceiptsMethod::AlchemyGetTransactionReceipts
        }
        Some(ReceiptsMethod::ParityGetBlockReceipts) => v1::ReceiptsMethod::ParityGetBlockReceipts,
    }
}

const fn limits(limits: UpstreamLimits) -> v1::UpstreamLimits {
    v1::UpstreamLimits {
        requests_per_second: limits.requests_per_second,
        burst: limits.burst,
        max_concurrent: limits.max_concurrent,
    }
}

const fn protocol(protocol: UpstreamProtocol) -> v1::UpstreamProtocol {
    match protocol {
        UpstreamProtocol::Auto => v1::UpstreamProtocol::Unspecified,
        UpstreamProtocol::Http1 => v1::UpstreamProtocol::Http1,
        UpstreamProtocol::Http2 => v1::UpstreamProtocol::Http2,
    }
}
