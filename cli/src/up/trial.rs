//! A few requests through the gateway, to see that it balances.

use std::{collections::BTreeMap, time::Duration};

use http::{Request, header::HOST as HOST_HEADER};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;
use tyrscale_simnode::NODE_HEADER;

use super::{
    announce::Addresses,
    scene::{HOST, Scene},
};
use crate::{
    Failure,
    http_client::{HttpAnswer, HttpClient},
    resource::{Resource, Upstream},
    transport::GrpcClient,
};

/// As many as show the demo's weights exactly.
const REQUESTS: usize = 10;
const METHOD: &str = "eth_blockNumber";

/// What the gateway answered.
#[derive(Debug, Serialize)]
pub(super) struct Trial {
    /// The path of the route.
    pub(super) path: String,
    pub(super) method: &'static str,
    pub(super) answers: Vec<Answer>,
    pub(super) upstreams: Vec<TriedUpstream>,
}

#[derive(Debug, Serialize)]
pub(super) struct Answer {
    /// The simulated node that served it; real ones do not say.
    pub(super) node: Option<String>,
    pub(super) status: u16,
    /// The result or the error.
    pub(super) answer: Value,
    pub(super) milliseconds: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct TriedUpstream {
    pub(super) id: String,
    /// What is behind it.
    pub(super) name: String,
    pub(super) weight: f64,
    /// Of the answers, those that say they are its.
    pub(super) served: usize,
}

impl Answer {
    /// Whether it is a result.
    fn is_good(&self) -> bool {
        self.status == 200 && self.answer.get("error").is_none()
    }
}

/// Sends the requests one after the other.
///
/// # Errors
/// [`Failure::Refused`] when none brings a result, in the words of the last.
pub(super) async fn run(client: &GrpcClient, addresses: &Addresses, scene: &Scene) -> Result<Trial, Failure> {
    let http = HttpClient::new().map_err(|error| Failure::Refused(error.to_string()))?;
    let mut answers = Vec::new();
    for id in 1..=REQUESTS {
        answers.push(send(&http, addresses, scene.path(), id).await?);
    }
    if !answers.iter().any(Answer::is_good) {
        let last = answers.last().map(|answer| answer.answer.to_string());
        return Err(Failure::Refused(format!(
            "no request through the gateway brought a result; the last answer: {}",
            last.unwrap_or_default()
        )));
    }
    Ok(Trial {
        path: scene.path().to_owned(),
        method: METHOD,
        upstreams: upstreams(client, scene, &answers).await?,
        answers,
    })
}

async fn send(http: &HttpClient, addresses: &Addresses, path: &str, id: usize) -> Result<Answer, Failure> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{METHOD}","params":[]}}"#);
    let uri = format!("{}{path}", addresses.gateway);
    let request = Request::post(uri).header(HOST_HEADER, HOST).body(body);
    let request = request.map_err(|error| Failure::Refused(error.to_string()))?;
    let started = Instant::now();
    let answer = http.send(request).await;
    let answer = answer.map_err(|error| Failure::Refused(format!("the gateway: {error}")))?;
    Ok(read(&answer, started.elapsed()))
}

fn read(answer: &HttpAnswer, took: Duration) -> Answer {
    let node = answer
        .headers
        .get(NODE_HEADER)
        .and_then(|node| node.to_str().ok());
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let result = body.get("result").cloned();
    Answer {
        node: node.map(str::to_owned),
        status: answer.status.as_u16(),
        answer: result.unwrap_or(body),
        milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}

/// The scene's upstreams that are there, with their weights as they are now.
async fn upstreams(
    client: &GrpcClient,
    scene: &Scene,
    answers: &[Answer],
) -> Result<Vec<TriedUpstream>, Failure> {
    let filter = format!("route_id={}", scene.route_id());
    let stored = client.list::<Upstream>(&filter, None).await?;
    let weights: BTreeMap<&str, f64> = stored
        .iter()
        .filter_map(|upstream| Some((upstream.id()?, upstream.weight()?)))
        .collect();
    let tried = scene.upstreams().filter_map(|(id, name)| {
        let weight = *weights.get(id.as_str())?;
        let own = answers
            .iter()
            .filter(|answer| answer.node.as_deref() == Some(name));
        Some(TriedUpstream {
            id,
            name: name.to_owned(),
            weight,
            served: own.count(),
        })
    });
    Ok(tried.collect())
}
