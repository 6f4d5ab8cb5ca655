//! Every metric of the system, a file for each who counts.
//!
//! Names are as scraped. Rules: snake case, base units, `_total` for counters. Seven names are inherited; all others
//! begin with `tyrscale_`. Label values are ids or words of closed sets; a URL label never carries user information, a
//! query or a secret path segment.

use crate::metric::MetricInfo;

mod control_plane;
mod exporter;
mod gateway;
mod recommender;
mod routes;
mod shared;

pub use control_plane::*;
pub use exporter::*;
pub use gateway::*;
pub use recommender::*;
pub use routes::*;
pub use shared::*;

/// Metrics that are documented under one heading.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// In the order of the documentation.
    pub metrics: &'static [MetricInfo],
}

/// The whole catalogue.
pub const SECTIONS: [Section; 6] = [
    Section::new("Routes and upstreams", routes::METRICS),
    Section::new("Gateway", gateway::METRICS),
    Section::new("Control plane", control_plane::METRICS),
    Section::new("Exporter", exporter::METRICS),
    Section::new("Recommender", recommender::METRICS),
    Section::new("Several services", shared::METRICS),
];

impl Section {
    const fn new(title: &'static str, metrics: &'static [MetricInfo]) -> Self {
        Self { title, metrics }
    }
}

/// Every metric there is.
pub fn all() -> impl Iterator<Item = &'static MetricInfo> {
    SECTIONS.iter().flat_map(|section| section.metrics)
}

#[cfg(test)]
mod tests {
    use super::{UPSTREAM_TOTAL_REQUESTS, all};
    use crate::metric::{MetricKind, Unit};
    use std::collections::BTreeSet;

    const INHERITED: [&str; 7] = [
        "route_http_request_duration_seconds",
        "route_requests_total",
        "status_429_responses_total",
        "upstream_duration_seconds",
        "upstream_failures_total",
        "upstream_successes_total",
        "upstream_total_requests",
    ];

    fn is_snake_case(name: &str) -> bool {
        let word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        name.starts_with(|first: char| first.is_ascii_lowercase()) && name.split('_').all(word)
    }

    #[test]
    fn a_name_is_used_once() {
        let names: BTreeSet<_> = all().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all().count());
    }

    #[test]
    fn only_the_seven_inherited_names_lack_the_prefix() {
        let bare: BTreeSet<_> = all()
            .map(|metric| metric.name)
            .filter(|name| !name.starts_with("tyrscale_"))
            .collect();
        assert_eq!(bare, BTreeSet::from(INHERITED));
    }

    #[test]
    fn names_and_labels_are_snake_case() {
        for metric in all() {
            assert!(is_snake_case(metric.name), "{}", metric.name);
            let labels: BTreeSet<_> = metric.labels.iter().collect();
            assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
            assert!(
                metric.labels.iter().all(|label| is_snake_case(label)),
                "{}",
                metric.name
            );
            assert!(!metric.labels.contains(&"le"), "{}", metric.name);
        }
    }

    #[test]
    fn counters_and_no_others_end_in_total() {
        for metric in all().filter(|metric| metric.name != UPSTREAM_TOTAL_REQUESTS.info().name) {
            let is_counter = metric.kind == MetricKind::Counter;
            assert_eq!(metric.name.ends_with("_total"), is_counter, "{}", metric.name);
        }
    }

    #[test]
    fn a_name_says_its_base_unit() {
        for metric in all() {
            let stem = metric.name.trim_end_matches("_total");
            assert_eq!(
                stem.ends_with("_seconds"),
                metric.unit == Unit::Seconds,
                "{}",
                metric.name
            );
            for scaled in ["_milliseconds", "_ms", "_percent", "_bucket", "_sum", "_count"] {
                assert!(!stem.ends_with(scaled), "{}", metric.name);
            }
        }
    }

    #[test]
    fn every_metric_is_explained_and_owned() {
        for metric in all() {
            assert!(
                metric.help.ends_with('.') && !metric.help.contains('\n'),
                "{}",
                metric.name
            );
            assert!(!metric.services.is_empty(), "{}", metric.name);
        }
    }
}
