//! Any message the rules let through reads and writes without loss.

use proptest::{collection::btree_map, option, prelude::*};
use tyrscale_model::wire::Exposure;

use super::*;

/// Nothing, or one to three texts of a set without duplicates.
fn some_of(set: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    proptest::sample::subsequence(set, 0..=set.len())
        .prop_map(|texts| texts.into_iter().map(str::to_owned).collect())
}

fn any_methods() -> impl Strategy<Value = v1::MethodFilter> {
    (
        some_of(&["eth_*", "net_version", "*Raw*"]),
        some_of(&["debug_*", "trace_*"]),
    )
        .prop_map(|(allow, ignore)| v1::MethodFilter { allow, ignore })
}

fn any_rate() -> impl Strategy<Value = (f64, u32)> {
    prop_oneof![Just((0.0, 0)), (0.001..1e6, 0u32..=1_000_000)]
}

fn any_breaker() -> impl Strategy<Value = v1::CircuitBreaker> {
    (
        any::<bool>(),
        any::<[u32; 4]>(),
        (1u32..=100, 0u32..=100_000),
        0u32..=100,
    )
        .prop_map(
            |(enabled, numbers, (failure_percent, failure_min_samples), jitter_percent)| {
                let [max_requests, max_consecutive_failures, interval_ms, timeout_ms] = numbers;
                v1::CircuitBreaker {
                    enabled,
                    max_requests,
                    max_consecutive_failures,
                    interval_ms,
                    timeout_ms,
                    failure_percent,
                    failure_min_samples,
                    jitter_percent,
                }
            },
        )
}

fn any_health_check() -> impl Strategy<Value = v1::HealthCheck> {
    let times = (1u32..=86_400_000, 1u32..=86_400_000);
    let presence = (any::<bool>(), option::of(any::<bool>()), option::of(any::<u32>()));
    let checks = (any::<u32>(), 0i32..=2, 0u32..=1_048_576);
    (
        0i32..=2,
        any::<bool>(),
        times,
        presence,
        any::<(u32, u32)>(),
        checks,
    )
        .prop_map(
            |(
                kind,
                combined,
                (interval_ms, timeout_ms),
                (passive, check_chain_id, tolerance_blocks),
                thresholds,
                (min_peers, wrong_log_indexes, min_call_result_bytes),
            )| {
                v1::HealthCheck {
                    enabled: kind != 0,
                    r#type: kind,
                    combined_with_circuit_breaker: combined,
                    interval_ms,
                    timeout_ms,
                    request: None,
                    tolerance_blocks,
                    unhealthy_threshold: thresholds.0,
                    healthy_threshold: thresholds.1,
                    passive,
                    check_chain_id,
                    min_peers,
                    wrong_log_indexes,
                    min_call_result_bytes,
                }
            },
        )
}

fn any_retry() -> impl Strategy<Value = v1::Retry> {
    let backoff = (option::of(0u32..=1000), 1000u32..=60_000);
    let timeouts = (0u32..=1000, 1000u32..=3_600_000);
    let budget = (option::of(0u32..=100), option::of(0u32..=100_000));
    (0u32..=32, option::of(0u32..=8), backoff, timeouts, budget).prop_map(
        |(max_attempts, same_upstream_attempts, backoff, timeouts, budget)| v1::Retry {
            max_attempts,
            same_upstream_attempts,
            backoff_ms: backoff.0,
            backoff_max_ms: backoff.1,
            attempt_timeout_ms: timeouts.0,
            request_timeout_ms: timeouts.1,
            budget_percent: budget.0,
            budget_min_per_second: budget.1,
        },
    )
}

fn any_limits() -> impl Strategy<Value = v1::RouteLimits> {
    let client = (
        0.001..1e6,
        0u32..=1_000_000,
        prop_oneof![Just(""), Just("x-api-key")],
    );
    let exempt = some_of(&["10.0.0.0/8", "::1/128"]);
    let sizes = (0u32..=100_000, any::<u64>());
    (any_rate(), client, exempt, sizes, "[ -~]{0,40}").prop_map(
        |(rate, client, exempt_networks, sizes, message)| v1::RouteLimits {
            requests_per_second: rate.0,
            burst: rate.1,
            client_requests_per_second: client.0,
            client_burst: client.1,
            client_key_header: client.2.to_owned(),
            exempt_networks,
            max_batch: sizes.0,
            max_body_bytes: sizes.1,
            message,
        },
    )
}

fn any_cors() -> impl Strategy<Value = v1::Cors> {
    let origins = proptest::sample::subsequence(
        &[
            "https://app.example",
            "https://*.example.com:8443",
            "http://[::1]:3000",
        ][..],
        1..=3,
    );
    let headers = (some_of(&["x-a", "x-b"]), some_of(&["x-c"]));
    (origins, headers, any::<bool>(), 0u32..=86_400).prop_map(
        |(origins, headers, allow_credentials, max_age_s)| v1::Cors {
            allowed_origins: origins.into_iter().map(str::to_owned).collect(),
            allowed_headers: headers.0,
            exposed_headers: headers.1,
            allow_credentials,
            max_age_s,
        },
    )
}

fn any_tiers() -> impl Strategy<Value = v1::Tiers> {
    let percent = prop_oneof![Just(0), 100u32..=1000];
    (percent, option::of(0u32..=3_600_000)).prop_map(|(overprovisioning_percent, return_after_ms)| {
        v1::Tiers {
            overprovisioning_percent,
            return_after_ms,
        }
    })
}

