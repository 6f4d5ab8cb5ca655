use std::net::Ipv4Addr;

use h2::server::{self, SendResponse};
use http::{HeaderMap, Response, StatusCode};
use tokio::io::DuplexStream;

use super::*;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
type Server = server::Connection<DuplexStream, Bytes>;

/// A connection and the upstream at its other end, which takes so many requests at once.
async fn connected(max_streams: u32) -> (Lane, Server) {
    let (near, far) = tokio::io::duplex(1024 * 1024);
    let mut upstream = server::Builder::new();
    upstream.max_concurrent_streams(max_streams);
    let (lane, server) = tokio::join!(Lane::open(near, ADDRESS), upstream.handshake(far));
    (lane.unwrap(), server.unwrap())
}

fn request() -> Request<()> {
    Request::post("http://n.example/rpc").body(()).unwrap()
}

async fn exchange(lane: &Lane) -> Result<(response::Parts, Answer), Failed> {
    lane.clone().exchange(request(), Bytes::from_static(b"ask")).await
}

/// The next request's answer, to be given by the test; the server goes on in a task.
async fn accept(mut server: Server) -> SendResponse<Bytes> {
    let (_, respond) = server.accept().await.unwrap().unwrap();
    tokio::spawn(async move { while let Some(Ok(_)) = server.accept().await {} });
    respond
}

fn answer(respond: &mut SendResponse<Bytes>, parts: &[&'static str], trailers: bool) {
    let head = Response::builder().status(StatusCode::OK).header("x-kept", "1");
    let mut body = respond.send_response(head.body(()).unwrap(), false).unwrap();
    for part in parts {
        body.send_data(Bytes::from_static(part.as_bytes()), false)
            .unwrap();
    }
    if trailers {
        body.send_trailers(HeaderMap::new()).unwrap();
    } else {
        body.send_data(Bytes::new(), true).unwrap();
    }
}

async fn whole(mut body: Answer) -> Result<String, Failed> {
    let mut text = String::new();
    while let Some(part) = body.part().await? {
        text.push_str(std::str::from_utf8(&part).unwrap());
    }
    Ok(text)
}

#[tokio::test]
async fn an_answer_comes_part_by_part_and_without_its_trailers() {
    let (lane, server) = connected(10).await;
    let answering = async {
        let mut respond = accept(server).await;
        answer(&mut respond, &["one ", "two"], true);
    };
    let (received, ()) = tokio::join!(exchange(&lane), answering);
    let (head, body) = received.unwrap();
    assert_eq!(
        (head.status, &head.headers["x-kept"]),
        (StatusCode::OK, &"1".parse().unwrap())
    );
    assert_eq!(lane.in_flight(), 1);
    assert_eq!(whole(body).await, Ok("one two".to_owned()));
    assert_eq!(lane.in_flight(), 0);
}

#[tokio::test]
async fn a_connection_is_shared_up_to_the_upstreams_limit() {
    let lanes = Lanes::default();
    assert!(lanes.pick(|_| true).is_none());
    let (lane, server) = connected(2).await;
    lanes.add(lane.clone());
    let (first, respond) = tokio::join!(
        tokio::time::timeout(Duration::from_millis(1), exchange(&lane)),
        accept(server)
    );
    // The settings have come with the first request's; the request itself was given up.
    assert!(first.is_err());
    drop(respond);
    let held: Vec<Slot> = (0..2)
        .map(|_| {
            assert!(lanes.pick(|_| true).is_some());
            lane.shared.in_flight.fetch_add(1, Ordering::Relaxed);
            Slot(Arc::clone(&lane.shared))
        })
        .collect();
    assert!(lanes.pick(|_| true).is_none(), "a further connection is needed");
    drop(held);
    assert!(lanes.pick(|_| true).is_some());
    assert!(lanes.pick(|_| false).is_none(), "its address has gone");
    assert!(lanes.pick(|_| true).is_none());
}

#[tokio::test]
async fn what_the_upstream_refuses_unseen_was_not_processed() {
    let (lane, server) = connected(10).await;
    let refusing = async {
        let mut respond = accept(server).await;
        respond.send_reset(Reason::REFUSED_STREAM);
    };
    assert_eq!(
        tokio::join!(exchange(&lane), refusing).0.unwrap_err(),
        Failed::Unprocessed
    );
    let (lane, server) = connected(10).await;
    let failing = async {
        let mut respond = accept(server).await;
        respond.send_reset(Reason::INTERNAL_ERROR);
    };
    assert_eq!(
        tokio::join!(exchange(&lane), failing).0.unwrap_err(),
        Failed::Lost
    );
    assert_eq!(lane.in_flight(), 0);
}

#[tokio::test]
async fn a_connection_that_goes_away_finishes_its_answers_and_takes_no_more() {
    let lanes = Lanes::default();
    let (lane, mut server) = connected(10).await;
    lanes.add(lane.clone());
    let leaving = async {
        let (_, mut respond) = server.accept().await.unwrap().unwrap();
        server.graceful_shutdown();
        answer(&mut respond, &["last"], false);
        drop(respond);
        while let Some(Ok(_)) = server.accept().await {}
    };
    let last = async {
        let (_, body) = exchange(&lane).await.unwrap();
        whole(body).await
    };
    let (last, ()) = tokio::join!(last, leaving);
    assert_eq!(last, Ok("last".to_owned()));
    assert!(lanes.pick(|_| true).is_none());
    assert_eq!(exchange(&lane).await.unwrap_err(), Failed::Unprocessed);
}

#[tokio::test]
async fn an_answer_cut_short_is_lost() {
    let (lane, server) = connected(10).await;
    let cutting = async {
        let mut respond = accept(server).await;
        let mut body = respond.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::from_static(b"half"), false).unwrap();
        body.send_reset(Reason::INTERNAL_ERROR);
    };
    let (received, ()) = tokio::join!(exchange(&lane), cutting);
    let lost = match received {
        Ok((_, body)) => whole(body).await.unwrap_err(),
        Err(failed) => failed,
    };
    assert_eq!(lost, Failed::Lost);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_does_not_answer_pings_is_let_go() {
    let lanes = Lanes::default();
    // The other end takes what is sent, and is never asked to read it.
    let (lane, _server) = connected(10).await;
    lanes.add(lane.clone());
    assert!(lanes.pick(|_| true).is_some());
    assert_eq!(exchange(&lane).await.unwrap_err(), Failed::Lost);
    assert!(lanes.pick(|_| true).is_none());
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_let_go_and_busy_ones_kept() {
    let lanes = Lanes::default();
    let (lane, _server) = connected(10).await;
    lanes.add(lane.clone());
    lane.shared.in_flight.fetch_add(1, Ordering::Relaxed);
    let slot = Slot(Arc::clone(&lane.shared));
    let idle_timeout = Duration::from_secs(10);
    lanes.sweep(Instant::now() + idle_timeout, idle_timeout);
    assert_eq!(lanes.lock().len(), 1);
    drop(slot);
    lanes.sweep(Instant::now(), idle_timeout);
    assert_eq!(lanes.lock().len(), 1);
    lanes.sweep(Instant::now() + idle_timeout, idle_timeout);
    assert_eq!(lanes.lock().len(), 0);
}
