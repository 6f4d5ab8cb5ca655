//! Spans for an OpenTelemetry collector, sent by the SDK's own thread in batches over OTLP.

use std::io;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};

use crate::metric::Service;

/// How long spans wait for others to go with.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How long a collector may take to accept a batch.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last spans may take when the gateway ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// A piece of work for others, with its end known.
#[derive(Debug, Clone)]
pub struct Span {
    /// The trace it belongs to. Source: W3C Trace Context, section 3.2.2.3.
    pub trace_id: [u8; 16],
    /// Its own id.
    pub span_id: [u8; 8],
    /// The span of whoever asked for the work.
    pub parent: Option<[u8; 8]>,
    /// A word of a closed set.
    pub name: &'static str,
    /// When it began.
    pub began_at: SystemTime,
    /// When it ended.
    pub ended_at: SystemTime,
    /// What is known of it.
    pub attributes: Vec<(&'static str, String)>,
    /// What happened meanwhile.
    pub events: Vec<SpanEvent>,
    /// Events that are not told.
    pub events_left_out: u32,
    /// What went wrong, if something did.
    pub error: Option<&'static str>,
}

/// Something that happened during a [`Span`].
#[derive(Debug, Clone)]
pub struct SpanEvent {
    /// A word of a closed set.
    pub name: &'static str,
    /// When it happened.
    pub at: SystemTime,
    /// What is known of it.
    pub attributes: Vec<(&'static str, String)>,
}

/// Sends spans to a collector. A collector that is slow or away costs spans, not requests.
#[derive(Debug)]
pub struct SpanExport {
    processor: BatchSpanProcessor,
}

impl SpanExport {
    /// Runs inside a tokio runtime, where the connection to the collector lives.
    ///
    /// # Errors
    /// When the collector's address cannot be meant.
    pub fn new(service: Service, endpoint: &http::Uri) -> io::Result<Self> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint.to_string())
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(io::Error::other)?;
        let batches = BatchConfigBuilder::default()
            .with_scheduled_delay(BATCH_DELAY)
            .build();
        let mut processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build();
        let resource = Resource::builder()
            .with_service_name(format!("tyrscale-{service}"))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        processor.set_resource(&resource);
        Ok(Self { processor })
    }

    /// Hands a span over; it is sent later.
    pub fn export(&self, span: Span) {
        self.processor.on_end(span_data(span));
    }
}

impl Drop for SpanExport {
    fn drop(&mut self) {
        if let Err(error) = self.processor.shutdown_with_timeout(SHUTDOWN_TIMEOUT) {
            tracing::debug!(%error, "the last spans may be lost");
        }
    }
}

fn span_data(span: Span) -> SpanData {
    let context = SpanContext::new(
        TraceId::from_bytes(span.trace_id),
        SpanId::from_bytes(span.span_id),
        TraceFlags::SAMPLED,
        false,
        TraceState::default(),
    );
    let event = |event: SpanEvent| Event::new(event.name, event.at, key_values(event.attributes), 0);
    let mut events = SpanEvents::default();
    events.dropped_count = span.events_left_out;
    events.events = span.events.into_iter().map(event).collect();
    SpanData {
        span_context: context,
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: span.parent.is_some(),
        span_kind: SpanKind::Server,
        name: span.name.into(),
        start_time: span.began_at,
        end_time: span.ended_at,
        attributes: key_values(span.attributes),
        dropped_attributes_count: 0,
        events,
        links: SpanLinks::default(),
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("tyrscale").build(),
    }
}

fn key_values(attributes: Vec<(&'static str, String)>) -> Vec<KeyValue> {
    let key_value = |(key, value)| KeyValue::new::<&'static str, String>(key, value);
    attributes.into_iter().map(key_value).collect()
}
