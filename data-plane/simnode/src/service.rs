//! One request: captured, held back, failed or answered.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::behavior::{Behavior, FaultPlan};
use crate::body::{Pauses, SimBody};
use crate::chain::{Chain, Now};
use crate::coding;
use crate::control;
use crate::fault::{Fault, Garbage, RawResponse, RpcError};
use crate::load::Meter;
use crate::rpc::{self, View};
use crate::traffic::{CapturedRequest, Traffic};

/// The response header that names the node that answered.
pub const NODE_HEADER: HeaderName = HeaderName::from_static("x-simnode");
/// Largest request body, in bytes; a larger one gets 413.
const MAX_BODY: usize = 32 * 1024 * 1024;

/// Decides an answer from a request; `None` leaves it to the node.
pub(crate) type Responder = dyn Fn(&CapturedRequest) -> Option<RawResponse> + Send + Sync;

/// What may change while the node runs.
pub(crate) struct State {
    pub(crate) chain: Chain,
    pub(crate) behavior: Behavior,
    pub(crate) plan: FaultPlan,
    pub(crate) responder: Option<Arc<Responder>>,
}

/// What all connections of a node share.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) name_header: HeaderValue,
    pub(crate) traffic: Traffic,
    pub(crate) meter: Arc<Meter>,
    pub(crate) held: watch::Sender<bool>,
    state: Mutex<State>,
}

/// Why a connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("connection closed on purpose")]
pub(crate) struct Closed;

impl Shared {
    pub(crate) fn new(name: String, name_header: HeaderValue, chain: Chain) -> Self {
        let state = State {
            chain,
            behavior: Behavior::default(),
            plan: FaultPlan::default(),
            responder: None,
        };
        let held = watch::Sender::new(false);
        Self {
            name,
            name_header,
            traffic: Traffic::new(),
            meter: Arc::default(),
            held,
            state: Mutex::new(state),
        }
    }

