//! `/api/v2` as a router.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::to_bytes,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request};
use percent_encoding::percent_decode_str;
use prost_reflect::{DescriptorError, DescriptorPool};
use tonic::body::Body;
use tower::{Service, util::BoxCloneSyncService};

use crate::{
    answer,
    call::{self, Caller, Services},
    error::{ApiError, Refusal},
    openapi,
    operation::{Binding, Operation, Operations},
    request::{Parts, messages},
};

/// Where it is served.
pub const PREFIX: &str = "/api/v2";
const PACKAGE: &str = "tyrscale.v1";
/// The largest body, in bytes: a document for `apply` is the largest there is.
const MAX_BODY: usize = 64 * 1024 * 1024;
const DOCUMENT: &str = "openapi.json";

#[derive(Debug)]
struct Api {
    operations: Operations,
    document: serde_json::Value,
    services: Services,
}

/// A router that serves every method of the services below [`PREFIX`], and their OpenAPI document at `/api/v2/openapi.json`.
///
/// # Errors
/// [`DescriptorError`] when the descriptors built in cannot be read.
pub fn router<S>(services: S) -> Result<Router, DescriptorError>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    let pool = DescriptorPool::decode(tyrscale_proto::FILE_DESCRIPTOR_SET)?;
    let operations = Operations::of(&pool, PACKAGE);
    let api = Api {
        document: openapi::document(&operations),
        operations,
        services: BoxCloneSyncService::new(services),
    };
    let inner = Router::new().fallback(serve).with_state(Arc::new(api));
    Ok(Router::new().nest(PREFIX, inner))
}

async fn serve(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    // The prefix is gone already.
    let path = head.uri.path().trim_start_matches('/').to_owned();
    if path == DOCUMENT && head.method == Method::GET {
        return axum::Json(&api.document).into_response();
    }
    let answered = match find(&api.operations, &head.method, &path) {
        Ok((operation, id)) => answer(&api, operation, id, head, body).await,
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(ApiError::into_response)
}

/// The operation at a path, and the id in it.
fn find<'a>(
    operations: &'a Operations,
    verb: &Method,
    path: &str,
) -> Result<(&'a Operation, Option<String>), ApiError> {
    let (collection, rest) = path
        .split_once('/')
        .map_or((path, ""), |(first, rest)| (first, rest));
    let id = match rest {
        "" => None,
        text => {
            let decoded = percent_decode_str(text).decode_utf8();
            let decoded = decoded.map_err(|_| ApiError::BadRequest("the path is no UTF-8".to_owned()))?;
            Some(decoded.into_owned())
        }
    };
    let here: Vec<&Operation> = operations.at(collection, id.is_some()).collect();
    if let Some(operation) = here.iter().find(|operation| operation.verb == *verb) {
        return Ok((operation, id));
    }
    let allowed: Vec<&str> = here.iter().map(|operation| operation.verb.as_str()).collect();
    Err(if allowed.is_empty() {
        ApiError::NoSuchPath(format!("{PREFIX}/{path}"))
    } else {
        ApiError::WrongMethod {
            method: verb.to_string(),
            allowed: allowed.join(", "),
        }
    })
}

async fn answer(
    api: &Api,
    operation: &Operation,
    id: Option<String>,
    head: request::Parts,
    body: axum::body::Body,
) -> Result<Response, ApiError> {
    let etag = etag_of(&head.headers)?;
    let has_etag = etag.is_some();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let asked = operation.clone();
    // Not read before the services have let the caller in.
    let messages = async move {
        let body = to_bytes(body, MAX_BODY).await.map_err(unread)?;
        let parts = Parts {
            id: id.as_deref(),
            query: &query,
            body: &body,
            etag: etag.as_deref(),
        };
        messages(&asked, parts)
    };
    let caller = Caller {
        headers: head.headers,
        extensions: head.extensions,
    };
    let conditional = |error| on_condition(error, has_etag);
    let answers = call::call(api.services.clone(), operation.method.clone(), messages, caller);
    let answers = answers.await.map_err(conditional)?;
    if operation.method.is_server_streaming() {
        return Ok(answer::lines(answers));
    }
    let message = answers.only().await.map_err(conditional)?;
    let status = match operation.binding {
        Binding::Resource(_) => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    Ok(answer::whole(&message, status))
}

fn unread(error: axum::Error) -> ApiError {
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return ApiError::TooLarge(MAX_BODY);
        }
        cause = error.source();
    }
    ApiError::Unread
}

/// The etag that `If-Match` names. Source: RFC 9110, section 13.1.1; one strong tag is understood, or `*`.
fn etag_of(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let refuse = || ApiError::BadRequest("If-Match must hold one etag in double quotes, or *".to_owned());
    let text = HeaderValue::to_str(value).map_err(|_| refuse())?.trim();
    if text == "*" {
        return Ok(None);
    }
    let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    tag.filter(|tag| !tag.contains('"'))
        .map(|tag| Some(tag.to_owned()))
        .ok_or_else(refuse)
}

fn on_condition(error: ApiError, conditional: bool) -> ApiError {
    match error {
        ApiError::Refused(refusal) => ApiError::Refused(Box::new(Refusal {
            conditional,
            ..*refusal
        })),
        other => other,
    }
}
