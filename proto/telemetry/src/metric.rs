//! What a metric is: its name, kind, unit, labels and owner, known at compile time.

use std::fmt;
use std::marker::PhantomData;

/// A process that exports metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// The JSON-RPC reverse proxy.
    Gateway,
    /// The owner of the configuration.
    ControlPlane,
    /// The exporter of chain metrics.
    Exporter,
    /// The writer of recommended weights.
    Recommender,
}

impl Service {
    /// The service's name, as in the names of the binaries without the project's prefix.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::ControlPlane => "control-plane",
            Self::Exporter => "exporter",
            Self::Recommender => "recommender",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The kinds of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only grows, starts at zero with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in cumulative buckets.
    Histogram,
}

impl MetricKind {
    /// The word of the exposition format's `# TYPE` line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The unit of a metric's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// A number of things, or a state.
    One,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// A [`MetricKind`] as a type, so that a counter cannot be set up as a gauge.
pub trait Kind {
    /// The same kind as a value.
    const KIND: MetricKind;
}

/// Marks a counter.
#[derive(Debug, Clone, Copy)]
pub struct Counter;
/// Marks a gauge.
#[derive(Debug, Clone, Copy)]
pub struct Gauge;
/// Marks a histogram.
#[derive(Debug, Clone, Copy)]
pub struct Histogram;

impl Kind for Counter {
    const KIND: MetricKind = MetricKind::Counter;
}
impl Kind for Gauge {
    const KIND: MetricKind = MetricKind::Gauge;
}
impl Kind for Histogram {
    const KIND: MetricKind = MetricKind::Histogram;
}

/// One metric of the catalogue: of kind `K`, with `N` labels.
#[derive(Debug, Clone, Copy)]
pub struct Metric<K, const N: usize> {
    name: &'static str,
    unit: Unit,
    labels: &'static [&'static str; N],
    services: &'static [Service],
    help: &'static str,
    kind: PhantomData<K>,
}

impl<K: Kind, const N: usize> Metric<K, N> {
    /// A metric called `name` (as scraped, nothing is added) that `services` export.
    #[must_use]
    pub const fn new(
        name: &'static str,
        unit: Unit,
        labels: &'static [&'static str; N],
        services: &'static [Service],
        help: &'static str,
    ) -> Self {
        Self {
            name,
            unit,
            labels,
            services,
            help,
            kind: PhantomData,
        }
    }

    /// The names of the labels, in the order in which values are given.
    #[must_use]
    pub const fn labels(&self) -> [&'static str; N] {
        *self.labels
    }

    /// The metric's facts without its type, for tables and documentation.
    #[must_use]
    pub const fn info(&self) -> MetricInfo {
        MetricInfo {
            name: self.name,
            kind: K::KIND,
            unit: self.unit,
            labels: self.labels,
            services: self.services,
            help: self.help,
        }
    }
}

/// The facts of one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricInfo {
    /// As scraped; a histogram's samples add `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricKind,
    /// Unit of the value.
    pub unit: Unit,
    /// Names of the labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// The services that export it.
    pub services: &'static [Service],
    /// One sentence on what is measured.
    pub help: &'static str,
}