    /// The state, its chain grown to the present.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.chain.advance(now());
        state
    }

    /// Answers a request, or asks for the connection to be closed.
    pub(crate) async fn serve(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<SimBody>, Closed> {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
            return Ok(self.finish(plain(StatusCode::PAYLOAD_TOO_LARGE, "request body too large")));
        };
        let body = body.to_bytes();
        if let Some(response) = control::serve(self, &head.method, head.uri.path(), &body) {
            return Ok(self.finish(response));
        }
        let is_gzip = coding::is_gzip(&head.headers);
        if is_gzip && self.state().behavior.refuses_gzip {
            let refused = plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content coding not supported");
            return Ok(self.finish(refused));
        }
        let decoded = match is_gzip.then(|| coding::decode(&body)) {
            None => body.clone(),
            Some(Ok(decoded)) => decoded,
            Some(Err(_)) => return Ok(self.finish(plain(StatusCode::BAD_REQUEST, "body is no gzip"))),
        };
        let captured = Arc::new(CapturedRequest {
            rpc_methods: rpc::methods(&decoded),
            method: head.method,
            uri: head.uri,
            version: head.version,
            headers: head.headers,
            body,
            decoded,
            peer,
            arrived: Instant::now(),
        });
        let in_flight = self.meter.request();
        self.traffic.record(&captured);
        match self.reply(&captured).await {
            Ok(response) => Ok(response.map(|body| body.answering(in_flight))),
            Err(closed) => {
                in_flight.answered();
                Err(closed)
            }
        }
    }

    async fn reply(&self, request: &CapturedRequest) -> Result<Response<SimBody>, Closed> {
        let (fault, responder, latency, pauses, gzip) = {
            let mut state = self.state();
            let State {
                behavior,
                plan,
                responder,
                ..
            } = &mut *state;
            let fault = plan.next(behavior, &request.rpc_methods, request.arrived);
            let jitter = plan.jitter(behavior.latency_jitter);
            let latency = behavior.latency_of(&request.rpc_methods) + jitter;
            let pauses = Pauses {
                start: behavior.body_start_delay,
                middle: behavior.body_delay,
            };
            (fault, responder.clone(), latency, pauses, behavior.gzip_answers)
        };
        // The sender lives in `self`, so the wait ends only with a release.
        self.held
            .subscribe()
            .wait_for(|held| !held)
            .await
            .map_err(|_| Closed)?;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let own = |error| {
            self.head_of(coding::encode(
                self.answer(request, error),
                gzip,
                &request.headers,
            ))
        };
        let response = match fault {
            None => match responder.and_then(|responder| responder(request)) {
                Some(response) => self.head_of(coding::encode(response, gzip, &request.headers)),
                None => own(None),
            },
            Some(Fault::RpcError(error)) => own(Some(&error)),
            Some(Fault::Respond(response)) => self.head_of(response),
            Some(Fault::Status { status, retry_after }) => self.head_of(status_page(status, retry_after)),
            Some(Fault::Garbage(garbage)) => self.head_of(self.garbage(garbage, request)),
            Some(Fault::Silence) => std::future::pending().await,
            Some(Fault::CloseBeforeAnswer) => return Err(Closed),
            Some(Fault::CloseMidBody { after_bytes }) => {
                return Ok(own(None).map(|body| SimBody::broken(body, after_bytes)));
            }
            Some(Fault::StallMidBody { after_bytes }) => {
                return Ok(own(None).map(|body| SimBody::stalled(body, after_bytes)));
            }
            Some(Fault::Trickle { every }) => {
                return Ok(own(None).map(|body| SimBody::trickle(body, every)));
            }
        };
        Ok(response.map(|body| SimBody::whole(body, pauses)))
    }

    /// The node's own answer: health for `GET`, JSON-RPC for `POST`.
    fn answer(&self, request: &CapturedRequest, error: Option<&RpcError>) -> RawResponse {
        let state = self.state();
        match request.method {
            Method::GET | Method::HEAD => {
                let status = state.behavior.health_status;
                plain(status, status.canonical_reason().unwrap_or_default())
            }
            Method::POST => {
                let view = View {
                    name: &self.name,
                    chain: &state.chain,
                    behavior: &state.behavior,
                };
                RawResponse::json(StatusCode::OK, rpc::answer(&request.decoded, &view, error))
            }
            _ => plain(StatusCode::METHOD_NOT_ALLOWED, "use POST"),
        }
    }

    fn garbage(&self, garbage: Garbage, request: &CapturedRequest) -> RawResponse {
        match garbage {
            Garbage::Html => {
                let page = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>\
                            <body><h1>502 Bad Gateway</h1></body></html>";
                RawResponse::new(StatusCode::OK, page)
                    .with_header(CONTENT_TYPE, HeaderValue::from_static("text/html"))
            }
            Garbage::Text => plain(
                StatusCode::OK,
                "upstream connect error or disconnect/reset before headers",
            ),
            Garbage::TruncatedJson => {
                let mut response = self.answer(request, None);
                response.body.truncate(response.body.len() / 2);
                response
            }
            Garbage::Empty => RawResponse::json(StatusCode::OK, Bytes::new()),
        }
    }

    fn finish(&self, response: RawResponse) -> Response<SimBody> {
        self.head_of(response)
            .map(|body| SimBody::whole(body, Pauses::default()))
    }

    fn head_of(&self, raw: RawResponse) -> Response<Bytes> {
        let mut response = Response::new(raw.body);
        *response.status_mut() = raw.status;
        *response.headers_mut() = raw.headers;
        response
            .headers_mut()
            .insert(NODE_HEADER, self.name_header.clone());
        response
    }
}

/// The present, read once for growth and timestamps.
pub(crate) fn now() -> Now {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now {
        instant: Instant::now(),
        unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
    }
}

fn status_page(status: StatusCode, retry_after: Option<u32>) -> RawResponse {
    let page = plain(status, status.canonical_reason().unwrap_or("error"));
    match retry_after {
        Some(seconds) => page.with_header(RETRY_AFTER, HeaderValue::from(seconds)),
        None => page,
    }
}

fn plain(status: StatusCode, text: &'static str) -> RawResponse {
    RawResponse::new(status, text).with_header(CONTENT_TYPE, HeaderValue::from_static("text/plain"))
}
