//! Which chain endpoints serve.

use std::collections::BTreeMap;

use http::{Request, header::AUTHORIZATION};
use serde::Deserialize;
use tyrscale_model::HttpUrl;

use crate::{Failure, http_client::HttpClient, output::say};

const QUESTION: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;

#[derive(Debug, Deserialize)]
struct Answer {
    result: String,
}

/// Asks every endpoint for its chain id. One answer is enough; those that do not answer are named on standard
/// error, by their host only, as a URL may hold a key.
///
/// # Errors
/// [`Failure::Refused`] when none answers, or two serve different chains.
pub(super) async fn ask(urls: &[HttpUrl]) -> Result<u64, Failure> {
    let http = HttpClient::new().map_err(|error| Failure::Refused(error.to_string()))?;
    let answers = futures_util::future::join_all(urls.iter().map(|url| ask_one(&http, url))).await;
    let mut chains = BTreeMap::new();
    for (url, answer) in urls.iter().zip(answers) {
        match answer {
            Ok(chain_id) => {
                chains.insert(chain_id, url.host());
            }
            Err(why) => say(&format!("warning: {} did not tell its chain: {why}", url.host())),
        }
    }
    let mut found = chains.iter();
    match (found.next(), found.next()) {
        (Some((chain_id, _)), None) => Ok(*chain_id),
        (Some((one, here)), Some((other, there))) => Err(Failure::Refused(format!(
            "the endpoints serve different chains: {here} serves {one}, {there} serves {other}"
        ))),
        (None, _) => Err(Failure::Refused(
            "no endpoint answers eth_chainId: are the --upstream urls right?".to_owned(),
        )),
    }
}

async fn ask_one(http: &HttpClient, url: &HttpUrl) -> Result<u64, String> {
    let query = url
        .expose_query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let mut request = Request::post(format!("{}{}{query}", url.origin(), url.expose_path()));
    if let Some(user_info) = url.expose_user_info() {
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, user_info);
        request = request.header(AUTHORIZATION, format!("Basic {encoded}"));
    }
    let request = request
        .body(QUESTION.to_owned())
        .map_err(|_| "its url cannot be asked".to_owned())?;
    let answer = http.send(request).await.map_err(|error| error.to_string())?;
    if !answer.status.is_success() {
        return Err(format!("status {}", answer.status.as_u16()));
    }
    parse(&answer.body).ok_or_else(|| "the answer is no chain id".to_owned())
}

fn parse(body: &[u8]) -> Option<u64> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let digits = answer.result.strip_prefix("0x")?;
    u64::from_str_radix(digits, 16)
        .ok()
        .filter(|chain_id| *chain_id > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_id_is_a_hex_quantity_above_zero() {
        assert_eq!(parse(br#"{"jsonrpc":"2.0","id":1,"result":"0x539"}"#), Some(1337));
        for bad in [
            r#"{"result":"0x0"}"#,
            r#"{"result":"539"}"#,
            r#"{"result":1}"#,
            r#"{"error":{}}"#,
            "<html>",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
