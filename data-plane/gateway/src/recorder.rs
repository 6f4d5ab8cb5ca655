//! Which requests are written down, and where: access log, traces, and headers that tell a client who served it.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::access_log::{AccessLog, AccessLogMode, Entry};
use crate::trace::{Ending, Journal, Traces};
use crate::traceparent::TraceParent;
#[cfg(feature = "otlp")]
use tyrscale_telemetry::{Service, SpanExport};

/// The header with which a client asks to be told, and to be recorded.
pub(crate) const DEBUG_REQUEST: &str = "x-tyrscale-debug";
/// The headers that tell: whose answer it is, how often upstreams were asked, the revision of the configuration,
/// and the trace under which the request was recorded.
const SERVED_BY: &str = "x-tyrscale-upstream";
const ATTEMPTS: &str = "x-tyrscale-attempts";
const REVISION: &str = "x-tyrscale-revision";
const TRACE: &str = "x-tyrscale-trace";

/// What is written down of requests.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Seeing")]
pub struct RecorderArgs {
    /// Which requests are logged, one JSON object a line.
    #[arg(long, env = "TYRSCALE_GATEWAY_ACCESS_LOG", value_enum, default_value_t)]
    pub access_log: AccessLogMode,
    /// The share of requests that a sampled access log holds, 0 to 1.
    #[arg(long, env = "TYRSCALE_GATEWAY_ACCESS_LOG_SAMPLE", value_parser = share, default_value = "0.01")]
    pub access_log_sample: f64,
    /// The file that the access log is appended to; standard output without it.
    #[arg(long, env = "TYRSCALE_GATEWAY_ACCESS_LOG_FILE", value_name = "PATH")]
    pub access_log_file: Option<PathBuf>,
    /// The share of requests that are traced, 0 to 1, besides those that fail and those whose sender asks for it.
    #[arg(long, env = "TYRSCALE_GATEWAY_TRACE_SAMPLE", value_parser = share, default_value = "0.001")]
    pub trace_sample: f64,
    /// Most requests traced in a second; 0 traces none.
    #[arg(long, env = "TYRSCALE_GATEWAY_TRACE_LIMIT", default_value_t = 20)]
    pub trace_limit: u32,
    /// gRPC address of an OpenTelemetry collector that traces are sent to, such as http://127.0.0.1:4317.
    #[cfg(feature = "otlp")]
    #[arg(long, env = "TYRSCALE_GATEWAY_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<http::Uri>,
    /// Tells no client who served it, also when it asks with the header x-tyrscale-debug.
    #[arg(long, env = "TYRSCALE_GATEWAY_NO_DEBUG_HEADERS")]
    pub no_debug_headers: bool,
}

impl RecorderArgs {
    pub(crate) const DEFAULT: Self = Self {
        access_log: AccessLogMode::Off,
        access_log_sample: 0.01,
        access_log_file: None,
        trace_sample: 0.001,
        trace_limit: 20,
        #[cfg(feature = "otlp")]
        otlp_endpoint: None,
        no_debug_headers: false,
    };
}

impl Default for RecorderArgs {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Reads a share.
fn share(text: &str) -> Result<f64, &'static str> {
    let share: f64 = text.parse().map_err(|_| "must be a number from 0 to 1")?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("must be a number from 0 to 1")
    }
}

/// What a request says of itself that decides how it is written down.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sender<'a> {
    /// The header `traceparent`.
    pub(crate) traceparent: Option<&'a [u8]>,
    /// Whether it asks to be told who served it.
    pub(crate) asks: bool,
}

/// How a request is written down besides its trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    logged: bool,
}

/// Decides what is written down, and keeps it.
#[derive(Debug)]
pub(crate) struct Recorder {
    log: Option<Arc<AccessLog>>,
    traces: Traces,
    #[cfg(feature = "otlp")]
    exporter: Option<SpanExport>,
    trace_sample: f64,
    rate: Mutex<Rate>,
    tells: bool,
}

