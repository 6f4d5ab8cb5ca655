//! Every rule refuses what breaks it, by the path of the field.

use super::*;

/// The fields refused of a route changed so.
fn of_route(change: impl FnOnce(&mut v1::Route)) -> Vec<String> {
    let mut message = route();
    change(&mut message);
    match put(&empty(), vec![Wire::Route(message)]) {
        Ok(_) => Vec::new(),
        Err(rejection) => fields(rejection),
    }
}

fn of_upstream(change: impl FnOnce(&mut v1::Upstream)) -> Vec<String> {
    let mut message = upstream();
    change(&mut message);
    match put(&empty(), vec![Wire::Route(route()), Wire::Upstream(message)]) {
        Ok(_) => Vec::new(),
        Err(rejection) => fields(rejection),
    }
}

fn of_breaker(breaker: v1::CircuitBreaker) -> Vec<String> {
    of_route(|route| route.circuit_breaker = Some(breaker))
}

fn of_retry(retry: v1::Retry) -> Vec<String> {
    of_route(|route| route.retry = Some(retry))
}

fn of_limits(limits: v1::RouteLimits) -> Vec<String> {
    of_route(|route| route.limits = Some(limits))
}

fn of_cors(origins: &[&str], change: impl FnOnce(&mut v1::Cors)) -> Vec<String> {
    let mut cors = v1::Cors {
        allowed_origins: texts(origins),
        ..v1::Cors::default()
    };
    change(&mut cors);
    of_route(|route| route.cors = Some(cors))
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn a_route_without_a_load_balancer_takes_the_better_of_two() {
    let message = v1::Route {
        load_balancer: v1::LoadBalancer::Unspecified.into(),
        ..route()
    };
    let Ok(Resource::Route(route)) = read(Wire::Route(message)) else {
        panic!("a route")
    };
    assert_eq!(route.load_balancer, tyrscale_model::LoadBalancer::P2cPeakEwma);
}

#[test]
fn a_breakers_share_of_failures_is_a_percentage_with_enough_samples() {
    let share = |failure_percent, failure_min_samples, jitter_percent| v1::CircuitBreaker {
        failure_percent,
        failure_min_samples,
        jitter_percent,
        ..v1::CircuitBreaker::default()
    };
    assert_eq!(of_breaker(share(50, 100, 100)), NONE);
    assert_eq!(
        of_breaker(share(101, 100_001, 101)),
        [
            "circuit_breaker.failure_percent",
            "circuit_breaker.failure_min_samples",
            "circuit_breaker.jitter_percent"
        ]
    );
    assert_eq!(
        of_breaker(share(0, 5, 0)),
        ["circuit_breaker.failure_min_samples"]
    );
}

#[test]
fn retries_are_bounded_and_their_times_agree() {
    let good = v1::Retry {
        max_attempts: 32,
        same_upstream_attempts: Some(0),
        backoff_ms: Some(0),
        backoff_max_ms: 60_000,
        attempt_timeout_ms: 1000,
        request_timeout_ms: 1000,
        budget_percent: Some(0),
        budget_min_per_second: Some(0),
    };
    assert_eq!(of_retry(good), NONE);
    let all = v1::Retry {
        max_attempts: 33,
        same_upstream_attempts: Some(9),
        backoff_ms: Some(60_001),
        backoff_max_ms: 60_001,
        attempt_timeout_ms: 3_600_001,
        request_timeout_ms: 3_600_001,
        budget_percent: Some(101),
        budget_min_per_second: Some(100_001),
    };
    assert_eq!(of_retry(all).len(), 8);
    let times = v1::Retry {
        backoff_ms: Some(100),
        backoff_max_ms: 50,
        attempt_timeout_ms: 2000,
        request_timeout_ms: 1000,
        ..v1::Retry::default()
    };
    assert_eq!(
        of_retry(times),
        ["retry.backoff_max_ms", "retry.attempt_timeout_ms"]
    );
}

#[test]
fn a_rate_is_a_finite_number_and_what_belongs_to_it_needs_it() {
    let rate = |requests_per_second| v1::RouteLimits {
        requests_per_second,
        client_requests_per_second: requests_per_second,
        ..v1::RouteLimits::default()
    };
    for good in [0.0, -0.0, 0.001, 0.5, 1e6] {
        assert_eq!(of_limits(rate(good)), NONE, "{good}");
    }
    for bad in [f64::NAN, f64::INFINITY, -1.0, 0.0001, 1e6 + 1.0] {
        let expected = ["limits.requests_per_second", "limits.client_requests_per_second"];
        assert_eq!(of_limits(rate(bad)), expected, "{bad}");
    }
    let alone = v1::RouteLimits {
        burst: 1,
        client_burst: 1,
        client_key_header: "x-api-key".to_owned(),
        exempt_networks: texts(&["10.0.0.0/8"]),
        message: "slow down".to_owned(),
        ..v1::RouteLimits::default()
    };
    let expected = [
        "burst",
        "client_burst",
        "client_key_header",
        "exempt_networks",
        "message",
    ];
    assert_eq!(
        of_limits(alone.clone()),
        expected.map(|field| format!("limits.{field}"))
    );
    let with_rates = v1::RouteLimits {
        requests_per_second: 1.0,
        client_requests_per_second: 1.0,
        ..alone
    };
    assert_eq!(of_limits(with_rates), NONE);
}

#[test]
fn limits_are_bounded_and_their_texts_are_read() {
    let limits = v1::RouteLimits {
        requests_per_second: 1.0,
        client_requests_per_second: 1.0,
        burst: 1_000_001,
        client_key_header: "x api".to_owned(),
        exempt_networks: texts(&["10.0.0.0/8", "localhost", "::1"]),
        max_batch: 100_001,
        message: "a\nb".to_owned(),
        ..v1::RouteLimits::default()
    };
    let mut found = of_limits(limits);
    found.sort();
    let expected = [
        "burst",
        "client_key_header",
        "exempt_networks",
        "max_batch",
        "message",
    ];
    assert_eq!(found, expected.map(|field| format!("limits.{field}")));
    let twice = v1::RouteLimits {
        requests_per_second: 1.0,
        exempt_networks: texts(&["10.1.0.0/8", "10.2.0.0/8"]),
        ..v1::RouteLimits::default()
    };
    assert_eq!(of_limits(twice), ["limits.exempt_networks"], "one network, twice");
}

#[test]
fn method_patterns_are_read_on_routes_and_rpcs() {
    let methods = |allow: &[&str], ignore: &[&str]| v1::MethodFilter {
        allow: texts(allow),
        ignore: texts(ignore),
    };
    let refused = |filter: v1::MethodFilter| of_route(|route| route.methods = Some(filter));
    assert_eq!(refused(methods(&["eth_*", "*"], &["debug_*"])), NONE);
    assert_eq!(
        refused(methods(&["eth call"], &[""])),
        ["methods.allow", "methods.ignore"]
    );
    assert_eq!(refused(methods(&["a"], &["a"])), ["methods.ignore"]);
    let of_rpc = |filter: v1::MethodFilter| {
        let message = v1::Rpc {
            methods: Some(filter),
            ..rpc()
        };
        put(&empty(), vec![Wire::Network(network()), Wire::Rpc(message)])
    };
    assert!(of_rpc(methods(&[], &["debug_*"])).is_ok());
    assert_eq!(
        fields(of_rpc(methods(&["a", "a"], &[])).unwrap_err()),
        ["methods.allow"]
    );
}

#[test]
fn cors_names_origins_and_no_star_with_credentials() {
    assert_eq!(of_cors(&["*"], |_| ()), NONE);
    assert_eq!(
        of_cors(&["https://*.example.com", "http://a:1"], |cors| cors
            .allow_credentials =
            true),
        NONE
    );
    assert_eq!(of_cors(&[], |_| ()), ["cors.allowed_origins"]);
    assert_eq!(
        of_cors(&["a.example"], |_| ()),
        ["cors.allowed_origins"],
        "told once"
    );
    assert_eq!(
        of_cors(&["http://a", "HTTP://A:80"], |_| ()),
        ["cors.allowed_origins"]
    );
    let stars = of_cors(&["*"], |cors| {
        cors.allow_credentials = true;
        cors.allowed_headers = texts(&["*"]);
        cors.exposed_headers = texts(&["*", "bad name"]);
        cors.max_age_s = 86_401;
    });
    let mut expected = [
        "exposed_headers",
        "allowed_origins",
        "allowed_headers",
        "max_age_s",
    ];
    expected.sort_unstable();
    let mut stars = stars;
    stars.sort();
    assert_eq!(stars, expected.map(|field| format!("cors.{field}")));
}

#[test]
fn what_a_request_goes_to_at_once_is_bounded() {
    let refused = of_route(|route| {
        route.broadcast_transactions = 9;
        route.concurrent_requests = 1;
        route.slow_start_ms = 3_600_001;
        route.hedge_delay_ms = 60_001;
        route.tiers = Some(v1::Tiers {
            overprovisioning_percent: 99,
            return_after_ms: Some(3_600_001),
        });
    });
    let expected = [
        "broadcast_transactions",
        "concurrent_requests",
        "slow_start_ms",
        "hedge_delay_ms",
        "tiers.overprovisioning_percent",
        "tiers.return_after_ms",
    ];
    assert_eq!(refused, expected);
    for count in [0, 2, 8] {
        assert_eq!(of_route(|route| route.concurrent_requests = count), NONE);
    }
    let both = of_route(|route| {
        route.load_balancer = v1::LoadBalancer::Concurrent.into();
        route.hedge_delay_ms = 1;
    });
    assert_eq!(both, ["hedge_delay_ms"]);
}

#[test]
fn only_headers_of_the_client_are_forwarded() {
    let refused = |names: &[&str]| of_route(|route| route.forward_headers = texts(names));
    assert_eq!(refused(&["Authorization", "cookie"]), NONE);
    for bad in [
        &["connection"][..],
        &["host"],
        &["a b"],
        &["Cookie", "cookie"],
        &["content-length"],
    ] {
        assert_eq!(refused(bad), ["forward_headers"], "{bad:?}");
    }
}

#[test]
fn an_upstreams_tier_limits_headers_and_protocol_are_checked_together() {
    let refused = of_upstream(|upstream| {
        upstream.tier = 8;
        upstream.protocol = 9;
        upstream.headers = [("Host".to_owned(), "x".to_owned())].into();
    });
    assert_eq!(refused, ["tier", "protocol", "headers"]);
    let refused = of_upstream(|upstream| {
        upstream.headers = [("bad name".to_owned(), "x".to_owned())].into();
        upstream.limits = Some(v1::UpstreamLimits {
            requests_per_second: f64::NAN,
            burst: 1_000_001,
            max_concurrent: 1_000_001,
        });
    });
    let expected = [
        "headers",
        "limits.requests_per_second",
        "limits.burst",
        "limits.max_concurrent",
    ];
    assert_eq!(refused, expected);
    let burst_alone = v1::UpstreamLimits {
        burst: 1,
        ..v1::UpstreamLimits::default()
    };
    assert_eq!(
        of_upstream(|upstream| upstream.limits = Some(burst_alone)),
        ["limits.burst"]
    );
}

#[test]
fn a_message_says_field_and_rule() {
    let limits = v1::RouteLimits {
        burst: 5,
        ..v1::RouteLimits::default()
    };
    let message = v1::Route {
        limits: Some(limits),
        ..route()
    };
    let refused = put(&empty(), vec![Wire::Route(message)]).unwrap_err().to_string();
    assert!(
        refused.contains("limits.burst: needs requests_per_second"),
        "{refused}"
    );
}

fn of_recommendation(change: impl FnOnce(&mut v1::Recommendation)) -> Vec<String> {
    let mut message = recommendation();
    change(&mut message);
    let read = match read(Wire::Recommendation(message.clone())) {
        Ok(_) => put(
            &empty(),
            vec![
                Wire::Network(network()),
                Wire::Route(route()),
                Wire::Recommendation(message),
            ],
        )
        .map(|_| ()),
        Err(rejection) => Err(rejection),
    };
    read.err().map(fields).unwrap_or_default()
}

#[test]
fn a_recommendation_needs_nothing_more_than_it_did() {
    let bare = v1::Recommendation {
        mode: 0,
        prior: 0,
        ..recommendation()
    };
    let Ok(Resource::Recommendation(read)) = read(Wire::Recommendation(bare)) else {
        panic!("a recommendation")
    };
    assert_eq!(read.mode, tyrscale_model::RecommendationMode::Apply);
    assert_eq!(read.prior, tyrscale_model::RecommendationPrior::Operator);
    assert_eq!(of_recommendation(|_| {}), NONE);
}

#[test]
fn guards_and_parameters_are_bounded() {
    let guards = v1::RecommendationGuards {
        min_samples: Some(0),
        hysteresis: Some(f64::NAN),
        min_dwell_s: Some(86_401),
        max_step: Some(0.0),
        floor_weight: Some(20.1),
        min_usable: Some(0),
        max_age_s: Some(0),
    };
    assert_eq!(
        of_recommendation(|message| message.guards = Some(guards)),
        [
            "guards.min_samples",
            "guards.hysteresis",
            "guards.min_dwell_s",
            "guards.max_step",
            "guards.floor_weight",
            "guards.min_usable",
            "guards.max_age_s",
        ]
    );
    let parameters = v1::RecommendationParameters {
        half_life_blocks: Some(0.0),
        latency_exponent: Some(-1.0),
        freshness_share: Some(0.0),
        latency_share: Some(0.0),
        error_share: Some(0.0),
        ..v1::RecommendationParameters::default()
    };
    assert_eq!(
        of_recommendation(|message| message.parameters = Some(parameters)),
        [
            "parameters.half_life_blocks",
            "parameters.latency_exponent",
            "parameters.freshness_share"
        ]
    );
    assert_eq!(of_recommendation(|message| message.window_s = 9), ["window_s"]);
}

#[test]
fn an_expression_is_checked_when_stored_and_only_for_the_custom_strategy() {
    let custom = |expression: &str, promql: &str| {
        of_recommendation(|message| {
            message.strategy = v1::RecommendationStrategy::Custom.into();
            message.expression = expression.to_owned();
            message.promql = promql.to_owned();
        })
    };
    assert_eq!(custom("", ""), NONE);
    assert_eq!(custom("1 / latency_s", ""), NONE);
    assert_eq!(custom("", "rate(x[1m])"), NONE);
    assert_eq!(custom("1 /", "rate(x[1m"), ["expression", "promql"]);
    assert_eq!(custom("1", "x"), ["promql"]);
    assert_eq!(
        of_recommendation(|message| {
            message.expression = "1".to_owned();
            message.promql = "x".to_owned();
        }),
        ["expression", "promql", "promql"]
    );
}

#[test]
fn prices_are_finite_and_not_below_nothing() {
    let message = v1::Rpc {
        prices: Some(v1::CallPrices {
            calls: -1.0,
            logs: Some(f64::INFINITY),
            ..v1::CallPrices::default()
        }),
        ..rpc()
    };
    let rejection = put(&empty(), vec![Wire::Network(network()), Wire::Rpc(message)]).unwrap_err();
    assert_eq!(fields(rejection), ["prices.calls", "prices.logs"]);
}
