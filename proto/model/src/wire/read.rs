//! From messages to the model, collecting every broken rule.

mod recommendation;
mod route;
mod upstream;

use std::str::FromStr;

use tyrscale_proto::v1;

use crate::{
    CallPrices, ChainId, Collector, MethodFilter, Network, PluginAttachment, PluginPriority, PluginType,
    ProxyAddress, Resource, Rpc, Secret, UpstreamHeaders, Violation, ViolationCode, Visibility,
};

pub use recommendation::recommendation_from_wire;
pub use route::route_from_wire;
pub use upstream::upstream_from_wire;

/// Collects violations while fields are read.
#[derive(Default)]
struct Reader {
    violations: Vec<Violation>,
}

impl Reader {
    /// Keeps the value, or notes the violation under `field`.
    fn take<T>(&mut self, field: &str, result: Result<T, Violation>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(violation) => {
                self.violations.push(Violation {
                    field: field.to_owned(),
                    ..violation
                });
                None
            }
        }
    }

    fn text<T: FromStr<Err = Violation>>(&mut self, field: &str, text: &str) -> Option<T> {
        let result = if text.is_empty() {
            Err(required())
        } else {
            text.parse()
        };
        self.take(field, result)
    }

    /// A set enum value; `None` from `convert` is the unspecified one.
    fn word<W: TryFrom<i32>, T>(
        &mut self,
        field: &str,
        number: i32,
        convert: impl Fn(W) -> Option<T>,
    ) -> Option<T> {
        let result = match W::try_from(number) {
            Ok(value) => convert(value).ok_or_else(required),
            Err(_) => Err(Violation::new(
                "",
                ViolationCode::Invalid,
                format!("has the unknown value {number}"),
            )),
        };
        self.take(field, result)
    }

    /// The items of a list that can be read; what is wrong with the others is told by their place, from 1.
    fn items<T>(
        &mut self,
        field: &str,
        texts: &[String],
        parse: impl Fn(&str) -> Result<T, Violation>,
    ) -> Vec<T> {
        let mut items = Vec::new();
        for (place, text) in (1..).zip(texts) {
            match parse(text) {
                Ok(item) => items.push(item),
                Err(Violation { code, message, .. }) => {
                    let message = format!("item {place} {message}");
                    self.violations.push(Violation::new(field, code, message));
                }
            }
        }
        items
    }

    /// The same as [`Reader::finish`], but where something could not be read, with the broken rules that
    /// `violations` finds in the other fields of what could.
    fn finish_checked<T>(
        self,
        value: Option<T>,
        violations: impl Fn(&T) -> Vec<Violation>,
    ) -> Result<T, Vec<Violation>> {
        let more = match &value {
            Some(value) if !self.violations.is_empty() => violations(value),
            _ => Vec::new(),
        };
        let is_known = |found: &Violation| self.violations.iter().any(|known| known.field == found.field);
        let more: Vec<Violation> = more.into_iter().filter(|found| !is_known(found)).collect();
        self.finish(value).map_err(|mut violations| {
            violations.extend(more);
            violations
        })
    }

    fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Violation>> {
        match value {
            Some(value) if self.violations.is_empty() => Ok(value),
            _ if self.violations.is_empty() => Err(vec![required()]),
            _ => Err(self.violations),
        }
    }
}

fn required() -> Violation {
    Violation::new("", ViolationCode::Required, "must be set")
}

/// Reads a resource of any kind.
///
/// # Errors
/// Every broken rule of its fields.
pub fn resource_from_wire(message: &v1::Resource) -> Result<Resource, Vec<Violation>> {
    use v1::resource::Resource as Wire;
    match &message.resource {
        Some(Wire::Network(network)) => network_from_wire(network).map(Resource::Network),
        Some(Wire::Secret(secret)) => secret_from_wire(secret).map(Resource::Secret),
        Some(Wire::Rpc(rpc)) => rpc_from_wire(rpc).map(Resource::Rpc),
        Some(Wire::Plugin(plugin)) => plugin_from_wire(plugin).map(Resource::Plugin),
        Some(Wire::Upstream(upstream)) => upstream_from_wire(upstream).map(Resource::Upstream),
        Some(Wire::Route(route)) => route_from_wire(route).map(Resource::Route),
        Some(Wire::Recommendation(recommendation)) => {
            recommendation_from_wire(recommendation).map(Resource::Recommendation)
        }
        None => Err(vec![Violation::new(
            "resource",
            ViolationCode::Required,
            "must be set",
        )]),
    }
}

/// Reads a network.
///
/// # Errors
/// Every broken rule of its fields.
pub fn network_from_wire(message: &v1::Network) -> Result<Network, Vec<Violation>> {
    let mut reader = Reader::default();
    let name = reader.text("name", &message.name);
    let blockchain = reader.text("blockchain", &message.blockchain);
    let chain_id = reader.take("chain_id", ChainId::try_from(message.chain_id));
    let network = (|| {
        Some(Network {
            name: name?,
            blockchain: blockchain?,
            chain_id: chain_id?,
        })
    })();
    reader.finish(network)
}

