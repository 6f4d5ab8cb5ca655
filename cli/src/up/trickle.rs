//! A little traffic for as long as the demo runs, so that there is something to measure.

use std::time::Duration;

use http::{Request, header::HOST as HOST_HEADER};
use tokio::time::{MissedTickBehavior, interval};

use super::scene::HOST;
use crate::http_client::HttpClient;

/// Between two requests.
const PACE: Duration = Duration::from_millis(40);
const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;

/// Sends requests to `url` one after the other until it is dropped. What becomes of them is for the metrics to tell.
pub(super) async fn run(http: HttpClient, url: String) -> std::convert::Infallible {
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let request = Request::post(&url)
            .header(HOST_HEADER, HOST)
            .body(BODY.to_owned());
        if let Ok(request) = request {
            drop(http.send(request).await);
        }
    }
}
