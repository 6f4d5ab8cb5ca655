//! `load`: a client that checks every answer: as fast as answers come, or at a fixed rate.

mod closed;
mod open;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::connection::{Connection, ExchangeError, Peer};
use crate::histogram::Histogram;
use crate::question::{QuestionArgs, Questions, Wrong};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whom to ask.
    #[arg(long)]
    to: SocketAddr,
    /// Folder of certificates to speak TLS with.
    #[arg(long, value_name = "FOLDER")]
    tls: Option<PathBuf>,
    /// Connections, all kept alive.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// How long is measured, in seconds.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// How long the load goes on before, in seconds.
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    warmup: f64,
    /// Requests each second, whether answers come or not; without it each connection asks once it is answered.
    #[arg(long)]
    rate: Option<u32>,
    /// Ends after so many requests, without a warm-up.
    #[arg(long, conflicts_with = "rate")]
    requests: Option<u64>,
    #[command(flatten)]
    question: QuestionArgs,
}

/// What came of it. A latency is counted from when a request was due, or without a rate from when it was sent.
#[derive(Debug, Serialize)]
struct Report {
    /// Requests answered well while it was measured.
    done: u64,
    /// Seconds that were measured.
    seconds: f64,
    rps: f64,
    /// Answers that were wrong or did not come, by cause, warm-up included.
    errors: BTreeMap<String, u64>,
    /// Requests sent, warm-up included: what a processor time over the whole run is divided by.
    sent: u64,
    /// Requests due that no connection was free for.
    unsent: u64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
}

/// What all connections write down.
#[derive(Debug)]
struct Record {
    from: Instant,
    until: Instant,
    histogram: Histogram,
    errors: BTreeMap<String, u64>,
    sent: u64,
}

type Shared = Rc<RefCell<Record>>;

/// Why a request counts as failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error("{0}")]
    Wrong(Wrong),
}

/// One connection's side of the load; connects again when it has to.
struct Asker {
    peer: Peer,
    questions: Questions,
    connection: Option<Connection>,
    record: Shared,
}

impl Asker {
    /// Asks once; the latency counts from `due`.
    async fn ask(&mut self, due: Instant) {
        self.record.borrow_mut().sent += 1;
        let outcome = self.exchange().await;
        let now = Instant::now();
        let mut record = self.record.borrow_mut();
        match outcome {
            Ok(()) if (record.from..record.until).contains(&due) => record.histogram.record(now - due),
            Ok(()) => {}
            Err(failed) => *record.errors.entry(failed.to_string()).or_default() += 1,
        }
    }

    async fn exchange(&mut self) -> Result<(), Failed> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.peer).await?,
        };
        let answer = connection.exchange(self.questions.next()).await?;
        let (checked, close) = (self.questions.check(&answer), answer.close);
        if !close {
            self.connection = Some(connection);
        }
        checked.map_err(Failed::Wrong)
    }
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = tokio::task::LocalSet::new().block_on(&runtime, load(args))?;
    crate::tell(&report)
}

async fn load(args: Args) -> anyhow::Result<Report> {
    let peer = Peer {
        addr: args.to,
        tls: args.tls.as_deref().map(crate::tls::connector).transpose()?,
    };
    let warmup = Duration::from_secs_f64(if args.requests.is_some() { 0.0 } else { args.warmup });
    let start = Instant::now();
    let record = Rc::new(RefCell::new(Record {
        from: start + warmup,
        until: start + warmup + Duration::from_secs_f64(args.seconds),
        histogram: Histogram::default(),
        errors: BTreeMap::new(),
        sent: 0,
    }));
    let askers = (0..args.connections).map(|_| Asker {
        peer: peer.clone(),
        questions: Questions::new(&args.question),
        connection: None,
        record: Rc::clone(&record),
    });
    let unsent = match args.rate {
        Some(rate) => open::run(askers, rate, start, &record).await?,
        None => closed::run(askers, args.requests, &record).await?,
    };
    let record = record.borrow();
    let seconds = match args.requests {
        Some(_) => start.elapsed().as_secs_f64(),
        None => args.seconds,
    };
    Ok(report(&record, seconds, unsent))
}

fn report(record: &Record, seconds: f64, unsent: u64) -> Report {
    let micros = |per_mille| record.histogram.quantile(per_mille).as_secs_f64() * 1e6;
    let done = record.histogram.total();
    Report {
        done,
        seconds,
        // Counts stay far below what a double holds exactly.
        rps: done as f64 / seconds,
        errors: record.errors.clone(),
        sent: record.sent,
        unsent,
        p50_us: micros(500),
        p99_us: micros(990),
        p999_us: micros(999),
        max_us: micros(1000),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text
        .parse()
        .ok()
        .filter(|number| (0.0..=86_400.0).contains(number));
    seconds.ok_or_else(|| "must be a number of seconds up to 86400".to_owned())
}
