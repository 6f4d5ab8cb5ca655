//! Recorded requests as spans for an OpenTelemetry collector, sent by the SDK's own thread in batches over OTLP.
//! Source: OpenTelemetry, "Semantic conventions for RPC spans".

use std::io;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};

use crate::trace::{Step, Trace};

/// How long spans wait for others to go with.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How long a collector may take to accept a batch.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last spans may take when the gateway ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends spans to a collector. A collector that is slow or away costs spans, not requests.
#[derive(Debug)]
pub(crate) struct SpanExport {
    processor: BatchSpanProcessor,
}

impl SpanExport {
    /// Runs inside a tokio runtime, where the connection to the collector lives.
    ///
    /// # Errors
    /// When the collector's address cannot be meant.
    pub(crate) fn new(endpoint: &http::Uri) -> io::Result<Self> {
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
            .with_service_name("tyrscale-gateway")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        processor.set_resource(&resource);
        Ok(Self { processor })
    }

    /// Hands a trace over; it is sent later.
    pub(crate) fn export(&self, trace: &Trace) {
        self.processor.on_end(span(trace));
    }
}

impl Drop for SpanExport {
    fn drop(&mut self) {
        if let Err(error) = self.processor.shutdown_with_timeout(SHUTDOWN_TIMEOUT) {
            tracing::debug!(%error, "the last spans may be lost");
        }
    }
}

fn span(trace: &Trace) -> SpanData {
    let ending = &trace.ending;
    let context = SpanContext::new(
        TraceId::from_bytes(trace.trace_id.bytes()),
        SpanId::from_bytes(trace.span_id.bytes()),
        TraceFlags::SAMPLED,
        false,
        TraceState::default(),
    );
    let parent = trace
        .parent
        .map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.bytes()));
    let mut events = SpanEvents::default();
    events.events = trace
        .steps
        .iter()
        .map(|step| event(step, ending.began_at))
        .collect();
    events.dropped_count = trace.steps_left_out;
    SpanData {
        span_context: context,
        parent_span_id: parent,
        parent_span_is_remote: trace.parent.is_some(),
        span_kind: SpanKind::Server,
        name: ending.method.into(),
        start_time: ending.began_at,
        end_time: ending.began_at + trace.took,
        attributes: attributes(trace),
        dropped_attributes_count: 0,
        events,
        links: SpanLinks::default(),
        status: if ending.status >= 500 {
            Status::error("no upstream answered")
        } else {
            Status::Unset
        },
        instrumentation_scope: InstrumentationScope::builder("tyrscale-gateway").build(),
    }
}

fn attributes(trace: &Trace) -> Vec<KeyValue> {
    let ending = &trace.ending;
    let mut attributes = vec![
        KeyValue::new("rpc.system", "jsonrpc"),
        KeyValue::new("rpc.method", ending.method),
        KeyValue::new("http.response.status_code", i64::from(ending.status)),
        KeyValue::new("client.address", ending.client.to_string()),
        KeyValue::new("tyrscale.route", ending.route.to_string()),
        KeyValue::new("tyrscale.attempts", i64::from(trace.attempts)),
        KeyValue::new(
            "tyrscale.revision",
            i64::try_from(ending.revision).unwrap_or(i64::MAX),
        ),
    ];
    if let Some(upstream) = trace.served_by {
        attributes.push(KeyValue::new("tyrscale.upstream", upstream.to_string()));
    }
    attributes
}

fn event(step: &Step, began_at: SystemTime) -> Event {
    let mut attributes = vec![KeyValue::new("tyrscale.upstream", step.upstream.to_string())];
    attributes.extend(
        step.event
            .reason()
            .map(|reason| KeyValue::new("tyrscale.reason", reason)),
    );
    Event::new(step.event.name(), began_at + step.at, attributes, 0)
}
