//! What small fleets may cost: bytes and CPU, which hardly depend on what else the machine does.

use std::time::Duration;

use super::report::{Changes, Report};

/// One recommended weight: bytes of messages and on the wire, for each subscriber.
const RECOMMENDED: (f64, f64) = (160.0, 256.0);
/// One weight of an operator, which is the whole upstream.
const WEIGHT: (f64, f64) = (320.0, 416.0);
/// A route with its upstreams.
const ROUTE: (f64, f64) = (2_048.0, 2_304.0);
/// CPU of the control plane for each change, and besides for each subscriber it goes to.
const CPU: (Duration, Duration) = (Duration::from_millis(6), Duration::from_micros(120));

impl Report {
    /// What costs more than it may, in words.
    pub(crate) fn excesses(&self) -> Vec<String> {
        let parts = [
            ("recommended", &self.recommended, RECOMMENDED),
            ("weight", &self.weight, WEIGHT),
            ("route", &self.route, ROUTE),
        ];
        let mut excesses = Vec::new();
        for (name, changes, bytes) in parts {
            let Some(changes) = changes else { continue };
            excesses.extend(self.excess(name, changes, bytes));
        }
        if self.mismatches > 0 {
            excesses.push(format!("{} digests were others than computed", self.mismatches));
        }
        excesses
    }

    fn excess(&self, name: &str, changes: &Changes, (payload, wire): (f64, f64)) -> Vec<String> {
        let cpu = CPU.0 + CPU.1 * self.nodes;
        let measured = [
            ("bytes of messages", changes.payload_bytes_per_node, payload),
            ("bytes on the wire", changes.wire_bytes_per_node, wire),
            ("ms of CPU", changes.cpu_ms_per_change, cpu.as_secs_f64() * 1e3),
        ];
        let beyond = measured.into_iter().filter(|(_, found, limit)| found > limit);
        beyond
            .map(|(what, found, limit)| format!("{name}: {found:.1} {what}, at most {limit:.1} are allowed"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::document::Shape, *};
    use crate::histogram::{Histogram, Quantiles};

    fn report(payload: f64, cpu: f64) -> Report {
        let shape = Shape {
            routes: 1,
            upstreams: 1,
        };
        let none = || Quantiles::from(&Histogram::default());
        let changes = Changes {
            changes: 1,
            to_last: none(),
            to_each: none(),
            cpu_ms_per_change: cpu,
            payload_bytes_per_node: payload,
            wire_bytes_per_node: payload,
            rss_mib: 1.0,
        };
        Report {
            recommended: Some(changes),
            ..Report::new(50, false, shape)
        }
    }

    #[test]
    fn what_costs_too_much_is_named_and_nothing_else() {
        assert_eq!(report(160.0, 12.0).excesses(), Vec::<String>::new());
        assert_eq!(
            report(161.0, 12.5).excesses(),
            [
                "recommended: 161.0 bytes of messages, at most 160.0 are allowed",
                "recommended: 12.5 ms of CPU, at most 12.0 are allowed"
            ]
        );
    }
}
