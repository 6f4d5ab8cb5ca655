//! What one request went through, step by step, kept for operators to look at.
//!
//! Every request counts its attempts. Only a few are recorded: those drawn at random, those whose sender asks for
//! it, and those that meet a fault, all within a rate, so that neither clients nor failing upstreams can make the
//! gateway spend its time on writing down.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::Instant;
use tyrscale_model::{RouteId, UpstreamId};

use crate::recorder::{Reason, Recorder};
use crate::traceparent::{SpanId, TraceId, TraceParent};

/// Traces kept; the oldest goes first.
const KEPT: usize = 256;
/// Steps of one trace; more are only counted.
const MAX_STEPS: usize = 32;

/// What is known of a request beside its answer.
#[derive(Debug)]
pub(crate) struct Journal<'a> {
    recorder: &'a Recorder,
    started: Instant,
    /// Times an upstream was asked.
    attempts: u32,
    /// Whose answer the client got.
    served_by: Option<UpstreamId>,
    recording: Option<Box<Recording>>,
}

/// The part of a [`Journal`] that only a recorded request has.
#[derive(Debug)]
struct Recording {
    parent: Option<TraceParent>,
    trace_id: TraceId,
    span_id: SpanId,
    steps: Vec<Step>,
    steps_left_out: u32,
}

/// Something that happened to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Since the request began.
    pub(crate) at: Duration,
    pub(crate) upstream: UpstreamId,
    pub(crate) event: Event,
}

/// What an upstream had to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Asked,
    Answered,
    /// It gave no answer to pass on, for this reason.
    Failed(&'static str),
}

impl Event {
    const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Answered => "answered",
            Self::Failed(_) => "failed",
        }
    }

    const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Failed(reason) => Some(reason),
            Self::Asked | Self::Answered => None,
        }
    }
}

impl<'a> Journal<'a> {
    /// A journal that only counts.
    pub(crate) const fn new(recorder: &'a Recorder, started: Instant) -> Self {
        Self {
            recorder,
            started,
            attempts: 0,
            served_by: None,
            recording: None,
        }
    }

    /// Records from here on, as part of the sender's trace if it names one.
    pub(crate) fn record(&mut self, parent: Option<TraceParent>) {
        self.recording.get_or_insert_with(|| {
            Box::new(Recording {
                parent,
                trace_id: parent.map_or_else(TraceId::random, |parent| parent.trace_id),
                span_id: SpanId::random(),
                steps: Vec::new(),
                steps_left_out: 0,
            })
        });
    }

    pub(crate) const fn is_recorded(&self) -> bool {
        self.recording.is_some()
    }

    /// The trace that upstreams are told to be part of.
    pub(crate) fn parent_for_upstream(&self) -> Option<TraceParent> {
        self.recording.as_ref().map(|recording| TraceParent {
            trace_id: recording.trace_id,
            span_id: recording.span_id,
            sampled: true,
        })
    }

    pub(crate) fn trace_id(&self) -> Option<TraceId> {
        self.recording.as_ref().map(|recording| recording.trace_id)
    }

    pub(crate) const fn started(&self) -> Instant {
        self.started
    }

    pub(crate) const fn recorder(&self) -> &'a Recorder {
        self.recorder
    }

    pub(crate) const fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(crate) const fn served_by(&self) -> Option<UpstreamId> {
        self.served_by
    }

    /// Notes what an upstream had to do with the request. That one fails a request is worth a trace.
    pub(crate) fn note(&mut self, upstream: UpstreamId, event: Event) {
        match event {
            Event::Asked => self.attempts = self.attempts.saturating_add(1),
            Event::Answered => self.served_by = Some(upstream),
            Event::Failed(_)
                if self.recording.is_none() && self.recorder.takes(Reason::Failed, self.started) =>
            {
                self.record(None);
            }
            Event::Failed(_) => {}
        }
        let Some(recording) = &mut self.recording else {
            return;
        };
        if recording.steps.len() >= MAX_STEPS {
            recording.steps_left_out = recording.steps_left_out.saturating_add(1);
            return;
        }
        recording.steps.push(Step {
            at: self.started.elapsed(),
            upstream,
            event,
        });
    }

    /// The trace, if the request was recorded.
    pub(crate) fn finish(self, ending: Ending) -> Option<Trace> {
        let recording = *self.recording?;
        Some(Trace {
            trace_id: recording.trace_id,
            span_id: recording.span_id,
            parent: recording.parent.map(|parent| parent.span_id),
            took: self.started.elapsed(),
            attempts: self.attempts,
            served_by: self.served_by,
            steps: recording.steps,
            steps_left_out: recording.steps_left_out,
            ending,
        })
    }
}

/// What a trace is of, and how it ended.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) began_at: SystemTime,
    pub(crate) client: Box<str>,
    pub(crate) route: RouteId,
    /// The configuration it was served from.
    pub(crate) revision: u64,
    /// The method called if it is a known one; `batch` for a batch, `other` for others.
    pub(crate) method: &'static str,
    /// How many calls it was.
    pub(crate) calls: usize,
    /// HTTP status of the answer; 499 when the client left before.
    pub(crate) status: u16,
}

