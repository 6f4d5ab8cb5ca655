//! The rules that hold for one vendor only.

use super::super::rule::{Methods, Rule, coded, says, status};
use super::super::vendor::Vendor;
use super::Has;
use crate::class::Class;

pub(super) const RULES: &[Rule] = &[
    coded(Class::MissingData, "Alchemy: unknown block", &[3])
        .of(Vendor::Alchemy)
        .said(Has("unknown block")),
    coded(Class::Unauthorized, "Alchemy: key", &[-32600])
        .of(Vendor::Alchemy)
        .said(Has("be authenticated | access key")),
    coded(Class::Unauthorized, "Infura: key", &[-32600])
        .of(Vendor::Infura)
        .said(Has("authenticat | authoriz | project id")),
    coded(Class::UnsupportedMethod, "Infura: method", &[-32001, -32004]).of(Vendor::Infura),
    coded(Class::RateLimited, "Infura: capacity", &[-32005])
        .of(Vendor::Infura)
        .unless("returned more than | block range"),
    coded(Class::RangeTooLarge, "QuickNode: range", &[-32614]).of(Vendor::QuickNode),
    says(
        Class::RangeTooLarge,
        "QuickNode: range of logs",
        Has("limited to"),
    )
    .of(Vendor::QuickNode)
    .only(Methods::Logs),
    coded(Class::RateLimited, "QuickNode: capacity", &[-32007, -32009]).of(Vendor::QuickNode),
    coded(Class::UnsupportedMethod, "QuickNode: method", &[-32612, -32613]).of(Vendor::QuickNode),
    says(
        Class::InvalidRequest,
        "QuickNode: parameters",
        Has("failed to parse"),
    )
    .of(Vendor::QuickNode),
    coded(Class::AmbiguousRequest, "QuickNode: gas limit", &[-32010]).of(Vendor::QuickNode),
    coded(Class::InvalidRequest, "QuickNode: hex", &[-32602])
        .of(Vendor::QuickNode)
        .said(Has("cannot unmarshal hex string")),
    says(Class::Unauthorized, "QuickNode: key", Has("unauthorized")).of(Vendor::QuickNode),
    says(Class::Unauthorized, "dRPC: token", Has("token is invalid")).of(Vendor::Drpc),
    says(
        Class::MissingData,
        "dRPC: block",
        Has("chainexception: unexpected error (code=40000) | invalid block range"),
    )
    .of(Vendor::Drpc),
    says(
        Class::RateLimited,
        "LlamaNodes: page of Cloudflare",
        Has("code: 1015"),
    )
    .of(Vendor::LlamaNodes)
    .or_page(),
    says(
        Class::Unauthorized,
        "BlockPI: key of another chain",
        Has("apikey is on another chain"),
    )
    .of(Vendor::BlockPi),
    says(
        Class::RateLimited,
        "Conduit: capacity",
        Has("limit exceeded | capacity limit"),
    )
    .of(Vendor::Conduit)
    .unless("gas limit"),
    status(Class::Billing, "Satelink: bill", &[(402, 402)]).of(Vendor::Satelink),
    status(Class::RateLimited, "Satelink: capacity", &[(429, 429)]).of(Vendor::Satelink),
    status(Class::Unauthorized, "Satelink: key", &[(401, 401)]).of(Vendor::Satelink),
    says(
        Class::AmbiguousRequest,
        "Envio: block",
        Has("invalid type: map, expected blocknumber"),
    )
    .of(Vendor::Envio),
];
