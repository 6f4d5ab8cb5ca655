//! A call of a gRPC method within this process.

use std::convert::Infallible;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
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

/// Calls a method. The answer may still be an error: it comes as the first of the answers.
pub(crate) async fn call(
    services: Services,
    method: MethodDescriptor,
    messages: &[DynamicMessage],
    caller: Caller,
) -> Result<Answers, ApiError> {
    let pool = method.parent_pool().clone();
    let request = request(&method, messages, caller)?;
    let response = match services.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
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

fn request(
    method: &MethodDescriptor,
    messages: &[DynamicMessage],
    caller: Caller,
) -> Result<Request<Body>, ApiError> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let uri: Uri = path.parse().map_err(|_| internal("the method has no path"))?;
    let mut request = Request::new(Body::new(Full::new(frame::encode(messages))));
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
