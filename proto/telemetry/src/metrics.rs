//! The metrics of one service instance: OpenTelemetry instruments and own collectors on one Prometheus
//! registry of their own.
//!
//! Whatever is keyed by something that can be removed (upstream, route, subscriber) is *observed*: a callback
//! reads the live table at each scrape, so a removed entry leaves no series behind. A callback must be quick
//! and must not scrape; it lives as long as the [`Metrics`], so let it hold the table, not the service.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter, MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};
use prometheus::{Encoder, Registry, TEXT_FORMAT, TextEncoder};

use crate::catalogue::BUILD_INFO;
use crate::error::TelemetryError;
use crate::histogram::{HistogramCollector, HistogramSnapshot};
use crate::metric::{Counter, Gauge, Histogram, Metric, MetricInfo, Service};

/// Series per instrument; beyond it all else would fall into one overflow series.
const SERIES_LIMIT: usize = 20_000;

/// The metrics of one service instance.
#[derive(Debug)]
pub struct Metrics {
    service: Service,
    registry: Registry,
    /// Dropping the last handle of the provider silences its instruments.
    _provider: SdkMeterProvider,
    meter: Meter,
    registered: Mutex<BTreeSet<&'static str>>,
}

impl Metrics {
    /// A registry for one instance of `service`, with its build information.
    ///
    /// # Errors
    /// [`TelemetryError::Exporter`] when OpenTelemetry cannot be set up.
    pub fn new(service: Service) -> Result<Self, TelemetryError> {
        let registry = Registry::new();
        // The catalogue names each metric whole: nothing is to be added to a name or to a series.
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_counter_suffixes()
            .without_units()
            .without_target_info()
            .scope_info_enabled(false)
            .build()
            .map_err(TelemetryError::Exporter)?;
        let provider = SdkMeterProvider::builder()
            .with_resource(Resource::builder_empty().build())
            .with_view(|_: &Instrument| {
                Stream::builder()
                    .with_cardinality_limit(SERIES_LIMIT)
                    .build()
                    .ok()
            })
            .with_reader(exporter)
            .build();
        let meter = provider.meter("tyrscale");
        let metrics = Self {
            service,
            registry,
            _provider: provider,
            meter,
            registered: Mutex::default(),
        };
        metrics.observe_gauge(&BUILD_INFO, move |build| {
            build.observe(1.0, [service.as_str(), env!("CARGO_PKG_VERSION")]);
        })?;
        Ok(metrics)
    }

    /// The one meter, for metrics whose names are only known at run time.
    #[must_use]
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The registry, for further collectors.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A counter that is added to where it happens. Its label values must be closed sets: its series stay.
    ///
    /// # Errors
    /// [`TelemetryError::AlreadyRegistered`] or [`TelemetryError::ForeignMetric`].
    pub fn counter<const N: usize>(
        &self,
        metric: &Metric<Counter, N>,
    ) -> Result<LabelledCounter<N>, TelemetryError> {
        let info = self.claim(metric.info())?;
        let counter = self
            .meter
            .u64_counter(info.name)
            .with_description(info.help)
            .build();
        Ok(LabelledCounter {
            counter,
            labels: metric.labels(),
        })
    }

