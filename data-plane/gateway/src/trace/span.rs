//! A trace as a span for a collector. Source: OpenTelemetry, "Semantic conventions for RPC spans".

use std::time::SystemTime;

use tyrscale_telemetry::{Span, SpanEvent};

use super::{Step, Trace};
use crate::traceparent::SpanId;

impl Trace {
    /// As collectors see it.
    pub(crate) fn to_span(&self) -> Span {
        let ending = &self.ending;
        let mut attributes = vec![
            ("rpc.system", "jsonrpc".to_owned()),
            ("rpc.method", ending.method.to_owned()),
            ("http.response.status_code", ending.status.to_string()),
            ("client.address", ending.client.to_string()),
            ("tyrscale.route", ending.route.to_string()),
            ("tyrscale.attempts", self.attempts.to_string()),
            ("tyrscale.revision", ending.revision.to_string()),
        ];
        attributes.extend(
            self.served_by
                .map(|upstream| ("tyrscale.upstream", upstream.to_string())),
        );
        Span {
            trace_id: self.trace_id.bytes(),
            span_id: self.span_id.bytes(),
            parent: self.parent.map(SpanId::bytes),
            name: ending.method,
            began_at: ending.began_at,
            ended_at: ending.began_at + self.took,
            attributes,
            events: self
                .steps
                .iter()
                .map(|step| step.to_event(ending.began_at))
                .collect(),
            events_left_out: self.steps_left_out,
            error: (ending.status >= 500).then_some("no upstream answered"),
        }
    }
}

impl Step {
    fn to_event(self, began_at: SystemTime) -> SpanEvent {
        let mut attributes = vec![("tyrscale.upstream", self.upstream.to_string())];
        attributes.extend(
            self.event
                .reason()
                .map(|reason| ("tyrscale.reason", reason.to_owned())),
        );
        SpanEvent {
            name: self.event.name(),
            at: began_at + self.at,
            attributes,
        }
    }
}
