//! HTTP/2 towards clients, with TLS or with prior knowledge.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::mpsc;
use tyrscale_http1::{Fields, RequestHead, Rewind, Target, Timer, Version};

use crate::answer::{self, Answer};
use crate::body::{AnswerBody, Interrupted, Rest};
use crate::config::Settings;
use crate::connection::{ClientStream, Serving};
use crate::headers::Peer;
use crate::proxy::Request;
use crate::request::Unread;
use crate::stall::WriteTimeout;
use crate::upstream::Place;

/// Most requests at once on a connection.
const MAX_STREAMS: u32 = 256;
/// How often a quiet client is asked whether it is still there, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves connections of HTTP/2.
#[derive(Debug)]
pub(crate) struct Http2(Builder<TokioExecutor>);

impl Http2 {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(settings.max_header_bytes)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        Self(builder)
    }

    /// Serves a connection to its end.
    pub(crate) async fn serve<S: ClientStream>(&self, serving: &Arc<Serving>, stream: Rewind<S>, peer: Peer) {
        let mut drain = serving.drain.watch();
        let settings = &serving.gateway.settings;
        let stream = WriteTimeout::new(stream, settings.write_timeout);
        let (spoke, peer) = (AtomicBool::new(false), Arc::new(peer));
        let service = service_fn(|request: http::Request<Incoming>| {
            spoke.store(true, Ordering::Relaxed);
            let (serving, peer) = (Arc::clone(serving), Arc::clone(&peer));
            async move { Ok::<_, Infallible>(respond(&serving, &peer, request).await) }
        });
        let mut connection = pin!(self.0.serve_connection(TokioIo::new(stream), service));
        // Until the first request no timeout of the protocol runs.
        let mut silence = pin!(tokio::time::sleep(settings.header_timeout));
        let (mut may_be_silent, mut draining) = (true, false);
        let ended = loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => break ended,
                () = silence.as_mut(), if may_be_silent => {
                    if !spoke.load(Ordering::Relaxed) {
                        return;
                    }
                    may_be_silent = false;
                }
                () = std::future::poll_fn(|context| drain.poll_begun(context)), if !draining => {
                    connection.as_mut().graceful_shutdown();
                    draining = true;
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection of a client failed");
        }
    }
}

async fn respond(serving: &Serving, peer: &Peer, request: http::Request<Incoming>) -> Response<StreamBody> {
    let gateway = &serving.gateway;
    let settings = &gateway.settings;
    let (parts, body) = request.into_parts();
    let Some(head) = head(&parts) else {
        gateway.stats.count_unread();
        let text = "a request must name its host once";
        return response(answer::malformed(StatusCode::BAD_REQUEST, text), settings);
    };
    let answer = match Request::begin(gateway, &head, peer).await {
        Ok(mut request) => {
            let body = tokio::time::timeout(settings.body_timeout, read(body, &mut request)).await;
            let body = body.unwrap_or(Err(Unread::TooSlow));
            let mut place = Place {
                worker: serving.worker,
                settings,
                broadcasts: &gateway.broadcasts,
                load: &gateway.load,
                timer: &mut Timer::new(),
            };
            request.answer(body, &mut place).await
        }
        Err(answer) => answer,
    };
    let mut response = response(answer, settings);
    // Source: RFC 9110, section 9.3.2.
    if head.method == http::Method::HEAD {
        *response.body_mut() = StreamBody::Whole(Bytes::new());
    }
    response
}

/// The head as one of HTTP/1.1; `None` when it names two hosts, or has what cannot stand there.
fn head(parts: &Parts) -> Option<RequestHead> {
    let hosts = parts.headers.get_all("host").iter().count();
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    if hosts > 1 {
        return None;
    }
    // The authority stands for the field. Source: RFC 9113, section 8.3.1.
    let named = authority.map(|host| ("host", host.as_bytes()));
    let fields = parts.headers.iter();
    let fields = fields
        .filter(|(name, _)| authority.is_none() || *name != "host")
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let path = parts
        .uri
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    Some(RequestHead {
        method: parts.method.clone(),
        target: Target::new(path).ok()?,
        version: Version::Http11,
        fields: Fields::from_pairs(named.into_iter().chain(fields)).ok()?,
    })
}

/// Reads a body of bounded size.
async fn read(mut body: Incoming, request: &mut Request<'_>) -> Result<Bytes, Unread> {
    let most = request.max_body_bytes();
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame.map_err(|_| Unread::Broken)?.into_data() else {
            continue;
        };
        let bytes = read.len().saturating_add(part.len());
        if bytes > most {
            return Err(Unread::TooLarge);
        }
        if !request.has_room(bytes) {
            return Err(Unread::NoRoom);
        }
        read.extend_from_slice(&part);
    }
    Ok(read.freeze())
}

fn response(answer: Answer, settings: &Settings) -> Response<StreamBody> {
    let mut headers = http::HeaderMap::new();
    for field in answer.fields() {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(field.name()),
            HeaderValue::from_bytes(field.value()),
        ) {
            headers.append(name, value);
        }
    }
    let body = match answer.body {
        AnswerBody::Whole(bytes) => StreamBody::Whole(bytes),
        AnswerBody::Streaming(rest) => StreamBody::fetched(*rest, settings.write_timeout),
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    response
}

/// The body of a response. A task fetches what is still to come, so that upstream and attempt are given back in
/// time also when the client asks for nothing more.
enum StreamBody {
    /// Empty once sent.
    Whole(Bytes),
    Fetched {
        coming: Option<u64>,
        parts: mpsc::Receiver<Part>,
    },
}

/// The next part of a body, or its end.
type Part = Result<Option<Bytes>, Interrupted>;

impl StreamBody {
    fn fetched(rest: Rest, write_timeout: Duration) -> Self {
        let (client, parts) = mpsc::channel(1);
        let coming = rest.length();
        tokio::spawn(fetch(rest, client, write_timeout));
        Self::Fetched { coming, parts }
    }
}

/// Passes on what comes, until the client leaves or takes nothing for too long.
async fn fetch(mut rest: Rest, client: mpsc::Sender<Part>, write_timeout: Duration) {
    let mut timer = Timer::new();
    loop {
        let part = tokio::select! {
            () = client.closed() => return,
            part = rest.next(&mut timer) => part,
        };
        let is_last = !matches!(part, Ok(Some(_)));
        if client.send_timeout(part, write_timeout).await.is_err() || is_last {
            return;
        }
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        match self.get_mut() {
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Fetched { coming, parts } => parts.poll_recv(context).map(|part| match part {
                Some(Ok(part)) => {
                    let length = part.as_ref().map_or(0, Bytes::len) as u64;
                    *coming = coming.map(|coming| coming.saturating_sub(length));
                    part.map(|part| Ok(Frame::data(part)))
                }
                // Without an end told, this is none.
                Some(Err(Interrupted)) | None => Some(Err(Interrupted)),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        let length = match self {
            Self::Whole(bytes) => Some(bytes.len() as u64),
            Self::Fetched { coming, .. } => *coming,
        };
        length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