/// One request as it went.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    /// The sender's part of the trace.
    pub(crate) parent: Option<SpanId>,
    /// Until the head of the answer.
    pub(crate) took: Duration,
    pub(crate) attempts: u32,
    pub(crate) served_by: Option<UpstreamId>,
    pub(crate) steps: Vec<Step>,
    pub(crate) steps_left_out: u32,
    pub(crate) ending: Ending,
}

impl Trace {
    /// As operators see it.
    pub(crate) fn to_json(&self) -> Value {
        let ending = &self.ending;
        let steps: Vec<Value> = self.steps.iter().map(|step| step.to_json()).collect();
        let began_at = ending
            .began_at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        json!({
            "trace": self.trace_id.to_string(),
            "span": self.span_id.to_string(),
            "parent_span": self.parent.map(|span| span.to_string()),
            "began_at_unix_ms": u64::try_from(began_at.as_millis()).unwrap_or(u64::MAX),
            "took_ms": milliseconds(self.took),
            "client": ending.client,
            "route": ending.route.to_string(),
            "revision": ending.revision,
            "method": ending.method,
            "calls": ending.calls,
            "status": ending.status,
            "attempts": self.attempts,
            "served_by": self.served_by.map(|upstream| upstream.to_string()),
            "steps": steps,
            "steps_left_out": self.steps_left_out,
        })
    }
}

impl Step {
    fn to_json(self) -> Value {
        json!({
            "at_ms": milliseconds(self.at),
            "upstream": self.upstream.to_string(),
            "event": self.event.name(),
            "reason": self.event.reason(),
        })
    }
}

#[cfg(feature = "otlp")]
mod span;

/// With the microseconds as fraction.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The last traces.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    kept: Mutex<VecDeque<Arc<Trace>>>,
}

impl Traces {
    pub(crate) fn keep(&self, trace: Trace) -> Arc<Trace> {
        let trace = Arc::new(trace);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&trace));
        trace
    }

    /// The newest first; of one trace only, when its id is given. A retried request of a client may have left
    /// several parts of one trace.
    pub(crate) fn newest(&self, id: Option<&str>) -> Vec<Arc<Trace>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |trace: &&Arc<Trace>| id.is_none_or(|id| trace.trace_id.to_string() == id);
        kept.iter().rev().filter(wanted).map(Arc::clone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::RecorderArgs;

    const PARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn upstream() -> UpstreamId {
        "00000000-0000-4000-0002-000000000001".parse().unwrap()
    }

    /// Records nothing by itself.
    fn recorder() -> Recorder {
        let args = RecorderArgs {
            trace_sample: 0.0,
            trace_limit: 0,
            ..RecorderArgs::DEFAULT
        };
        Recorder::new(&args).unwrap()
    }

    fn ending(status: u16) -> Ending {
        Ending {
            began_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1500),
            client: "127.0.0.1".into(),
            route: "00000000-0000-4000-0001-000000000001".parse().unwrap(),
            revision: 7,
            method: "batch",
            calls: 20,
            status,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_not_recorded_still_counts_its_attempts() {
        let recorder = recorder();
        let mut journal = Journal::new(&recorder, Instant::now());
        journal.note(upstream(), Event::Asked);
        journal.note(upstream(), Event::Failed("server"));
        journal.note(upstream(), Event::Asked);
        journal.note(upstream(), Event::Answered);
        assert_eq!((journal.attempts(), journal.served_by()), (2, Some(upstream())));
        assert!(journal.finish(ending(200)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_recorded_request_tells_what_happened_when_and_belongs_to_its_senders_trace() {
        let recorder = recorder();
        let mut journal = Journal::new(&recorder, Instant::now());
        journal.record(TraceParent::parse(PARENT));
        journal.note(upstream(), Event::Asked);
        tokio::time::advance(Duration::from_micros(2500)).await;
        journal.note(upstream(), Event::Failed("timeout"));
        let told = journal.parent_for_upstream().unwrap().to_string();
        let trace = journal.finish(ending(504)).unwrap().to_json();
        assert_eq!(trace["trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace["parent_span"], "00f067aa0ba902b7");
        assert!(told.contains(trace["span"].as_str().unwrap()), "{told}");
        assert_eq!(trace["steps"][1]["at_ms"], 2.5);
        assert_eq!(trace["steps"][1]["reason"], "timeout");
        assert_eq!(trace["status"], 504);
        assert_eq!(trace["method"], "batch");
    }

    #[tokio::test(start_paused = true)]
    async fn a_trace_and_the_number_of_traces_are_bounded() {
        let recorder = recorder();
        let traces = Traces::default();
        for status in 0..300 {
            let mut journal = Journal::new(&recorder, Instant::now());
            journal.record(None);
            for _ in 0..40 {
                journal.note(upstream(), Event::Asked);
            }
            traces.keep(journal.finish(ending(status)).unwrap());
        }
        let kept = traces.newest(None);
        assert_eq!((kept.len(), kept[0].ending.status), (KEPT, 299));
        assert_eq!((kept[0].steps.len(), kept[0].steps_left_out), (MAX_STEPS, 8));
        let id = kept[5].trace_id.to_string();
        assert_eq!(traces.newest(Some(&id)).len(), 1);
    }
}
