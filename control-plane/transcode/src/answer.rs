//! Messages as JSON, alone or a line each.

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::Value;

use crate::call::Answers;

const OPTIONS: SerializeOptions = SerializeOptions::new()
    .use_proto_field_name(true)
    .stringify_64_bit_integers(false)
    .skip_default_fields(false);

/// A message by the JSON mapping of protobuf.
pub(crate) fn to_json(message: &DynamicMessage) -> Result<Value, serde_json::Error> {
    message.serialize_with_options(serde_json::value::Serializer, &OPTIONS)
}

/// The answer of a unary call, with the etag of the resource it holds.
pub(crate) fn whole(message: &DynamicMessage, status: StatusCode) -> Response {
    let Ok(value) = to_json(message) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = (status, axum::Json(&value)).into_response();
    if let Some(etag) = etag_of(&value)
        && let Ok(etag) = HeaderValue::from_str(&format!("\"{etag}\""))
    {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// The etag of the one resource in an answer.
fn etag_of(answer: &Value) -> Option<&str> {
    let parts = answer.as_object()?.values();
    let etags = parts.filter_map(|part| part.get("meta")?.get("etag")?.as_str());
    etags.into_iter().find(|etag| !etag.is_empty())
}

/// The answers of a call that goes on, each a line of JSON as it comes. An error is the last line.
pub(crate) fn lines(mut answers: Answers) -> Response {
    let lines = async_stream::stream! {
        loop {
            match answers.next().await {
                Ok(Some(message)) => yield Ok::<Bytes, std::convert::Infallible>(line(to_json(&message).unwrap_or_default())),
                Ok(None) => break,
                Err(error) => {
                    yield Ok(line(error.to_json()));
                    break;
                }
            }
        }
    };
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(lines)).into_response()
}

fn line(value: Value) -> Bytes {
    format!("{value}\n").into()
}
