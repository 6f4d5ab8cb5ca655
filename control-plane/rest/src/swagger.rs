//! `/swagger/`: the OpenAPI document and a page that shows it.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::Path,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, Method, StatusCode, header};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use crate::error::ApiError;

const INDEX: &str = "/swagger/index.html";
const DOCUMENT: &str = "/swagger/doc.json";
const FILE: &str = "/swagger/{file}";

/// The paths of the routes.
pub(crate) const PATHS: [&str; 3] = ["/swagger", DOCUMENT, FILE];

/// The routes.
pub(crate) fn routes(document: OpenApi) -> Router {
    let document = Arc::new(document);
    let config = Arc::new(Config::from(DOCUMENT));
    Router::new()
        .route("/swagger", get(to_index))
        .route(
            DOCUMENT,
            get(move || async move { Json(document).into_response() }),
        )
        .route(
            FILE,
            get(move |Path(name): Path<String>| async move { file(&name, config) }),
        )
}

async fn to_index() -> Response {
    let location = [(header::LOCATION, HeaderValue::from_static(INDEX))];
    (StatusCode::MOVED_PERMANENTLY, location).into_response()
}

fn file(name: &str, config: Arc<Config<'static>>) -> Response {
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => {
            let mut response = file.bytes.into_owned().into_response();
            let headers = response.headers_mut();
            if let Ok(content_type) = file.content_type.parse() {
                headers.insert(header::CONTENT_TYPE, content_type);
            }
            if file.gzpipped {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        }
        Ok(None) => {
            let path = format!("/swagger/{name}");
            ApiError::NoSuchPath {
                method: Method::GET,
                path,
            }
            .into_response()
        }
        Err(_) => ApiError::Internal("the page cannot be made").into_response(),
    }
}
