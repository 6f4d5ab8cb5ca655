//! The page of metrics says what the catalogue says.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;

use tyrscale_telemetry::Unit;
use tyrscale_telemetry::catalogue::{SECTIONS, Section};

fn table(section: &Section) -> String {
    let mut text = format!("## {}\n\n", section.title);
    text.push_str("| metric | kind | unit | labels | services | meaning |\n|---|---|---|---|---|---|\n");
    for metric in section.metrics {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let services: Vec<String> = metric.services.iter().map(ToString::to_string).collect();
        let unit = match metric.unit {
            Unit::One => "1",
            Unit::Seconds => "s",
            Unit::Bytes => "B",
        };
        writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} |",
            metric.name,
            metric.kind.as_str(),
            unit,
            labels.join(", "),
            services.join(", "),
            metric.help
        )
        .expect("a string takes any text");
    }
    text
}

#[test]
fn the_page_of_metrics_holds_the_catalogue() {
    let page = include_str!("../../../docs/metrics.md");
    for section in SECTIONS.iter().filter(|section| !section.metrics.is_empty()) {
        let table = table(section);
        assert!(
            page.contains(&table),
            "docs/metrics.md must hold this table:\n\n{table}"
        );
    }
}
