//! What a scrape contains.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use tyrscale_telemetry::catalogue::{
    BUILD_INFO, CONFIG_REVISION, DISCOVERY_NACKS_TOTAL, GATEWAY_CONFIG_AGE_SECONDS,
    STATUS_429_RESPONSES_TOTAL, UNROUTED_REQUESTS_TOTAL, UPSTREAM_DURATION_SECONDS, UPSTREAM_HEALTHY,
    UPSTREAM_TOTAL_REQUESTS,
};
use tyrscale_telemetry::{AtomicHistogram, MetricInfo, Metrics, Service, TelemetryError};

fn scrape(metrics: &Metrics) -> String {
    String::from_utf8(metrics.render().unwrap().1).unwrap()
}

#[test]
fn a_metric_is_scraped_under_its_catalogue_name_and_kind() {
    let metrics = Metrics::new(Service::Gateway).unwrap();
    let upstream = ["r", "localhost/", "u", "http://node"];
    metrics.counter(&UNROUTED_REQUESTS_TOTAL).unwrap().add(1, []);
    metrics
        .observe_counter(&UPSTREAM_TOTAL_REQUESTS, move |it| it.observe(1, upstream))
        .unwrap();
    metrics
        .observe_counter(&STATUS_429_RESPONSES_TOTAL, move |it| it.observe(1, upstream))
        .unwrap();
    metrics
        .observe_gauge(&GATEWAY_CONFIG_AGE_SECONDS, |it| it.observe(1.5, []))
        .unwrap();
    metrics
        .observe_gauge(&UPSTREAM_HEALTHY, |it| it.observe(1.0, ["r", "u"]))
        .unwrap();
    metrics
        .observe_histogram(&UPSTREAM_DURATION_SECONDS, move || {
            vec![(upstream.map(str::to_owned), AtomicHistogram::default().snapshot())]
        })
        .unwrap();

    let type_line = |info: MetricInfo| format!("# TYPE {} {}", info.name, info.kind.as_str());
    let mut expected = [
        BUILD_INFO.info(),
        UNROUTED_REQUESTS_TOTAL.info(),
        UPSTREAM_TOTAL_REQUESTS.info(),
        STATUS_429_RESPONSES_TOTAL.info(),
        GATEWAY_CONFIG_AGE_SECONDS.info(),
        UPSTREAM_HEALTHY.info(),
        UPSTREAM_DURATION_SECONDS.info(),
    ]
    .map(type_line);
    expected.sort();
    let text = scrape(&metrics);
    let mut scraped: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    scraped.sort_unstable();
    assert_eq!(scraped, expected);
    assert!(
        text.lines()
            .any(|line| line == "tyrscale_unrouted_requests_total 1"),
        "{text}"
    );
    assert!(
        text.lines()
            .any(|line| line == "tyrscale_gateway_config_age_seconds 1.5"),
        "{text}"
    );
    assert!(!text.contains("otel_"), "{text}");
}

#[test]
fn two_services_in_one_process_do_not_mix() {
    let gateway = Metrics::new(Service::Gateway).unwrap();
    let control_plane = Metrics::new(Service::ControlPlane).unwrap();
    gateway.counter(&UNROUTED_REQUESTS_TOTAL).unwrap().add(1, []);
    control_plane
        .counter(&DISCOVERY_NACKS_TOTAL)
        .unwrap()
        .add(1, ["invalid"]);

    let (gateway, control_plane) = (scrape(&gateway), scrape(&control_plane));
    assert!(gateway.contains("tyrscale_unrouted_requests_total"));
    assert!(!gateway.contains("tyrscale_discovery_nacks_total"));
    assert!(control_plane.contains("tyrscale_discovery_nacks_total"));
    assert!(!control_plane.contains("tyrscale_unrouted_requests_total"));
    assert!(gateway.contains(r#"service="gateway""#) && control_plane.contains(r#"service="control-plane""#));
}

#[test]
fn a_metric_is_set_up_once_and_only_by_its_service() {
    let metrics = Metrics::new(Service::Gateway).unwrap();
    metrics.counter(&UNROUTED_REQUESTS_TOTAL).unwrap();
    let again = metrics.counter(&UNROUTED_REQUESTS_TOTAL);
    assert!(matches!(
        again,
        Err(TelemetryError::AlreadyRegistered {
            name: "tyrscale_unrouted_requests_total"
        })
    ));
    let foreign = metrics.observe_gauge(&CONFIG_REVISION, |_| {});
    assert!(matches!(foreign, Err(TelemetryError::ForeignMetric { .. })));
}

#[test]
fn more_than_two_thousand_series_keep_their_labels() {
    let metrics = Metrics::new(Service::Gateway).unwrap();
    metrics
        .observe_gauge(&UPSTREAM_HEALTHY, |it| {
            (0..5_000).for_each(|id| it.observe(1.0, ["r", &id.to_string()]));
        })
        .unwrap();
    let text = scrape(&metrics);
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("tyrscale_upstream_healthy{"))
            .count(),
        5_000
    );
    assert!(!text.contains("overflow"));
}

#[test]
fn a_panicking_reader_costs_its_own_samples_only() {
    let metrics = Metrics::new(Service::Gateway).unwrap();
    metrics
        .observe_gauge(&UPSTREAM_HEALTHY, |_| panic!("reader of the health table"))
        .unwrap();
    metrics
        .observe_histogram(&UPSTREAM_DURATION_SECONDS, || panic!("reader of the latencies"))
        .unwrap();
    metrics
        .observe_gauge(&GATEWAY_CONFIG_AGE_SECONDS, |it| it.observe(2.0, []))
        .unwrap();
    for _ in 0..2 {
        assert!(scrape(&metrics).contains("tyrscale_gateway_config_age_seconds 2"));
    }
}

#[test]
fn label_values_are_escaped() {
    let metrics = Metrics::new(Service::Gateway).unwrap();
    let histogram = AtomicHistogram::with_bounds([Duration::from_secs(1)]);
    metrics
        .observe_histogram(&UPSTREAM_DURATION_SECONDS, move || {
            vec![(
                ["r", "a\"b\\c\nd", "u", ""].map(str::to_owned),
                histogram.snapshot(),
            )]
        })
        .unwrap();
    assert!(scrape(&metrics).contains(r#"route_url="a\"b\\c\nd""#));
}
