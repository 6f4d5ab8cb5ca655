//! The service: one task a stream, and pages of what is known.

use std::{ops::Bound, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};
use tyrscale_access::Guard;
use tyrscale_model::wire;
use tyrscale_proto::v1;

use super::{
    Telemetry,
    picture::{self, Picture},
    report::{self, Process, duration},
};
use crate::access::{Admission, Claim};

/// What nodes ask for, in the audit log.
const METHOD: &str = "/tyrscale.v1.TelemetryService/StreamTelemetry";
/// Messages that may wait for the transport, per stream.
const OUTBOX: usize = 2;
/// Until the first report, and at least between later ones.
const PATIENCE: Duration = Duration::from_secs(60);
const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1000;
/// Entries of one message to a watcher.
const PART: usize = 500;
const DEFAULT_WATCH: Duration = Duration::from_secs(5);
const WATCH: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// The service over what is reported.
pub(crate) struct TelemetryReader {
    telemetry: Telemetry,
    guard: Guard,
    streams: TaskTracker,
    shutdown: CancellationToken,
}

impl TelemetryReader {
    /// Serves streams as tasks of `streams`, which end at `shutdown`, to nodes that `guard` knows.
    pub(crate) const fn new(
        telemetry: Telemetry,
        guard: Guard,
        streams: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            telemetry,
            guard,
            streams,
            shutdown,
        }
    }
}

