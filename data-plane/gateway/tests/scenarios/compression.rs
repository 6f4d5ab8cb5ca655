//! gzip, from clients and from upstreams.

use std::io::Read;

use flate2::read::GzDecoder;
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http_body_util::Full;
use serde_json::{Value, json};
use tyrscale_simnode::GzipAnswers;

use super::harness::{Harness, call_body, node};

/// Scenario 15: header and body agree, once, whatever the upstream does.
#[tokio::test]
async fn what_a_client_gets_is_coded_as_it_says_and_only_if_accepted() {
    let node = node("n").await;
    node.answer("eth_getLogs", None, Ok(json!("a".repeat(5_000))));
    let harness = Harness::in_front_of(&[&node]).await;
    for rule in [GzipAnswers::Never, GzipAnswers::WhenAccepted, GzipAnswers::Always] {
        node.update_behavior(|it| it.gzip_answers = rule);
        for accept in ["gzip", "identity"] {
            let request = harness.client.request("/eth").header(ACCEPT_ENCODING, accept);
            let answer = harness
                .client
                .send(request.body(Full::new(call_body("eth_getLogs"))).unwrap())
                .await;
            if rule == GzipAnswers::Always && answer.status == StatusCode::BAD_GATEWAY {
                // Nobody had asked it to.
                continue;
            }
            let codings: Vec<_> = answer.headers.get_all(CONTENT_ENCODING).iter().collect();
            let body = match codings.as_slice() {
                [] => answer.body.to_vec(),
                [one] => {
                    assert_eq!((*one, accept), (&"gzip".parse().unwrap(), "gzip"));
                    let mut plain = Vec::new();
                    GzDecoder::new(answer.body.as_ref())
                        .read_to_end(&mut plain)
                        .unwrap();
                    plain
                }
                more => panic!("{more:?}"),
            };
            let told: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(told["result"].as_str().unwrap().len(), 5_000);
        }
    }
}
