//! Routes as messages.

use tyrscale_proto::v1;

use super::{methods_to_wire, texts};
use crate::{
    CircuitBreaker, Consistency, Cors, HealthCheck, HealthCheckType, LoadBalancer, Retry, Route, RouteLimits,
    Tiers, WrongLogIndexes,
};

pub(super) fn to_wire(route: &Route) -> v1::Route {
    v1::Route {
        id: route.id.to_string(),
        host: route.host.clone(),
        path: route.path.clone(),
        load_balancer: load_balancer(route.load_balancer).into(),
        circuit_breaker: route.circuit_breaker.map(circuit_breaker),
        health_check: route.health_check.as_ref().map(health_check),
        retry: route.retry.map(retry),
        limits: route.limits.as_deref().map(limits),
        methods: route.methods.as_ref().map(methods_to_wire),
        cors: route.cors.as_deref().map(cors),
        broadcast_transactions: route.broadcast_transactions,
        concurrent_requests: route.concurrent_requests,
        slow_start_ms: route.slow_start_ms,
        hedge_delay_ms: route.hedge_delay_ms,
        tiers: route.tiers.map(tiers),
        forward_headers: texts(&route.forward_headers),
        consistency: route.consistency.map(consistency),
        meta: None,
    }
}

const fn load_balancer(load_balancer: LoadBalancer) -> v1::LoadBalancer {
    match load_balancer {
        LoadBalancer::WeightRoundRobin => v1::LoadBalancer::WeightRoundRobin,
        LoadBalancer::LeastLoad => v1::LoadBalancer::LeastLoad,
        LoadBalancer::FailoverPriority => v1::LoadBalancer::FailoverPriority,
        LoadBalancer::Concurrent => v1::LoadBalancer::Concurrent,
        LoadBalancer::P2cPeakEwma => v1::LoadBalancer::P2cPeakEwma,
    }
}

const fn circuit_breaker(breaker: CircuitBreaker) -> v1::CircuitBreaker {
    v1::CircuitBreaker {
        enabled: breaker.enabled,
        max_requests: breaker.max_requests,
        max_consecutive_failures: breaker.max_consecutive_failures,
        interval_ms: breaker.interval_ms,
        timeout_ms: breaker.timeout_ms,
        failure_percent: breaker.failure_percent,
        failure_min_samples: breaker.failure_min_samples,
        jitter_percent: breaker.jitter_percent,
    }
}

fn health_check(check: &HealthCheck) -> v1::HealthCheck {
    let check_type = match check.check {
        None => v1::HealthCheckType::Unspecified,
        Some(HealthCheckType::EthBlockNumber) => v1::HealthCheckType::EthBlockNumber,
        Some(HealthCheckType::EthSyncing) => v1::HealthCheckType::EthSyncing,
        Some(HealthCheckType::Custom) => v1::HealthCheckType::Custom,
    };
    v1::HealthCheck {
        enabled: check.enabled,
        r#type: check_type.into(),
        combined_with_circuit_breaker: check.combined_with_circuit_breaker,
        interval_ms: check.interval_ms,
        timeout_ms: check.timeout_ms,
        request: check.request.as_ref().map(|request| v1::HealthCheckRequest {
            method: request.method.clone(),
            status_code: request.status_code,
            body: request.body.clone(),
            headers: request.headers.clone(),
        }),
        tolerance_blocks: check.tolerance_blocks,
        unhealthy_threshold: check.unhealthy_threshold,
        healthy_threshold: check.healthy_threshold,
        passive: check.passive,
        check_chain_id: check.check_chain_id,
        min_peers: check.min_peers,
        wrong_log_indexes: match check.wrong_log_indexes {
            None => v1::WrongLogIndexes::Unspecified,
            Some(WrongLogIndexes::Warn) => v1::WrongLogIndexes::Warn,
            Some(WrongLogIndexes::Exclude) => v1::WrongLogIndexes::Exclude,
        }
        .into(),
        min_call_result_bytes: check.min_call_result_bytes,
    }
}

const fn retry(retry: Retry) -> v1::Retry {
    v1::Retry {
        max_attempts: retry.max_attempts,
        same_upstream_attempts: retry.same_upstream_attempts,
        backoff_ms: retry.backoff_ms,
        backoff_max_ms: retry.backoff_max_ms,
        attempt_timeout_ms: retry.attempt_timeout_ms,
        request_timeout_ms: retry.request_timeout_ms,
        budget_percent: retry.budget_percent,
        budget_min_per_second: retry.budget_min_per_second,
    }
}

fn limits(limits: &RouteLimits) -> v1::RouteLimits {
    let key_header = limits.client_key_header.as_ref();
    v1::RouteLimits {
        requests_per_second: limits.requests_per_second,
        burst: limits.burst,
        client_requests_per_second: limits.client_requests_per_second,
        client_burst: limits.client_burst,
        client_key_header: key_header.map(ToString::to_string).unwrap_or_default(),
        exempt_networks: texts(&limits.exempt_networks),
        max_batch: limits.max_batch,
        max_body_bytes: limits.max_body_bytes,
        message: limits.message.clone(),
    }
}

fn cors(cors: &Cors) -> v1::Cors {
    v1::Cors {
        allowed_origins: texts(&cors.allowed_origins),
        allowed_headers: texts(&cors.allowed_headers),
        exposed_headers: texts(&cors.exposed_headers),
        allow_credentials: cors.allow_credentials,
        max_age_s: cors.max_age_s,
    }
}

const fn tiers(tiers: Tiers) -> v1::Tiers {
    v1::Tiers {
        overprovisioning_percent: tiers.overprovisioning_percent,
        return_after_ms: tiers.return_after_ms,
    }
}

const fn consistency(consistency: Consistency) -> v1::Consistency {
    v1::Consistency {
        rewrite_block_tags: consistency.rewrite_block_tags,
        max_log_range: consistency.max_log_range,
        empty_lookups_elsewhere: consistency.empty_lookups_elsewhere,
        max_height_jump: consistency.max_height_jump,
    }
}