    /// A counter whose series `read` reports from a live table at each scrape.
    ///
    /// # Errors
    /// [`TelemetryError::AlreadyRegistered`] or [`TelemetryError::ForeignMetric`].
    pub fn observe_counter<const N: usize>(
        &self,
        metric: &Metric<Counter, N>,
        read: impl Fn(&Observer<'_, u64, N>) + Send + Sync + 'static,
    ) -> Result<(), TelemetryError> {
        let info = self.claim(metric.info())?;
        let labels = metric.labels();
        self.meter
            .u64_observable_counter(info.name)
            .with_description(info.help)
            .with_callback(move |instrument| {
                contain_panic(info.name, || read(&Observer { instrument, labels }));
            })
            .build();
        Ok(())
    }

    /// A gauge whose series `read` reports from a live table at each scrape.
    ///
    /// # Errors
    /// [`TelemetryError::AlreadyRegistered`] or [`TelemetryError::ForeignMetric`].
    pub fn observe_gauge<const N: usize>(
        &self,
        metric: &Metric<Gauge, N>,
        read: impl Fn(&Observer<'_, f64, N>) + Send + Sync + 'static,
    ) -> Result<(), TelemetryError> {
        let info = self.claim(metric.info())?;
        let labels = metric.labels();
        self.meter
            .f64_observable_gauge(info.name)
            .with_description(info.help)
            .with_callback(move |instrument| {
                contain_panic(info.name, || read(&Observer { instrument, labels }));
            })
            .build();
        Ok(())
    }

    /// A histogram whose series `read` returns from a live table at each scrape: label values and counts.
    ///
    /// # Errors
    /// [`TelemetryError::AlreadyRegistered`] or [`TelemetryError::ForeignMetric`];
    /// [`TelemetryError::Registry`] when Prometheus does not allow the name.
    pub fn observe_histogram<const N: usize>(
        &self,
        metric: &Metric<Histogram, N>,
        read: impl Fn() -> Vec<([String; N], HistogramSnapshot)> + Send + Sync + 'static,
    ) -> Result<(), TelemetryError> {
        let info = self.claim(metric.info())?;
        let collector = HistogramCollector::new(info.name, info.help, metric.labels(), Box::new(read))?;
        Ok(self.registry.register(Box::new(collector))?)
    }

    /// Reads every metric: the content type and the body of the Prometheus text exposition format 0.0.4.
    /// Takes milliseconds with thousands of series: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`TelemetryError::Registry`] when a sample cannot be encoded.
    pub fn render(&self) -> Result<(&'static str, Vec<u8>), TelemetryError> {
        let mut body = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut body)?;
        Ok((TEXT_FORMAT, body))
    }

    /// Two instruments of one name would give the same series twice, which makes a scrape invalid.
    fn claim(&self, info: MetricInfo) -> Result<MetricInfo, TelemetryError> {
        let MetricInfo { name, services, .. } = info;
        if !services.contains(&self.service) {
            return Err(TelemetryError::ForeignMetric {
                name,
                service: self.service,
            });
        }
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        if registered.insert(name) {
            Ok(info)
        } else {
            Err(TelemetryError::AlreadyRegistered { name })
        }
    }
}

/// Reports the series of one metric during a scrape.
pub struct Observer<'a, T, const N: usize> {
    instrument: &'a dyn AsyncInstrument<T>,
    labels: [&'static str; N],
}

impl<T, const N: usize> std::fmt::Debug for Observer<'_, T, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer")
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

impl<T, const N: usize> Observer<'_, T, N> {
    /// The series with these label values, in the catalogue's order, has `value` now.
    pub fn observe(&self, value: T, label_values: [&str; N]) {
        self.instrument
            .observe(value, &attributes(self.labels, label_values));
    }
}

/// A counter with `N` labels.
#[derive(Debug, Clone)]
pub struct LabelledCounter<const N: usize> {
    counter: opentelemetry::metrics::Counter<u64>,
    labels: [&'static str; N],
}

impl<const N: usize> LabelledCounter<N> {
    /// Adds to the series with these label values, in the catalogue's order. Adding 0 makes it visible.
    pub fn add(&self, amount: u64, label_values: [&str; N]) {
        self.counter.add(amount, &attributes(self.labels, label_values));
    }
}

fn attributes<const N: usize>(labels: [&'static str; N], values: [&str; N]) -> Vec<KeyValue> {
    labels
        .into_iter()
        .zip(values)
        .map(|(label, value)| KeyValue::new(label, value.to_owned()))
        .collect()
}

/// Runs the reader of one metric. A panic in it would poison the exporter's lock and empty every later scrape;
/// contained, it costs that metric's samples only.
pub(crate) fn contain_panic<T>(metric: &'static str, read: impl FnOnce() -> T) -> Option<T> {
    let outcome = catch_unwind(AssertUnwindSafe(read));
    if outcome.is_err() {
        tracing::error!(metric, "metric could not be read: its reader panicked");
    }
    outcome.ok()
}
