//! A call of a gRPC method within this process.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::stream;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, StreamBody};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tonic::body::Body;
use tower::{ServiceExt as _, util::BoxCloneSyncService};

use crate::{
    error::{ApiError, Refusal},
    frame::{self, Decoder},
};

/// The services with their layers.
pub(crate) type Services = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Headers that travel on as metadata: who asks, and by what name.
const METADATA: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-tyrscale-author"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("traceparent"),
];

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) headers: HeaderMap,
    /// What the connection is known by: address, certificate.
    pub(crate) extensions: Extensions,
}

/// The answers of a call, one after the other.
#[derive(Debug)]
pub(crate) struct Answers {
    method: MethodDescriptor,
    pool: DescriptorPool,
    body: Body,
    decoder: Decoder,
    ended: bool,
}

/// Why there are no messages to send.
type Fault = Arc<Mutex<Option<ApiError>>>;

/// Calls a method. The messages are made when the services ask for them, and not for who may not call. The answer may
/// still be an error: it comes as the first of the answers.
pub(crate) async fn call(
    services: Services,
    method: MethodDescriptor,
    messages: impl Future<Output = Result<Vec<DynamicMessage>, ApiError>> + Send + 'static,
    caller: Caller,
) -> Result<Answers, ApiError> {
    let pool = method.parent_pool().clone();
    let fault = Fault::default();
    let body = body_of(messages, Arc::clone(&fault));
    let request = request(&method, body, caller)?;
    let response = match services.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let failed = fault.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(error) = failed {
        return Err(error);
    }
    let (head, body) = response.into_parts();
    // An error without messages has its status in the head.
    match tonic::Status::from_header_map(&head.headers) {
        Some(status) if status.code() != tonic::Code::Ok => Err(refused(&status, &pool)),
        _ => Ok(Answers {
            method,
            pool,
            body,
            decoder: Decoder::default(),
            ended: false,
        }),
    }
}

fn body_of(
    messages: impl Future<Output = Result<Vec<DynamicMessage>, ApiError>> + Send + 'static,
    fault: Fault,
) -> Body {
    let frames = stream::once(async move {
        match messages.await {
            Ok(messages) => Ok(Frame::data(frame::encode(&messages))),
            Err(error) => {
                let status = tonic::Status::invalid_argument(error.to_string());
                *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(status)
            }
        }
    });
    Body::new(StreamBody::new(frames))
}

fn request(method: &MethodDescriptor, body: Body, caller: Caller) -> Result<Request<Body>, ApiError> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let uri: Uri = path.parse().map_err(|_| internal("the method has no path"))?;
    let mut request = Request::new(body);
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_2;
    *request.extensions_mut() = caller.extensions;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    for name in METADATA {
        if let Some(value) = caller.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    Ok(request)
}

impl Answers {
    /// The one answer of a unary call.
    pub(crate) async fn only(mut self) -> Result<DynamicMessage, ApiError> {
        let first = self.next().await?;
        let message = first.ok_or_else(|| internal("the service gave no answer"))?;
        // The status comes behind the message.
        while self.next().await?.is_some() {}
        Ok(message)
    }

    /// The next answer; `None` once the call has ended well.
    pub(crate) async fn next(&mut self) -> Result<Option<DynamicMessage>, ApiError> {
        loop {
            let framed = self.decoder.next();
            if let Some(bytes) = framed.map_err(|error| internal(&error.to_string()))? {
                let read = DynamicMessage::decode(self.method.output(), bytes);
                return read
                    .map(Some)
                    .map_err(|_| internal("the service's answer cannot be read"));
            }
            if self.ended || self.body.is_end_stream() {
                return if self.decoder.is_empty() {
                    Ok(None)
                } else {
                    Err(internal("the service's answer was cut"))
                };
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), ApiError> {
        let Some(frame) = self.body.frame().await else {
            self.ended = true;
            return Ok(());
        };
        let frame = frame.map_err(|status| refused(&status, &self.pool))?;
        match frame.into_data() {
            Ok(data) => self.decoder.push(&data),
            Err(frame) => {
                self.ended = true;
                let trailers = frame.into_trailers().unwrap_or_default();
                match tonic::Status::from_header_map(&trailers) {
                    Some(status) if status.code() != tonic::Code::Ok => {
                        return Err(refused(&status, &self.pool));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn refused(status: &tonic::Status, pool: &DescriptorPool) -> ApiError {
    ApiError::Refused(Box::new(Refusal::of(status, pool)))
}

fn internal(message: &str) -> ApiError {
    ApiError::Refused(Box::new(Refusal::internal(message)))
}
