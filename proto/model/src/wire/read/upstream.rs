//! From messages of upstreams to the model.

use tyrscale_proto::v1;

use super::{Reader, proxy_from_wire, required};
use crate::{
    Address, ReceiptsMethod, RouteId, Scheme, Target, Tier, Upstream, UpstreamHeaders, UpstreamLimits,
    UpstreamProtocol, Violation, ViolationCode, Weight,
};

/// Reads an upstream.
///
/// # Errors
/// Every broken rule of its fields.
pub fn upstream_from_wire(message: &v1::Upstream) -> Result<Upstream, Vec<Violation>> {
    let mut reader = Reader::default();
    let id = reader.text("id", &message.id);
    let route_id = reader.text::<RouteId>("route_id", &message.route_id);
    let target = match &message.target {
        None => reader.take("target", Err(required())),
        Some(v1::upstream::Target::RpcId(rpc)) => reader.text("rpc_id", rpc).map(Target::Rpc),
        Some(v1::upstream::Target::Address(address)) => {
            address_from_wire(&mut reader, address).map(Target::Address)
        }
    };
    let weight = reader.take("weight", Weight::try_from(message.weight));
    let proxy = proxy_from_wire(&mut reader, "proxy_host", &message.proxy_host);
    let tier = reader.take("tier", Tier::try_from(message.tier));
    let protocol = reader.word("protocol", message.protocol, |value| {
        Some(match value {
            v1::UpstreamProtocol::Unspecified => UpstreamProtocol::Auto,
            v1::UpstreamProtocol::Http1 => UpstreamProtocol::Http1,
            v1::UpstreamProtocol::Http2 => UpstreamProtocol::Http2,
        })
    });
    let receipts_method = receipts_method(&mut reader, message.receipts_method);
    let (headers, broken) = UpstreamHeaders::read(&message.headers);
    reader.violations.extend(broken);
    let upstream = (|| {
        Some(Upstream {
            id: id?,
            route_id: route_id?,
            target: target?,
            weight: weight?,
            proxy,
            tier: tier?,
            limits: message.limits.map(limits_from_wire),
            headers,
            protocol: protocol?,
            cordoned: message.cordoned,
            receipts_method,
        })
    })();
    reader.finish_checked(upstream, Upstream::violations)
}

fn receipts_method(reader: &mut Reader, number: i32) -> Option<ReceiptsMethod> {
    if number == v1::ReceiptsMethod::Unspecified as i32 {
        return None;
    }
    reader.word("receipts_method", number, |value| match value {
        v1::ReceiptsMethod::Unspecified => None,
        v1::ReceiptsMethod::EthGetBlockReceipts => Some(ReceiptsMethod::EthGetBlockReceipts),
        v1::ReceiptsMethod::DebugGetRawReceipts => Some(ReceiptsMethod::DebugGetRawReceipts),
        v1::ReceiptsMethod::AlchemyGetTransactionReceipts => {
            Some(ReceiptsMethod::AlchemyGetTransactionReceipts)
        }
        v1::ReceiptsMethod::ParityGetBlockReceipts => Some(ReceiptsMethod::ParityGetBlockReceipts),
    })
}

const fn limits_from_wire(message: v1::UpstreamLimits) -> UpstreamLimits {
    UpstreamLimits {
        requests_per_second: message.requests_per_second,
        burst: message.burst,
        max_concurrent: message.max_concurrent,
    }
}

fn address_from_wire(reader: &mut Reader, message: &v1::Address) -> Option<Address> {
    let scheme = reader.text::<Scheme>("address.scheme", &message.scheme)?;
    let out_of_range = || {
        Violation::new(
            "address.port",
            ViolationCode::OutOfRange,
            "port must be 1 to 65535",
        )
    };
    let port = reader.take(
        "address.port",
        u16::try_from(message.port).map_err(|_| out_of_range()),
    )?;
    match Address::new(scheme, &message.host, port, &message.path) {
        Ok(address) => Some(address),
        Err(violation) => {
            reader.violations.push(violation.within("address"));
            None
        }
    }
}
