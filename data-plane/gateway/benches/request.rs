//! What one request costs from a client's socket through the gateway to an upstream and back, over loopback, with one
//! route and with many: `cargo bench -p tyrscale-gateway`. The kernel is in it; instructions without it are told by
//! `.ci/bench/callgrind.py`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::{io, thread};

use divan::Bencher;
use tokio_util::sync::CancellationToken;
use tyrscale_gateway::{Changed, Gateway, Settings};
use tyrscale_model::{
    ChangeSet, Lineage, LoadBalancer, Operation, Policy, Resource, Route, Snapshot, Target, UnixMillis,
    Upstream, View, Weight, apply,
};

const REQUEST: &[u8] =
    b"POST / HTTP/1.1\r\nhost: h1.example\r\ncontent-type: application/json\r\ncontent-length: 62\r\n\r\n\
    {\"jsonrpc\":\"2.0\",\"id\":123456789,\"method\":\"eth_blockNumber\"   }";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 55\r\n\r\n\
    {\"jsonrpc\":\"2.0\",\"id\":123456789,\"result\":\"0x123456789\"}";

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 10_000])]
fn one_request(bencher: Bencher<'_, '_>, routes: u32) {
    let mut client = gateway(routes).and_then(TcpStream::connect).ok();
    bencher.bench_local(|| assert!(client.as_mut().is_some_and(is_served), "no answer"));
}

/// Asks once; whether the answer is the upstream's.
fn is_served(client: &mut TcpStream) -> bool {
    let mut answer = [0; 1024];
    if client.write_all(REQUEST).is_err() {
        return false;
    }
    let read = client.read(&mut answer).unwrap_or_default();
    answer
        .get(..read)
        .is_some_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
}

/// Starts an upstream and a gateway with so many routes to it; returns where the gateway listens.
fn gateway(routes: u32) -> io::Result<SocketAddr> {
    let upstream = upstream()?;
    let snapshot = snapshot(routes, upstream).ok_or(io::ErrorKind::InvalidInput)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let _inside = runtime.enter();
    let listener = tyrscale_gateway::bind(([127, 0, 0, 1], 0).into())?;
    let addr = listener.local_addr()?;
    let gateway = Arc::new(Gateway::new(Settings::default()).map_err(io::Error::other)?);
    let applied = gateway.apply(&snapshot, Changed::All, View::ALL);
    applied.map_err(io::Error::other)?;
    thread::spawn(move || {
        runtime.block_on(async { gateway.serve(listener, CancellationToken::new()).await });
    });
    Ok(addr)
}

/// Answers each request on each connection, however it comes: one fits into one packet.
fn upstream() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let addr = listener.local_addr()?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut asked = [0; 1024];
                while stream.read(&mut asked).is_ok_and(|read| read > 0) && stream.write_all(ANSWER).is_ok() {
                }
            });
        }
    });
    Ok(addr)
}

fn snapshot(routes: u32, upstream: SocketAddr) -> Option<Snapshot> {
    let mut snapshot = Snapshot::empty(Lineage([1; 16]));
    let numbers: Vec<u32> = (1..=routes).collect();
    for chunk in numbers.chunks(500) {
        let resources = chunk.iter().map(|number| resources(*number, upstream));
        let resources: Option<Vec<_>> = resources.collect();
        let change = ChangeSet {
            operations: resources?.into_iter().flatten().map(Operation::put).collect(),
            ..ChangeSet::default()
        };
        snapshot = apply(&snapshot, &change, &Policy::default(), UnixMillis(0))
            .ok()?
            .snapshot;
    }
    Some(snapshot)
}

/// A route and its upstream.
fn resources(number: u32, upstream: SocketAddr) -> Option<[Resource; 2]> {
    let route = format!("00000000-0000-4000-0001-{number:012}").parse().ok()?;
    let id = format!("00000000-0000-4000-0002-{number:012}").parse().ok()?;
    let address =
        tyrscale_model::Address::new(tyrscale_model::Scheme::Http, "127.0.0.1", upstream.port(), "/").ok()?;
    let weight = Weight::try_from(1.0).ok()?;
    Some([
        Resource::Route(Route::new(
            route,
            format!("h{number}.example"),
            "/",
            LoadBalancer::WeightRoundRobin,
        )),
        Resource::Upstream(Upstream::new(id, route, Target::Address(address), weight)),
    ])
}