fn any_consistency() -> impl Strategy<Value = v1::Consistency> {
    (any::<(bool, u64, bool, u64)>()).prop_map(|(tags, range, empty, jump)| v1::Consistency {
        rewrite_block_tags: tags,
        max_log_range: range,
        empty_lookups_elsewhere: empty,
        max_height_jump: jump,
    })
}

fn any_route() -> impl Strategy<Value = v1::Route> {
    let health = (
        option::of(any_breaker()),
        option::of(any_health_check()),
        option::of(any_retry()),
    );
    let clients = (
        option::of(any_limits()),
        option::of(any_methods()),
        option::of(any_cors()),
    );
    let counts = (0u32..=8, 2u32..=8, 0u32..=3_600_000);
    let answers = (
        option::of(any_tiers()),
        some_of(&["authorization", "cookie"]),
        option::of(any_consistency()),
    );
    (1i32..=5, health, clients, counts, answers).prop_map(
        |(load_balancer, health, clients, counts, answers)| v1::Route {
            load_balancer,
            circuit_breaker: health.0,
            health_check: health.1,
            retry: health.2,
            limits: clients.0,
            methods: clients.1,
            cors: clients.2,
            broadcast_transactions: counts.0,
            concurrent_requests: counts.1,
            slow_start_ms: counts.2,
            hedge_delay_ms: if load_balancer == v1::LoadBalancer::Concurrent as i32 {
                0
            } else {
                counts.2 % 60_001
            },
            tiers: answers.0,
            forward_headers: answers.1,
            consistency: answers.2,
            ..route()
        },
    )
}

fn any_upstream() -> impl Strategy<Value = v1::Upstream> {
    let limits = (any_rate(), 0u32..=1_000_000).prop_map(|((requests_per_second, burst), max_concurrent)| {
        v1::UpstreamLimits {
            requests_per_second,
            burst,
            max_concurrent,
        }
    });
    let headers = btree_map("x-[a-z0-9]{1,8}", "[!-~]([ -~]{0,20}[!-~])?", 0..4);
    (
        0.0..100.0,
        0u32..=7,
        option::of(limits),
        headers,
        0i32..=2,
        any::<bool>(),
        0i32..=4,
    )
        .prop_map(
            |(weight, tier, limits, headers, protocol, cordoned, receipts_method)| v1::Upstream {
                weight,
                tier,
                limits,
                // The mask itself is the one value that cannot be stored.
                headers: headers.into_iter().filter(|(_, value)| value != "***").collect(),
                protocol,
                cordoned,
                receipts_method,
                ..upstream()
            },
        )
}

fn any_prices() -> impl Strategy<Value = v1::CallPrices> {
    let price = || option::of(0.0..1e9);
    (0.0..1e9, price(), price(), price()).prop_map(|(calls, logs, traces, transactions)| v1::CallPrices {
        calls,
        logs,
        traces,
        transactions,
    })
}

fn any_guards() -> impl Strategy<Value = v1::RecommendationGuards> {
    let counts = (
        option::of(1u32..=1_000_000),
        option::of(0u32..=86_400),
        option::of(1u32..=100),
    );
    let points = (
        option::of(0.0..100.0),
        option::of(0.1..100.0),
        option::of(0.0..20.0),
    );
    (counts, points, option::of(1u32..=86_400)).prop_map(|(counts, points, max_age_s)| {
        v1::RecommendationGuards {
            min_samples: counts.0,
            hysteresis: points.0,
            min_dwell_s: counts.1,
            max_step: points.1,
            floor_weight: points.2,
            min_usable: counts.2,
            max_age_s,
        }
    })
}

fn any_parameters() -> impl Strategy<Value = v1::RecommendationParameters> {
    let numbers = || proptest::array::uniform8(option::of(0.01..10.0));
    (numbers(), numbers()).prop_map(|(first, second)| v1::RecommendationParameters {
        tolerance_blocks: first[0],
        half_life_blocks: first[1],
        half_life_error_percent: first[2],
        latency_exponent: first[3],
        price_exponent: first[4],
        quality_exponent: first[5],
        headroom_percent: first[6],
        freshness_share: first[7],
        latency_share: second[0],
        error_share: second[1],
        price_share: second[2],
        calls_mix: second[3],
        logs_mix: second[4],
        traces_mix: second[5],
        transactions_mix: second[6],
    })
}

fn any_recommendation() -> impl Strategy<Value = v1::Recommendation> {
    let words = (2i32..=10, 1i32..=3, 1i32..=2, 10u32..=86_400);
    (words, option::of(any_guards()), option::of(any_parameters())).prop_map(
        |((strategy, mode, prior, window_s), guards, parameters)| v1::Recommendation {
            strategy,
            mode,
            prior,
            window_s,
            guards,
            parameters,
            ..recommendation()
        },
    )
}

fn roundtrip(message: Wire) -> Result<(), TestCaseError> {
    let resource = read(message.clone()).unwrap();
    let written = wire::resource_to_wire(&resource, Exposure::Full);
    prop_assert_eq!(written.resource.as_ref(), Some(&message));
    let decoded = wire::decode_payload(resource.key().kind, &resource.payload());
    prop_assert_eq!(decoded, Ok(resource));
    Ok(())
}

proptest! {
    #[test]
    fn routes(message in any_route()) {
        roundtrip(Wire::Route(message))?;
    }

    #[test]
    fn upstreams(message in any_upstream()) {
        roundtrip(Wire::Upstream(message))?;
    }

    #[test]
    fn rpcs(methods in option::of(any_methods()), prices in option::of(any_prices())) {
        roundtrip(Wire::Rpc(v1::Rpc { methods, prices, ..rpc() }))?;
    }

    #[test]
    fn recommendations(message in any_recommendation()) {
        roundtrip(Wire::Recommendation(message))?;
    }
}
