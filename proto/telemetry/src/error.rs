//! The errors of this crate.

use crate::metric::Service;

/// Why telemetry could not be set up or rendered.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A rule of the log filter is neither `level` nor `target=level`.
    #[error(
        "log filter rule `{rule}` is neither `level` nor `target=level` (levels: off, error, warn, info, debug, trace)"
    )]
    InvalidFilter {
        /// The rule as it was written.
        rule: String,
    },
    /// The log format is not one of the known words.
    #[error("log format `{value}` is neither `text` nor `json`")]
    UnknownLogFormat {
        /// The word as it was written.
        value: String,
    },
    /// The same metric was set up twice in one service.
    #[error("metric {name} is already registered")]
    AlreadyRegistered {
        /// Name of the metric.
        name: &'static str,
    },
    /// The catalogue does not list the metric for this service.
    #[error("metric {name} does not belong to the {service}")]
    ForeignMetric {
        /// Name of the metric.
        name: &'static str,
        /// The service that asked for it.
        service: Service,
    },
    /// The OpenTelemetry exporter could not be set up.
    #[error("metrics exporter could not be set up")]
    Exporter(#[source] opentelemetry_sdk::error::OTelSdkError),
    /// The Prometheus registry refused a collector or could not encode its samples.
    #[error("metrics registry failed")]
    Registry(#[from] prometheus::Error),
    /// The handlers of the stop signals could not be installed.
    #[error("signal handler could not be installed")]
    Signal(#[source] std::io::Error),
}
