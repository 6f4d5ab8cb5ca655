//! What every request passes: request id, CORS, the spelling of its path.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::PathAndQuery};
use tower::ServiceExt;
use tyrscale_access::{Call, Guard, Outcome, Peer, permission_of};
use uuid::Uuid;

use crate::{RestState, error::ApiError, openapi, path_table::PathTable};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Debug)]
struct Edge {
    paths: PathTable,
    inner: Router,
    /// Who may call what; none: everybody everything.
    guard: Option<Guard>,
}

/// The whole shim: `/api/v1`, `/liveness`, `/readiness` and `/swagger/`.
pub fn router(state: RestState) -> Router {
    let guard = state.guard().cloned();
    let (inner, paths) = openapi::operations(state);
    let edge = Edge {
        guard,
        paths: PathTable::new(paths.iter().map(String::as_str)),
        inner: inner.method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed }),
    };
    Router::new().fallback(pass).with_state(Arc::new(edge))
}

async fn pass(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    let new_id = || HeaderValue::from_str(&Uuid::new_v4().to_string()).ok();
    let id = request.headers().get(REQUEST_ID).cloned().or_else(new_id);
    let crosses_origins = request.headers().contains_key(header::ORIGIN);
    let mut response = if is_preflight(&request) {
        preflight()
    } else {
        edge.dispatch(request).await
    };
    let headers = response.headers_mut();
    if let Some(id) = id {
        headers.insert(REQUEST_ID, id);
    }
    if crosses_origins {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}

impl Edge {
    async fn dispatch(&self, mut request: Request) -> Response {
        let Some(spelled) = self.paths.spell(request.uri().path()) else {
            return no_such_path(&request);
        };
        match respelled(request.uri(), &spelled.path) {
            Some(uri) => *request.uri_mut() = uri,
            None => return no_such_path(&request),
        }
        match &self.guard {
            Some(guard) => self.guarded(guard, spelled.template, request).await,
            None => self.answer(request).await,
        }
    }

    async fn answer(&self, request: Request) -> Response {
        match self.inner.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    async fn guarded(&self, guard: &Guard, template: &str, request: Request) -> Response {
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            return ApiError::Internal("the connection is not known").into_response();
        };
        let method = match *request.method() {
            // It is answered as GET is, without the body.
            Method::HEAD => &Method::GET,
            ref method => method,
        };
        let name = format!("{method} {template}");
        let headers = request.headers();
        let authorization = headers.get(header::AUTHORIZATION).cloned();
        let request_id = headers.get(&REQUEST_ID).cloned();
        let call = Call {
            name: &name,
            rule: permission_of(&name),
            peer: &peer,
            authorization: authorization.as_ref().map(HeaderValue::as_bytes),
            request_id: request_id.as_ref().map(HeaderValue::as_bytes),
        };
        let outcome = |response: &Response| match response.status() {
            status if status.is_success() => Outcome::Done,
            _ => Outcome::Failed,
        };
        match guard.run(call, self.answer(request), outcome).await {
            Ok((response, _)) => response,
            Err(refusal) => ApiError::Access(refusal).into_response(),
        }
    }
}

fn no_such_path(request: &Request) -> Response {
    let error = ApiError::NoSuchPath {
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
    };
    error.into_response()
}

fn respelled(uri: &Uri, path: &str) -> Option<Uri> {
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let path_and_query: PathAndQuery = path_and_query.parse().ok()?;
    Some(Uri::from(path_and_query))
}

fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let headers: HeaderMap = [
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET,POST,PUT,PATCH,DELETE,OPTIONS",
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Origin,Content-Type,Accept,Authorization",
        ),
        (
            header::VARY,
            "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        ),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
    .into_iter()
    .collect();
    (StatusCode::NO_CONTENT, headers).into_response()
}
