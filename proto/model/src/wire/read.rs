//! From messages to the model, collecting every broken rule.

use std::str::FromStr;

use tyrscale_proto::v1;

use crate::{
    Address, ChainId, CircuitBreaker, Collector, HealthCheck, HealthCheckRequest, HealthCheckType,
    LoadBalancer, Network, PluginAttachment, PluginPriority, PluginType, Recommendation,
    RecommendationStrategy, Resource, Route, RouteId, Rpc, Scheme, Target, Upstream, Violation,
    ViolationCode, Visibility, Weight,
};

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
        .filter_map(|number| {
            reader.word("collectors", *number, |value| match value {
                v1::Collector::Unspecified => None,
                v1::Collector::EthBlockNumber => Some(Collector::EthBlockNumber),
                v1::Collector::NetPeers => Some(Collector::NetPeers),
            })
        })
        .collect();
    let rpc = (|| {
        Some(Rpc {
            id: id?,
            network: network?,
            provider: provider?,
            visibility: visibility?,
            url: url?,
            collectors,
        })
    })();
    reader.finish(rpc)
}

/// Reads a route.
///
/// # Errors
/// Every broken rule of its fields.
pub fn route_from_wire(message: &v1::Route) -> Result<Route, Vec<Violation>> {
    let mut reader = Reader::default();
    let id = reader.text("id", &message.id);
    let load_balancer = reader.word("load_balancer", message.load_balancer, |value| match value {
        v1::LoadBalancer::Unspecified => None,
        v1::LoadBalancer::WeightRoundRobin => Some(LoadBalancer::WeightRoundRobin),
        v1::LoadBalancer::LeastLoad => Some(LoadBalancer::LeastLoad),
        v1::LoadBalancer::FailoverPriority => Some(LoadBalancer::FailoverPriority),
    });
    let health_check = message
        .health_check
        .as_ref()
        .map(|check| health_check_from_wire(&mut reader, check));
    let route = (|| {
        Some(Route {
            id: id?,
            host: message.host.clone(),
            path: message.path.clone(),
            load_balancer: load_balancer?,
            circuit_breaker: message.circuit_breaker.as_ref().map(circuit_breaker_from_wire),
            health_check,
        })
    })();
    reader.finish(route)
}

const fn circuit_breaker_from_wire(message: &v1::CircuitBreaker) -> CircuitBreaker {
    CircuitBreaker {
        enabled: message.enabled,
        max_requests: message.max_requests,
        max_consecutive_failures: message.max_consecutive_failures,
        interval_ms: message.interval_ms,
        timeout_ms: message.timeout_ms,
    }
}

fn health_check_from_wire(reader: &mut Reader, message: &v1::HealthCheck) -> HealthCheck {
    let unspecified = v1::HealthCheckType::Unspecified as i32;
    let check = if message.r#type == unspecified {
        None
    } else {
        reader.word("health_check.type", message.r#type, |value| match value {
            v1::HealthCheckType::Unspecified => None,
            v1::HealthCheckType::EthBlockNumber => Some(HealthCheckType::EthBlockNumber),
            v1::HealthCheckType::EthSyncing => Some(HealthCheckType::EthSyncing),
            v1::HealthCheckType::Custom => Some(HealthCheckType::Custom),
        })
    };
    HealthCheck {
        enabled: message.enabled,
        check,
        combined_with_circuit_breaker: message.combined_with_circuit_breaker,
        interval_ms: message.interval_ms,
        timeout_ms: message.timeout_ms,
        request: message.request.as_ref().map(|request| HealthCheckRequest {
            method: request.method.clone(),
            status_code: request.status_code,
            body: request.body.clone(),
            headers: request.headers.clone(),
        }),
        tolerance_blocks: message.tolerance_blocks,
        unhealthy_threshold: message.unhealthy_threshold,
        healthy_threshold: message.healthy_threshold,
    }
}

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
    let proxy = match message.proxy_host.as_str() {
        "" => None,
        text => reader.text("proxy_host", text),
    };
    let upstream = (|| {
        Some(Upstream {
            id: id?,
            route_id: route_id?,
            target: target?,
            weight: weight?,
            proxy,
        })
    })();
    reader.finish(upstream)
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

/// Reads a recommendation.
///
/// # Errors
/// Every broken rule of its fields.
pub fn recommendation_from_wire(message: &v1::Recommendation) -> Result<Recommendation, Vec<Violation>> {
    use v1::RecommendationStrategy as Wire;
    let mut reader = Reader::default();
    let route_id = reader.text("route_id", &message.route_id);
    let network = reader.text("network", &message.network);
    let schedule = reader.text("schedule", &message.schedule);
    let strategy = reader.word("strategy", message.strategy, |value| match value {
        Wire::Unspecified => None,
        Wire::Custom => Some(RecommendationStrategy::Custom),
        Wire::HighestBlock => Some(RecommendationStrategy::HighestBlock),
        Wire::AreaUnderTheCurve => Some(RecommendationStrategy::AreaUnderTheCurve),
        Wire::RateLimit => Some(RecommendationStrategy::RateLimit),
        Wire::AreaBlockNumber => Some(RecommendationStrategy::AreaBlockNumber),
        Wire::AirUnderTheCurve => Some(RecommendationStrategy::AirUnderTheCurve),
    });
    let recommendation = (|| {
        Some(Recommendation {
            route_id: route_id?,
            network: network?,
            schedule: schedule?,
            strategy: strategy?,
        })
    })();
    reader.finish(recommendation)
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
