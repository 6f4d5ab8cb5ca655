//! What every service shares to be seen: logs, metrics, the admin endpoints and the way to stop.
//!
//! Nothing here is global but the log subscriber: each service instance owns its [`Metrics`], so several
//! services can live in one process and be scraped apart.

pub mod admin;
pub mod catalogue;
mod error;
mod histogram;
mod logs;
mod metric;
mod metrics;
mod shutdown;
#[cfg(feature = "otlp")]
mod spans;

pub use admin::{AdminState, Check, Page, Readiness, serve_admin};
pub use error::TelemetryError;
pub use histogram::{AtomicHistogram, DEFAULT_BOUNDS, HistogramCollector, HistogramSnapshot};
pub use logs::{LogFormat, init_logs};
pub use metric::{Counter, Gauge, Histogram, Kind, Metric, MetricInfo, MetricKind, Service, Unit};
pub use metrics::{LabelledCounter, Metrics, Observer};
pub use prometheus;
pub use shutdown::shutdown_signal;
#[cfg(feature = "otlp")]
pub use spans::{Span, SpanEvent, SpanExport};
