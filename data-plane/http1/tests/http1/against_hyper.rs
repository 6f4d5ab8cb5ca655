//! What we accept, hyper reads in the same way. We may refuse more.

use std::cell::RefCell;
use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::generate::{answers, requests};
use super::harness::{Lines, Script, Understood, ask, ready, serve};

fn lines(headers: &HeaderMap) -> Lines {
    let lines = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    sorted(lines.collect())
}

/// By name; the order of several of the same name stays.
fn sorted(mut lines: Lines) -> Lines {
    lines.sort_by(|(one, _), (other, _)| one.cmp(other));
    lines
}

/// What hyper's server makes of a connection that gives `bytes`: the requests whose bodies it could read.
fn hyper_serves(bytes: Bytes) -> Vec<Understood> {
    let requests = RefCell::new(Vec::new());
    let service = service_fn(|request: Request<Incoming>| async {
        let (head, body) = request.into_parts();
        if let Ok(body) = body.collect().await {
            requests.borrow_mut().push(Understood {
                method: head.method,
                target: head.uri.to_string(),
                fields: lines(&head.headers),
                body: body.to_bytes(),
            });
        }
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    let io = TokioIo::new(Script::says([bytes]));
    let mut builder = hyper::server::conn::http1::Builder::new();
    drop(ready(builder.half_close(true).serve_connection(io, service)));
    requests.into_inner()
}

/// What hyper's client makes of a connection that answers with `bytes`.
fn hyper_asks(method: Method, bytes: Bytes) -> Option<(StatusCode, Lines, Bytes)> {
    ready(async {
        let io = TokioIo::new(Script::answers([bytes]));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.ok()?;
        let request = Request::builder()
            .method(method)
            .uri("/")
            .header("host", "node.test");
        let asking = async move {
            let response = sender
                .send_request(request.body(Empty::<Bytes>::new()).ok()?)
                .await
                .ok()?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some((head.status, lines(&head.headers), body))
        };
        tokio::join!(asking, connection).0
    })
}

fn same_as_hyper_serves(bytes: &Bytes) -> Result<(), TestCaseError> {
    let (ours, _) = serve([bytes.clone()]);
    let theirs = hyper_serves(bytes.clone());
    prop_assert!(
        ours.len() <= theirs.len(),
        "hyper refuses what we accept: {ours:?} {theirs:?}"
    );
    for (mut our, mut their) in ours.into_iter().zip(theirs) {
        our.fields = sorted(our.fields);
        // A URI is written anew by hyper, so it is compared as hyper would write ours.
        our.target = our.target.parse::<Uri>().map(|uri| uri.to_string()).unwrap();
        their.target = their.target.parse::<Uri>().map(|uri| uri.to_string()).unwrap();
        prop_assert_eq!(our, their);
    }
    Ok(())
}

fn same_as_hyper_asks(method: &Method, bytes: &Bytes) -> Result<(), TestCaseError> {
    if let Ok(ours) = ask(method, [bytes.clone()]) {
        let theirs = hyper_asks(method.clone(), bytes.clone());
        prop_assert_eq!(
            Some((ours.status, sorted(ours.fields), Bytes::from(ours.body))),
            theirs
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_that_we_accept_hyper_reads_in_the_same_way(bytes in requests()) {
        same_as_hyper_serves(&bytes)?;
    }

    #[test]
    fn answers_that_we_accept_hyper_reads_in_the_same_way(
        bytes in answers(),
        method in prop::sample::select(vec![Method::POST, Method::HEAD]),
    ) {
        same_as_hyper_asks(&method, &bytes)?;
    }
}

#[test]
fn much_of_what_is_generated_is_accepted() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut requests_accepted, mut answers_accepted) = (0, 0);
    for _ in 0..500 {
        let bytes = requests().new_tree(&mut runner).unwrap().current();
        requests_accepted += serve([bytes]).0.len().min(1);
        let bytes = answers().new_tree(&mut runner).unwrap().current();
        answers_accepted += usize::from(ask(&Method::POST, [bytes]).is_ok());
    }
    assert!(
        requests_accepted > 60 && answers_accepted > 60,
        "{requests_accepted} {answers_accepted}"
    );
}