impl Recorder {
    /// # Errors
    /// When the access log cannot be opened, or traces cannot be sent to the collector's address.
    pub(crate) fn new(args: &RecorderArgs) -> io::Result<Self> {
        let file = args.access_log_file.as_deref();
        Ok(Self {
            log: AccessLog::start(args.access_log, args.access_log_sample, file)?,
            traces: Traces::default(),
            #[cfg(feature = "otlp")]
            exporter: args
                .otlp_endpoint
                .as_ref()
                .map(|endpoint| SpanExport::new(Service::Gateway, endpoint))
                .transpose()?,
            trace_sample: args.trace_sample,
            rate: Mutex::new(Rate::new(args.trace_limit)),
            tells: !args.no_debug_headers,
        })
    }

    /// The journal of a request that begins now.
    pub(crate) fn begin(&self, sender: Sender<'_>, started: Instant) -> Journal<'_> {
        let mut journal = Journal::new(self, started);
        let parent = sender.traceparent.and_then(TraceParent::parse);
        let is_drawn = || self.trace_sample > 0.0 && fastrand::f64() < self.trace_sample;
        let is_asked = sender.asks || parent.is_some_and(|parent| parent.sampled);
        let wanted = is_asked || is_drawn();
        let reason = if is_asked { Reason::Asked } else { Reason::Drawn };
        if wanted && self.takes(reason, started) {
            journal.record(parent);
        }
        journal
    }

    /// What the client is told besides its answer, when it asks.
    pub(crate) fn headers(
        &self,
        sender: Sender<'_>,
        journal: &Journal<'_>,
        revision: u64,
    ) -> Vec<(&'static str, Bytes)> {
        if !(self.tells && sender.asks) {
            return Vec::new();
        }
        let told = [
            (ATTEMPTS, Some(journal.attempts().to_string())),
            (REVISION, Some(revision.to_string())),
            (
                SERVED_BY,
                journal.served_by().map(|upstream| upstream.to_string()),
            ),
            (TRACE, journal.trace_id().map(|trace| trace.to_string())),
        ];
        told.into_iter()
            .filter_map(|(name, value)| Some((name, value?.into())))
            .collect()
    }

    /// Whether a request that ended with this status is written down; asked before an [`Ending`] is made.
    pub(crate) fn due(&self, journal: &Journal<'_>, status: u16) -> Option<Due> {
        let logged = self.log.as_ref().is_some_and(|log| log.wants(status));
        (logged || journal.is_recorded()).then_some(Due { logged })
    }

    /// Writes down a request that has ended.
    pub(crate) fn finish(&self, due: Due, journal: Journal<'_>, ending: Ending, request_bytes: usize) {
        if let Some(log) = self.log.as_ref().filter(|_| due.logged) {
            log.log(Entry {
                began_at: ending.began_at,
                client: ending.client.clone(),
                route: Some(ending.route),
                method: ending.method,
                calls: ending.calls,
                status: ending.status,
                upstream: journal.served_by(),
                attempts: journal.attempts(),
                took: journal.started().elapsed(),
                request_bytes,
                trace: journal.trace_id(),
            });
        }
        if let Some(trace) = journal.finish(ending) {
            let trace = self.traces.keep(trace);
            #[cfg(feature = "otlp")]
            if let Some(exporter) = &self.exporter {
                exporter.export(trace.to_span());
            }
            drop(trace);
        }
    }

    pub(crate) const fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Lines missing in the access log because it could not be written in time.
    pub(crate) fn log_lines_left_out(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.left_out())
    }

    /// Whether one more request may be recorded.
    pub(crate) fn takes(&self, reason: Reason, now: Instant) -> bool {
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.take(reason, now)
    }
}

/// Why a request is to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// By chance.
    Drawn,
    /// It meets a fault, which clients can bring about.
    Failed,
    /// Its sender wants it.
    Asked,
}

/// At most so many in each second.
#[derive(Debug)]
struct Rate {
    limit: u32,
    left: u32,
    second: Option<Instant>,
}

