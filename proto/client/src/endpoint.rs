//! How the control plane is connected to.

use std::time::Duration;

use http::Uri;
use tonic::transport::Endpoint;

use crate::ClientError;

const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Trailers carry broken rules.
const MAX_HEADER_LIST: u32 = 64 * 1024;

/// An endpoint without TLS that notices a dead peer.
///
/// # Errors
/// [`ClientError::InvalidEndpoint`] unless `uri` is `http://host[:port]`.
pub(crate) fn endpoint(uri: &Uri, connect_timeout: Duration) -> Result<Endpoint, ClientError> {
    let has_user = uri
        .authority()
        .is_none_or(|authority| authority.as_str().contains('@'));
    if uri.scheme_str() != Some("http") || has_user || !matches!(uri.path(), "" | "/") {
        return Err(ClientError::InvalidEndpoint);
    }
    let endpoint = Endpoint::new(uri.clone()).map_err(|_| ClientError::InvalidEndpoint)?;
    Ok(endpoint
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .http2_max_header_list_size(MAX_HEADER_LIST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_endpoints_without_user_or_path_are_taken() {
        let second = Duration::from_secs(1);
        for good in [
            "http://127.0.0.1:8889",
            "http://control-plane:8889/",
            "http://[::1]:1",
        ] {
            assert!(endpoint(&good.parse().unwrap(), second).is_ok(), "{good}");
        }
        for bad in [
            "https://h:1",
            "h:1",
            "/path",
            "http://user:key@h:1",
            "http://h:1/path",
        ] {
            assert!(endpoint(&bad.parse().unwrap(), second).is_err(), "{bad}");
        }
    }
}
