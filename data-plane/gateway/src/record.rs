//! One request of a client, accounted for once on every way out: in the metrics of its route, the access log and
//! the traces.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;
use tyrscale_http1::{Name, RequestHead};

use crate::headers::Peer;
use crate::metrics::{AnswerKind, method_label};
use crate::recorder::{DEBUG_REQUEST, Recorder, Sender};
use crate::route::Route;
use crate::trace::{Ending, Journal};

/// The status recorded for a request whose client left before the answer. Source: nginx.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// A request on its way: recorded when it is answered, or as closed by the client when dropped before.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    peer: &'a Peer,
    route: Arc<Route>,
    sender: Sender<'a>,
    kind: AnswerKind,
    /// Of the configuration it is served from.
    revision: u64,
    /// What is called.
    method: &'static str,
    calls: usize,
    request_bytes: usize,
    journal: Journal<'a>,
}

impl<'a> Record<'a> {
    pub(crate) fn begin(
        recorder: &'a Recorder,
        head: &'a RequestHead,
        peer: &'a Peer,
        route: Arc<Route>,
        revision: u64,
    ) -> Self {
        let sender = Sender {
            traceparent: head.fields.known(Name::Traceparent),
            asks: head.fields.get(DEBUG_REQUEST).is_some(),
        };
        Self {
            peer,
            route,
            kind: AnswerKind {
                scheme: peer.scheme,
                method: method_label(&head.method),
                status: CLIENT_CLOSED_REQUEST,
            },
            revision,
            method: "other",
            calls: 0,
            request_bytes: 0,
            journal: recorder.begin(sender, Instant::now()),
            sender,
        }
    }

    /// What is asked, once it has been read: a method's label or `batch`, how many calls, and in how many bytes.
    pub(crate) const fn asks(&mut self, method: &'static str, calls: usize, bytes: usize) {
        (self.method, self.calls, self.request_bytes) = (method, calls, bytes);
    }

    /// What happens to it.
    pub(crate) const fn journal(&mut self) -> &mut Journal<'a> {
        &mut self.journal
    }

    /// The trace that upstreams are to be told of, in the place of what the client says.
    pub(crate) fn traceparent(&self) -> Option<String> {
        self.journal
            .parent_for_upstream()
            .map(|parent| parent.to_string())
    }

    /// It is answered. What the client is told besides, when it asks.
    pub(crate) fn finish(mut self, status: StatusCode) -> Vec<(&'static str, Bytes)> {
        self.kind.status = status.as_u16();
        let recorder = self.journal.recorder();
        recorder.headers(self.sender, &self.journal, self.revision)
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        let (recorder, started) = (self.journal.recorder(), self.journal.started());
        let took = started.elapsed();
        self.route.stats.record(self.kind, took);
        let Some(due) = recorder.due(&self.journal, self.kind.status) else {
            return;
        };
        let journal = std::mem::replace(&mut self.journal, Journal::new(recorder, started));
        let now = SystemTime::now();
        let ending = Ending {
            began_at: now.checked_sub(took).unwrap_or(now),
            client: self.peer.address().to_string().into(),
            route: self.route.id,
            revision: self.revision,
            method: self.method,
            calls: self.calls,
            status: self.kind.status,
        };
        recorder.finish(due, journal, ending, self.request_bytes);
    }
}
