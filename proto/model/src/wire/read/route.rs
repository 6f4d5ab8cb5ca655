//! From messages of routes to the model.

use tyrscale_proto::v1;

use super::{Reader, methods_from_wire};
use crate::{
    CircuitBreaker, Consistency, Cors, HealthCheck, HealthCheckRequest, HealthCheckType, LoadBalancer, Retry,
    Route, RouteLimits, Tiers, Violation, WrongLogIndexes,
    header::{parse_free_name, parse_name},
    route::parse_network,
};

/// Reads a route.
///
/// # Errors
/// Every broken rule of its fields.
pub fn route_from_wire(message: &v1::Route) -> Result<Route, Vec<Violation>> {
    let mut reader = Reader::default();
    let id = reader.text("id", &message.id);
    let load_balancer = reader.word("load_balancer", message.load_balancer, |value| {
        Some(match value {
            v1::LoadBalancer::WeightRoundRobin => LoadBalancer::WeightRoundRobin,
            v1::LoadBalancer::LeastLoad => LoadBalancer::LeastLoad,
            v1::LoadBalancer::FailoverPriority => LoadBalancer::FailoverPriority,
            v1::LoadBalancer::Concurrent => LoadBalancer::Concurrent,
            v1::LoadBalancer::Unspecified | v1::LoadBalancer::P2cPeakEwma => LoadBalancer::P2cPeakEwma,
        })
    });
    let health_check = message
        .health_check
        .as_ref()
        .map(|check| health_check_from_wire(&mut reader, check));
    let limits = message
        .limits
        .as_ref()
        .map(|limits| Box::new(limits_from_wire(&mut reader, limits)));
    let methods = message
        .methods
        .as_ref()
        .map(|methods| methods_from_wire(&mut reader, methods));
    let cors = message
        .cors
        .as_ref()
        .map(|cors| Box::new(cors_from_wire(&mut reader, cors)));
    let forward_headers = reader.items("forward_headers", &message.forward_headers, parse_free_name);
    let route = (|| {
        Some(Route {
            id: id?,
            host: message.host.clone(),
            path: message.path.clone(),
            load_balancer: load_balancer?,
            circuit_breaker: message.circuit_breaker.map(circuit_breaker_from_wire),
            health_check,
            retry: message.retry.map(retry_from_wire),
            limits,
            methods,
            cors,
            broadcast_transactions: message.broadcast_transactions,
            concurrent_requests: message.concurrent_requests,
            slow_start_ms: message.slow_start_ms,
            hedge_delay_ms: message.hedge_delay_ms,
            tiers: message.tiers.map(tiers_from_wire),
            forward_headers,
            consistency: message.consistency.map(consistency_from_wire),
        })
    })();
    reader.finish_checked(route, Route::violations)
}

const fn circuit_breaker_from_wire(message: v1::CircuitBreaker) -> CircuitBreaker {
    CircuitBreaker {
        enabled: message.enabled,
        max_requests: message.max_requests,
        max_consecutive_failures: message.max_consecutive_failures,
        interval_ms: message.interval_ms,
        timeout_ms: message.timeout_ms,
        failure_percent: message.failure_percent,
        failure_min_samples: message.failure_min_samples,
        jitter_percent: message.jitter_percent,
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
        passive: message.passive,
        check_chain_id: message.check_chain_id,
        min_peers: message.min_peers,
        wrong_log_indexes: wrong_log_indexes(reader, message.wrong_log_indexes),
        min_call_result_bytes: message.min_call_result_bytes,
    }
}

fn wrong_log_indexes(reader: &mut Reader, number: i32) -> Option<WrongLogIndexes> {
    if number == v1::WrongLogIndexes::Unspecified as i32 {
        return None;
    }
    reader.word("health_check.wrong_log_indexes", number, |value| match value {
        v1::WrongLogIndexes::Unspecified => None,
        v1::WrongLogIndexes::Warn => Some(WrongLogIndexes::Warn),
        v1::WrongLogIndexes::Exclude => Some(WrongLogIndexes::Exclude),
    })
}

const fn retry_from_wire(message: v1::Retry) -> Retry {
    Retry {
        max_attempts: message.max_attempts,
        same_upstream_attempts: message.same_upstream_attempts,
        backoff_ms: message.backoff_ms,
        backoff_max_ms: message.backoff_max_ms,
        attempt_timeout_ms: message.attempt_timeout_ms,
        request_timeout_ms: message.request_timeout_ms,
        budget_percent: message.budget_percent,
        budget_min_per_second: message.budget_min_per_second,
    }
}

fn limits_from_wire(reader: &mut Reader, message: &v1::RouteLimits) -> RouteLimits {
    let client_key_header = match message.client_key_header.as_str() {
        "" => None,
        name => reader.take("limits.client_key_header", parse_name(name)),
    };
    RouteLimits {
        requests_per_second: message.requests_per_second,
        burst: message.burst,
        client_requests_per_second: message.client_requests_per_second,
        client_burst: message.client_burst,
        client_key_header,
        exempt_networks: reader.items("limits.exempt_networks", &message.exempt_networks, parse_network),
        max_batch: message.max_batch,
        max_body_bytes: message.max_body_bytes,
        message: message.message.clone(),
    }
}

fn cors_from_wire(reader: &mut Reader, message: &v1::Cors) -> Cors {
    Cors {
        allowed_origins: reader.items("cors.allowed_origins", &message.allowed_origins, str::parse),
        allowed_headers: reader.items("cors.allowed_headers", &message.allowed_headers, parse_name),
        exposed_headers: reader.items("cors.exposed_headers", &message.exposed_headers, parse_name),
        allow_credentials: message.allow_credentials,
        max_age_s: message.max_age_s,
    }
}

const fn tiers_from_wire(message: v1::Tiers) -> Tiers {
    Tiers {
        overprovisioning_percent: message.overprovisioning_percent,
        return_after_ms: message.return_after_ms,
    }
}

const fn consistency_from_wire(message: v1::Consistency) -> Consistency {
    Consistency {
        rewrite_block_tags: message.rewrite_block_tags,
        max_log_range: message.max_log_range,
        empty_lookups_elsewhere: message.empty_lookups_elsewhere,
        max_height_jump: message.max_height_jump,
    }
}
