//! Bodies: JSON only, at most 4 MiB, within 10 seconds.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::{error::ApiError, object::Object};

/// The largest body, in bytes.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// How long a client may take to send its body.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A body that must be a JSON object.
pub(crate) struct JsonBody(pub(crate) Object);

/// A body that is read only when the client names its content type.
pub(crate) struct OptionalJsonBody(pub(crate) Option<Object>);

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::invalid("Unprocessable Entity"));
        }
        let bytes = read(request.into_body()).await?;
        Object::parse(bytes.as_ref()).map(Self)
    }
}

impl<S: Sync> FromRequest<S> for OptionalJsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !request.headers().contains_key(header::CONTENT_TYPE) {
            return Ok(Self(None));
        }
        let JsonBody(object) = JsonBody::from_request(request, state).await?;
        Ok(Self(Some(object)))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let media_type = value
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next());
    media_type.is_some_and(|text| text.trim().eq_ignore_ascii_case("application/json"))
}

async fn read(body: Body) -> Result<impl AsRef<[u8]>, ApiError> {
    let reading = Limited::new(body, MAX_BODY).collect();
    match tokio::time::timeout(READ_TIMEOUT, reading).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge),
        Ok(Err(_)) => Err(ApiError::invalid("body was cut off")),
        Err(_) => Err(ApiError::Timeout),
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, pin::Pin, task};

    use http_body::Frame;

    use super::*;

    /// A body whose end never comes.
    struct Endless;

    impl http_body::Body for Endless {
        type Data = axum::body::Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut task::Context<'_>,
        ) -> task::Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
            task::Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_sending_is_given_up() {
        let start = tokio::time::Instant::now();
        let read = read(Body::new(Endless)).await;
        assert!(matches!(read.map(|_| ()), Err(ApiError::Timeout)));
        assert_eq!(start.elapsed(), READ_TIMEOUT);
    }

    #[tokio::test]
    async fn a_body_may_have_four_mebibytes_and_no_more() {
        assert!(read(Body::from(vec![b' '; MAX_BODY])).await.is_ok());
        let read = read(Body::from(vec![b' '; MAX_BODY + 1])).await;
        assert!(matches!(read.map(|_| ()), Err(ApiError::TooLarge)));
    }
}
