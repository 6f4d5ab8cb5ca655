//! The layer that every gRPC call passes: it finds out who calls, refuses who may not, and ends streams whose credential has
//! ended.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use axum::http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Frame, SizeHint};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};
use tyrscale_access::{Call, Guard, Outcome, Peer, Refusal, permission_of};

/// Lets calls through to a service.
#[derive(Debug, Clone)]
pub(crate) struct AccessLayer {
    guard: Guard,
}

impl AccessLayer {
    pub(crate) const fn new(guard: Guard) -> Self {
        Self { guard }
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            guard: self.guard.clone(),
            inner,
        }
    }
}

/// A service behind the guard.
#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone has not been asked whether it is ready; the one that was takes the call.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(answer(self.guard.clone(), inner, request))
    }
}

async fn answer<S>(guard: Guard, mut inner: S, request: Request<Body>) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
    S::Future: Send,
{
    let Some(peer) = request.extensions().get::<Peer>().cloned() else {
        return Ok(Status::internal("the connection is not known").into_http());
    };
    let name = request.uri().path().to_owned();
    let headers = request.headers();
    let authorization = headers.get(header::AUTHORIZATION).cloned();
    let request_id = headers.get("x-request-id").cloned();
    let call = Call {
        name: &name,
        rule: permission_of(&name),
        peer: &peer,
        authorization: authorization.as_ref().map(HeaderValue::as_bytes),
        request_id: request_id.as_ref().map(HeaderValue::as_bytes),
    };
    let outcome = |answer: &Result<Response<Body>, Infallible>| match answer {
        Ok(response) => outcome_of(response.headers()),
        Err(never) => match *never {},
    };
    match guard.run(call, inner.call(request), outcome).await {
        Ok((answer, caller)) if caller.expires.is_some() => {
            let unfit = async move { guard.gate().unfit(&caller, &peer).await };
            answer.map(|response| response.map(|body| Body::new(Ending::new(body, unfit))))
        }
        Ok((answer, _)) => answer,
        Err(refusal) => Ok(status_of(&refusal).into_http()),
    }
}

/// How a call ended: a refusal has its status at once, any other answer in its trailers.
fn outcome_of(headers: &HeaderMap) -> Outcome {
    match headers.get("grpc-status").map(HeaderValue::as_bytes) {
        None | Some(b"0") => Outcome::Done,
        Some(status) if Code::from_bytes(status) == Code::PermissionDenied => Outcome::Denied,
        Some(_) => Outcome::Failed,
    }
}

fn status_of(refusal: &Refusal) -> Status {
    let code = match refusal {
        refusal if refusal.is_unauthenticated() => Code::Unauthenticated,
        refusal if refusal.is_limit() => Code::ResourceExhausted,
        _ => Code::PermissionDenied,
    };
    Status::new(code, refusal.to_string())
}

type Unfit = Pin<Box<dyn Future<Output = Refusal> + Send>>;

/// The body of an answer, which ends when the caller's credential does.
struct Ending {
    body: Body,
    /// None once it has ended.
    unfit: Option<Unfit>,
}

impl Ending {
    fn new(body: Body, unfit: impl Future<Output = Refusal> + Send + 'static) -> Self {
        Self {
            body,
            unfit: Some(Box::pin(unfit)),
        }
    }
}

impl http_body::Body for Ending {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let own = self.get_mut();
        let Some(unfit) = &mut own.unfit else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(refusal) = unfit.as_mut().poll(cx) {
            own.unfit = None;
            let mut trailers = HeaderMap::new();
            // A status made here always fits headers.
            return Poll::Ready(match status_of(&refusal).add_header(&mut trailers) {
                Ok(()) => Some(Ok(Frame::trailers(trailers))),
                Err(status) => Some(Err(status)),
            });
        }
        Pin::new(&mut own.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.unfit.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