/// Reads a secret: one that is written has a value, one that is stored is sealed.
///
/// # Errors
/// Every broken rule of its fields.
pub fn secret_from_wire(message: &v1::Secret) -> Result<Secret, Vec<Violation>> {
    let mut reader = Reader::default();
    let name = reader.text("name", &message.name);
    let value = message
        .value
        .as_ref()
        .map(|value| reader.take("value", value.parse()));
    let secret = name.map(|name| Secret {
        name,
        sealed: message.sealed.clone(),
        fingerprint: message.fingerprint.clone(),
        value: value.flatten(),
    });
    reader.finish(secret)
}

/// Reads an rpc.
///
/// # Errors
/// Every broken rule of its fields.
pub fn rpc_from_wire(message: &v1::Rpc) -> Result<Rpc, Vec<Violation>> {
    let mut reader = Reader::default();
    let id = reader.text("id", &message.id);
    let network = reader.text("network", &message.network);
    let provider = reader.text("provider", &message.provider);
    let visibility = reader.word("visibility", message.visibility, |value| match value {
        v1::Visibility::Unspecified => None,
        v1::Visibility::Private => Some(Visibility::Private),
        v1::Visibility::Public => Some(Visibility::Public),
    });
    let url = reader.text("url", &message.url);
    let collectors: Vec<Collector> = message
        .collectors
        .iter()
        .filter_map(|number| reader.word("collectors", *number, collector_from_wire))
        .collect();
    let methods = message
        .methods
        .as_ref()
        .map(|methods| methods_from_wire(&mut reader, methods));
    let (headers, broken) = UpstreamHeaders::read(&message.headers);
    reader.violations.extend(broken);
    let egress_proxy = proxy_from_wire(&mut reader, "egress_proxy", &message.egress_proxy);
    let rpc = (|| {
        Some(Rpc {
            id: id?,
            network: network?,
            provider: provider?,
            visibility: visibility?,
            url: url?,
            collectors,
            methods,
            prices: message.prices.map(prices_from_wire),
            headers,
            egress_proxy,
        })
    })();
    reader.finish_checked(rpc, Rpc::violations)
}

/// An HTTP CONNECT proxy of a field; empty is none.
fn proxy_from_wire(reader: &mut Reader, field: &str, text: &str) -> Option<ProxyAddress> {
    match text {
        "" => None,
        text => reader.text(field, text),
    }
}

/// What of the wire is a collector.
#[must_use]
pub const fn collector_from_wire(value: v1::Collector) -> Option<Collector> {
    match value {
        v1::Collector::Unspecified => None,
        v1::Collector::EthBlockNumber => Some(Collector::EthBlockNumber),
        v1::Collector::NetPeers => Some(Collector::NetPeers),
        v1::Collector::EthSyncing => Some(Collector::EthSyncing),
        v1::Collector::EthChainId => Some(Collector::EthChainId),
        v1::Collector::EthGasPrice => Some(Collector::EthGasPrice),
        v1::Collector::ClientVersion => Some(Collector::ClientVersion),
        v1::Collector::FinalizedBlock => Some(Collector::FinalizedBlock),
        v1::Collector::SafeBlock => Some(Collector::SafeBlock),
        v1::Collector::TxpoolStatus => Some(Collector::TxpoolStatus),
        v1::Collector::ArchiveDepth => Some(Collector::ArchiveDepth),
        v1::Collector::Latency => Some(Collector::Latency),
    }
}

const fn prices_from_wire(message: v1::CallPrices) -> CallPrices {
    CallPrices {
        calls: message.calls,
        logs: message.logs,
        traces: message.traces,
        transactions: message.transactions,
    }
}

fn methods_from_wire(reader: &mut Reader, message: &v1::MethodFilter) -> MethodFilter {
    MethodFilter {
        allow: reader.items("methods.allow", &message.allow, str::parse),
        ignore: reader.items("methods.ignore", &message.ignore, str::parse),
    }
}

/// Reads a plugin attachment.
///
/// # Errors
/// Every broken rule of its fields.
pub fn plugin_from_wire(message: &v1::PluginAttachment) -> Result<PluginAttachment, Vec<Violation>> {
    let mut reader = Reader::default();
    let route_id = reader.text("route_id", &message.route_id);
    let name = reader.text("name", &message.name);
    let plugin_type = reader.word("type", message.r#type, |value| match value {
        v1::PluginType::Unspecified => None,
        v1::PluginType::Middleware => Some(PluginType::Middleware),
        v1::PluginType::RequestInterceptor => Some(PluginType::RequestInterceptor),
        v1::PluginType::ResponseInterceptor => Some(PluginType::ResponseInterceptor),
    });
    let priority = reader.take("priority", PluginPriority::try_from(message.priority));
    let attachment = (|| {
        Some(PluginAttachment {
            route_id: route_id?,
            name: name?,
            plugin_type: plugin_type?,
            priority: priority?,
            description: message.description.clone(),
            config_json: message.config_json.clone(),
        })
    })();
    reader.finish(attachment)
}
