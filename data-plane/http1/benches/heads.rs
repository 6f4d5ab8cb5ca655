//! What a connection's side costs per request, without the kernel: the stream is memory.
//!
//! `cargo bench -p tyrscale-http1`; instructions with
//! `valgrind --tool=callgrind TARGET/release/deps/heads-* --bench --sample-count 1 --sample-size 1000 NAME`.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tyrscale_http1::{Client, Drain, Field, ResponseLimits, Server, ServerSettings};

const REQUEST: &[u8] = b"POST /eth HTTP/1.1\r\nHost: node.test:7777\r\nUser-Agent: ethers/6.13\r\n\
    Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nContent-Type: application/json\r\nContent-Length: 62\r\n\r\n\
    {\"jsonrpc\":\"2.0\",\"id\":12345,\"method\":\"eth_blockNumber\"       }";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Content-Type: application/json\r\nContent-Length: 49\r\nVary: Origin\r\nConnection: keep-alive\r\n\r\n\
    {\"jsonrpc\":\"2.0\",\"id\":12345,\"result\":\"0x1234567\"}";

/// Gives the same message at every read, and takes whatever is written.
struct Repeating(&'static [u8]);

impl AsyncRead for Repeating {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(self.0);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Repeating {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(divan::black_box(bytes).len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What `work` gives, which waits for nothing.
fn ready<F: Future>(work: F) -> Option<F::Output> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn server() -> Server<Repeating> {
    Server::new(
        Repeating(REQUEST),
        Arc::new(ServerSettings::default()),
        Drain::never(),
    )
}

/// Takes a request with its body.
async fn take(server: &mut Server<Repeating>) -> Option<Bytes> {
    let head = server.next_request().await.ok()??;
    divan::black_box(&head);
    server.read_body(1024).await.ok()
}

/// Takes a request with its body, and answers it.
async fn serve(server: &mut Server<Repeating>) -> Option<()> {
    let body = take(server).await?;
    let fields = [
        Field::new("content-type", b"application/json"),
        Field::new("vary", b"Origin"),
    ];
    server.respond(StatusCode::OK, fields, body).await.ok()
}

async fn ask(client: &mut Client<Repeating>) -> Option<()> {
    client.send(REQUEST.to_vec(), Bytes::new()).await.ok()?;
    divan::black_box(client.response_head().await.ok()?);
    while let Some(part) = client.chunk().await.ok()? {
        divan::black_box(part);
    }
    client.is_reusable().then_some(())
}

/// A request head and body on a connection of their own.
#[divan::bench]
fn request_head(bencher: divan::Bencher<'_, '_>) {
    bencher
        .with_inputs(server)
        .bench_local_values(|mut server| ready(take(&mut server)));
}

/// A request and its answer on a connection that stays open.
#[divan::bench]
fn request_and_answer(bencher: divan::Bencher<'_, '_>) {
    let mut server = server();
    bencher.bench_local(|| assert_eq!(ready(serve(&mut server)), Some(Some(()))));
}

/// A request to an upstream and its answer's head and body, on a connection that stays open.
#[divan::bench]
fn response_head(bencher: divan::Bencher<'_, '_>) {
    let mut client = Client::new(Repeating(ANSWER), ResponseLimits::default());
    bencher.bench_local(|| assert_eq!(ready(ask(&mut client)), Some(Some(()))));
}

fn main() {
    divan::main();
}
