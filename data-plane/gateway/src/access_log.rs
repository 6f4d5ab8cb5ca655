//! The access log: one JSON object a line for each request that is logged.
//!
//! Lines are formatted and written by a thread of their own. When it cannot keep up they are left out and counted:
//! a slow disk must not slow down requests.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tyrscale_model::{RouteId, UpstreamId};

use crate::trace::milliseconds;
use crate::traceparent::TraceId;

/// Lines that may wait to be written.
const MAX_WAITING: usize = 8192;

/// Which requests are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum AccessLogMode {
    /// None.
    #[default]
    Off,
    /// Those answered with a status of 400 and above, or not at all.
    Errors,
    /// A share of all, drawn at random, and every error.
    Sampled,
    /// All.
    All,
}

/// One request, as it is logged.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) began_at: SystemTime,
    pub(crate) client: Box<str>,
    /// `None` when no route was found.
    pub(crate) route: Option<RouteId>,
    /// The method called if it is a known one; `batch` for a batch, `other` for others.
    pub(crate) method: &'static str,
    pub(crate) calls: usize,
    /// HTTP status of the answer; 499 when the client left before.
    pub(crate) status: u16,
    pub(crate) upstream: Option<UpstreamId>,
    pub(crate) attempts: u32,
    /// Until the head of the answer.
    pub(crate) took: Duration,
    pub(crate) request_bytes: usize,
    pub(crate) trace: Option<TraceId>,
}

/// Where requests are logged.
#[derive(Debug)]
pub(crate) struct AccessLog {
    mode: AccessLogMode,
    /// Of the requests that are no errors, when they are sampled: 0 to 1.
    share: f64,
    lines: SyncSender<Entry>,
    left_out: AtomicU64,
}

impl AccessLog {
    /// Starts the thread that writes to `file`, or to standard output; `None` when nothing is to be logged.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread not be started.
    pub(crate) fn start(
        mode: AccessLogMode,
        share: f64,
        file: Option<&Path>,
    ) -> io::Result<Option<Arc<Self>>> {
        if mode == AccessLogMode::Off {
            return Ok(None);
        }
        let out: Box<dyn Write + Send> = match file {
            Some(path) => Box::new(open(path)?),
            None => Box::new(io::stdout()),
        };
        let (log, entries) = Self::new(mode, share, MAX_WAITING);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(&entries, out))?;
        Ok(Some(Arc::new(log)))
    }

    fn new(mode: AccessLogMode, share: f64, waiting: usize) -> (Self, Receiver<Entry>) {
        let (lines, entries) = sync_channel(waiting);
        let log = Self {
            mode,
            share,
            lines,
            left_out: AtomicU64::new(0),
        };
        (log, entries)
    }

    /// Whether a request answered with this status is logged.
    pub(crate) fn wants(&self, status: u16) -> bool {
        match self.mode {
            AccessLogMode::Off => false,
            AccessLogMode::Errors => status >= 400,
            AccessLogMode::Sampled => status >= 400 || fastrand::f64() < self.share,
            AccessLogMode::All => true,
        }
    }

    pub(crate) fn log(&self, entry: Entry) {
        if self.lines.try_send(entry).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that could not be written.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes until nobody logs any more; flushes whenever nothing is waiting. A log that cannot be written to is not
/// worth a request: what fails is lost.
fn write_all(entries: &Receiver<Entry>, out: impl Write) {
    let mut out = BufWriter::new(out);
    loop {
        let entry = match entries.try_recv() {
            Ok(entry) => entry,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                warn_of(out.flush());
                match entries.recv() {
                    Ok(entry) => entry,
                    Err(_) => break,
                }
            }
        };
        warn_of(writeln!(out, "{}", line(&entry)));
    }
    warn_of(out.flush());
}

fn warn_of(written: io::Result<()>) {
    if let Err(error) = written {
        tracing::debug!(%error, "the access log could not be written");
    }
}

fn line(entry: &Entry) -> String {
    let time = jiff::Timestamp::try_from(entry.began_at).unwrap_or_default();
    json!({
        "time": format!("{time:.3}"),
        "client": entry.client,
        "route": entry.route.map(|route| route.to_string()),
        "method": entry.method,
        "calls": entry.calls,
        "status": entry.status,
        "upstream": entry.upstream.map(|upstream| upstream.to_string()),
        "attempts": entry.attempts,
        "took_ms": milliseconds(entry.took),
        "request_bytes": entry.request_bytes,
        "trace": entry.trace.map(|trace| trace.to_string()),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn entry(status: u16) -> Entry {
        Entry {
            began_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            client: "10.0.0.1".into(),
            route: None,
            method: "eth_call",
            calls: 1,
            status,
            upstream: None,
            attempts: 2,
            took: Duration::from_micros(1234),
            request_bytes: 80,
            trace: None,
        }
    }

    #[test]
    fn each_request_is_a_line_of_json() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (log, entries) = AccessLog::new(AccessLogMode::All, 0.0, 8);
        log.log(entry(200));
        log.log(entry(502));
        drop(log);
        write_all(&entries, open(file.path()).unwrap());
        let text = std::fs::read_to_string(file.path()).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["time"], "2023-11-14T22:13:20.123Z");
        assert_eq!(lines[0]["took_ms"], 1.234);
        assert_eq!(lines[1]["status"], 502);
    }

    #[test]
    fn what_cannot_be_written_in_time_is_counted_and_not_waited_for() {
        let (log, _entries) = AccessLog::new(AccessLogMode::All, 0.0, 2);
        for _ in 0..5 {
            log.log(entry(200));
        }
        assert_eq!(log.left_out(), 3);
    }

    #[test]
    fn the_mode_says_which_requests_are_logged() {
        let wants = |mode, share, status| AccessLog::new(mode, share, 1).0.wants(status);
        assert!(!wants(AccessLogMode::Errors, 1.0, 200) && wants(AccessLogMode::Errors, 0.0, 499));
        assert!(!wants(AccessLogMode::Sampled, 0.0, 200) && wants(AccessLogMode::Sampled, 0.0, 503));
        assert!(wants(AccessLogMode::Sampled, 1.0, 200) && wants(AccessLogMode::All, 0.0, 200));
    }

    #[test]
    fn nothing_is_started_when_nothing_is_logged_and_a_bad_file_is_an_error() {
        assert!(AccessLog::start(AccessLogMode::Off, 0.0, None).unwrap().is_none());
        assert!(AccessLog::start(AccessLogMode::All, 0.0, Some(Path::new("/nowhere/log"))).is_err());
    }
}