type Answers<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl v1::telemetry_service_server::TelemetryService for TelemetryReader {
    type StreamTelemetryStream = Answers<v1::StreamTelemetryResponse>;
    type WatchTelemetryStream = Answers<v1::WatchTelemetryResponse>;

    async fn stream_telemetry(
        &self,
        request: Request<Streaming<v1::StreamTelemetryRequest>>,
    ) -> Result<Response<Self::StreamTelemetryStream>, Status> {
        let (outbox, answers) = mpsc::channel(OUTBOX);
        let (telemetry, shutdown) = (self.telemetry.clone(), self.shutdown.clone());
        let admission = Admission::of_call(&self.guard, METHOD);
        let mut inbox = request.into_inner();
        self.streams.spawn(async move {
            let stream = Stream {
                serial: telemetry.next_stream(),
                telemetry,
                admission,
                outbox: outbox.clone(),
                process: None,
            };
            let served = tokio::select! {
                () = shutdown.cancelled() => Err(Status::unavailable("the control plane is stopping")),
                served = stream.run(&mut inbox) => served,
            };
            if let Err(status) = served {
                // Nobody is there to be told when this fails.
                outbox.send_timeout(Err(status), PATIENCE).await.ok();
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn get_telemetry(
        &self,
        request: Request<v1::GetTelemetryRequest>,
    ) -> Result<Response<v1::GetTelemetryResponse>, Status> {
        let key = request
            .into_inner()
            .resource
            .as_ref()
            .and_then(wire::key_from_wire);
        let key = key.and_then(|key| Some((picture::place(key.kind)?, key.id.to_string())));
        let key = key
            .ok_or_else(|| Status::invalid_argument("resource must name a network, an rpc or an upstream"))?;
        let telemetry = self.telemetry.picture().get(&key).cloned();
        match telemetry {
            Some(telemetry) => Ok(Response::new(v1::GetTelemetryResponse {
                telemetry: Some(telemetry),
            })),
            None => Err(Status::not_found("no node reports it")),
        }
    }

    async fn list_telemetry(
        &self,
        request: Request<v1::ListTelemetryRequest>,
    ) -> Result<Response<v1::ListTelemetryResponse>, Status> {
        let request = request.into_inner();
        let size = match request.page_size {
            0 => DEFAULT_PAGE,
            size @ 1..=MAX_PAGE => size,
            _ => {
                return Err(Status::invalid_argument(format!(
                    "page_size must be at most {MAX_PAGE}"
                )));
            }
        };
        let after = after(&request.page_token)?;
        let filter = request.filter.unwrap_or_default();
        let picture = self.telemetry.picture();
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut page: Vec<_> = picture
            .range((after, Bound::Unbounded))
            .filter(|(_, telemetry)| picture::passes(&filter, telemetry))
            .take(size.saturating_add(1))
            .collect();
        let has_more = page.len() > size;
        page.truncate(size);
        let last = page.last().map(|((place, id), _)| format!("{place}/{id}"));
        Ok(Response::new(v1::ListTelemetryResponse {
            telemetry: page.into_iter().map(|(_, telemetry)| telemetry.clone()).collect(),
            next_page_token: last.filter(|_| has_more).unwrap_or_default(),
        }))
    }

    async fn watch_telemetry(
        &self,
        request: Request<v1::WatchTelemetryRequest>,
    ) -> Result<Response<Self::WatchTelemetryStream>, Status> {
        let request = request.into_inner();
        let every = match &request.interval {
            None => DEFAULT_WATCH,
            Some(message) => duration(Some(message))
                .filter(|every| WATCH.contains(every))
                .ok_or_else(|| Status::invalid_argument("interval must be 1 to 60 seconds"))?,
        };
        let filter = request.filter.unwrap_or_default();
        let (outbox, answers) = mpsc::channel(OUTBOX);
        let (telemetry, shutdown) = (self.telemetry.clone(), self.shutdown.clone());
        self.streams.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = watch(&telemetry, &filter, every, &outbox) => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

/// Where a page begins.
fn after(token: &str) -> Result<Bound<(u8, String)>, Status> {
    if token.is_empty() {
        return Ok(Bound::Unbounded);
    }
    let key = token.split_once('/');
    let key = key.and_then(|(place, id)| Some((place.parse().ok()?, id.to_owned())));
    key.map(Bound::Excluded)
        .ok_or_else(|| Status::invalid_argument("page_token is not one of ours"))
}

/// Sends all that passes, at every interval, until the watcher is gone. One that reads slowly gets it less often.
async fn watch(
    telemetry: &Telemetry,
    filter: &v1::TelemetryFilter,
    every: Duration,
    outbox: &mpsc::Sender<Result<v1::WatchTelemetryResponse, Status>>,
) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = outbox.closed() => return,
            _ = ticks.tick() => {}
        }
        let picture = telemetry.picture();
        for part in parts(&picture, filter) {
            if outbox.send(Ok(part)).await.is_err() {
                return;
            }
        }
    }
}

/// All that passes, in messages of which the last is marked.
fn parts(picture: &Arc<Picture>, filter: &v1::TelemetryFilter) -> Vec<v1::WatchTelemetryResponse> {
    let passing = picture
        .values()
        .filter(|telemetry| picture::passes(filter, telemetry));
    let all: Vec<v1::Telemetry> = passing.cloned().collect();
    let mut parts: Vec<_> = all
        .chunks(PART)
        .map(|part| v1::WatchTelemetryResponse {
            telemetry: part.to_vec(),
            complete: false,
        })
        .collect();
    match parts.last_mut() {
        Some(last) => last.complete = true,
        None => parts.push(v1::WatchTelemetryResponse {
            telemetry: Vec::new(),
            complete: true,
        }),
    }
    parts
}

/// One node's stream of reports. Dropped, its process counts as gone.
struct Stream {
    telemetry: Telemetry,
    admission: Admission,
    serial: u64,
    outbox: mpsc::Sender<Result<v1::StreamTelemetryResponse, Status>>,
    process: Option<Process>,
}

impl Stream {
    async fn run(mut self, inbox: &mut Streaming<v1::StreamTelemetryRequest>) -> Result<(), Status> {
        let mut last: Option<Instant> = None;
        loop {
            let steering = self.telemetry.steering();
            let patience = steering.patience().max(PATIENCE);
            let message = tokio::time::timeout(patience, inbox.message())
                .await
                .map_err(|_| Status::deadline_exceeded("no report came in time"))??;
            let Some(message) = message else { return Ok(()) };
            let report = report::read(message)?;
            let sequence = report.sequence;
            let upstreams: Vec<_> = report.upstreams.keys().copied().collect();
            if self.process.is_none() {
                self.admission.admit(Claim::of_id(&report.process.node)).await?;
            }
            let process = self.process.get_or_insert_with(|| report.process.clone());
            if *process != report.process {
                return Err(Status::invalid_argument(
                    "node_id and boot_id must not change on a stream",
                ));
            }
            let now = Instant::now();
            // A node that reports much too often is answered and otherwise passed over.
            let is_due = last.is_none_or(|last| now.duration_since(last) >= steering.interval / 4);
            if is_due {
                last = Some(now);
                self.telemetry
                    .take(report, self.serial, steering)
                    .map_err(|full| Status::resource_exhausted(full.to_string()))?;
            }
            let answer = v1::StreamTelemetryResponse {
                interval: picture::wire(steering.interval),
                max_samples: u32::try_from(steering.max_samples).unwrap_or(u32::MAX),
                networks: self.telemetry.heads().to_vec(),
                upstreams: self.telemetry.upstream_heads(&upstreams),
                acknowledged_sequence: sequence,
            };
            if self.outbox.send(Ok(answer)).await.is_err() {
                return Ok(());
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            self.telemetry.close(process, self.serial);
        }
    }
}