impl Rate {
    const fn new(limit: u32) -> Self {
        Self {
            limit,
            left: limit,
            second: None,
        }
    }

    /// Half of them are not for those who ask, and a quarter is not for faults, so that no client can use all up.
    fn take(&mut self, reason: Reason, now: Instant) -> bool {
        let is_over = |began: Instant| now.saturating_duration_since(began) >= Duration::from_secs(1);
        if self.second.is_none_or(is_over) {
            self.second = Some(now);
            self.left = self.limit;
        }
        let kept = match reason {
            Reason::Drawn => 0,
            Reason::Failed => self.limit / 4,
            Reason::Asked => self.limit / 2,
        };
        let taken = self.left > kept;
        self.left -= u32::from(taken);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Event;

    const SAMPLED: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const UNSAMPLED: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn recorder(trace_limit: u32) -> Recorder {
        let args = RecorderArgs {
            trace_sample: 0.0,
            trace_limit,
            ..RecorderArgs::DEFAULT
        };
        Recorder::new(&args).unwrap()
    }

    fn traced(traceparent: &'static [u8]) -> Sender<'static> {
        Sender {
            traceparent: Some(traceparent),
            asks: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_recorded_when_its_sender_records_or_asks_or_it_fails() {
        let recorder = recorder(9);
        let now = Instant::now();
        let asks = Sender {
            asks: true,
            ..Sender::default()
        };
        assert!(recorder.begin(traced(SAMPLED), now).is_recorded());
        assert!(recorder.begin(asks, now).is_recorded());
        assert!(!recorder.begin(traced(UNSAMPLED), now).is_recorded());
        let mut fails = recorder.begin(Sender::default(), now);
        assert!(!fails.is_recorded());
        let upstream = "00000000-0000-4000-0002-000000000001".parse().unwrap();
        fails.note(upstream, Event::Failed("server"));
        assert!(fails.is_recorded());
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_recorded_in_a_second() {
        let recorder = recorder(4);
        let count = |now| {
            let recorded = (0..5).filter(|_| recorder.begin(traced(SAMPLED), now).is_recorded());
            recorded.count()
        };
        assert_eq!(count(Instant::now()), 2);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(count(Instant::now()), 2);
    }

    #[test]
    fn those_who_ask_leave_some_for_the_others() {
        let now = Instant::now();
        for (limit, expected) in [(0, [0, 0, 0]), (1, [1, 0, 0]), (2, [1, 1, 0]), (20, [10, 5, 5])] {
            let mut rate = Rate::new(limit);
            let reasons = [Reason::Asked, Reason::Failed, Reason::Drawn];
            let taken = reasons.map(|reason| (0..100).filter(|_| rate.take(reason, now)).count());
            assert_eq!(taken, expected, "{limit}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_told_only_when_it_asks() {
        let recorder = recorder(9);
        let mut journal = recorder.begin(Sender::default(), Instant::now());
        let upstream: tyrscale_model::UpstreamId = "00000000-0000-4000-0002-000000000001".parse().unwrap();
        journal.note(upstream, Event::Asked);
        journal.note(upstream, Event::Answered);
        assert!(recorder.headers(Sender::default(), &journal, 7).is_empty());
        let asks = Sender {
            asks: true,
            ..Sender::default()
        };
        let told = recorder.headers(asks, &journal, 7);
        let of = |name| {
            told.iter()
                .find(|(it, _)| *it == name)
                .map(|(_, value)| value.as_ref())
        };
        assert_eq!(
            (of(ATTEMPTS), of(REVISION)),
            (Some(b"1".as_slice()), Some(b"7".as_slice()))
        );
        assert_eq!(of(SERVED_BY), Some(upstream.to_string().as_bytes()));
    }

    #[test]
    fn a_share_is_from_0_to_1() {
        assert!(share("0.5").is_ok() && share("1").is_ok());
        for bad in ["-0.1", "1.1", "NaN", "x", ""] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
