//! Bytes as they are on the wire: an upstream that sends what it is told, and exchanges by hand.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::harness::{Harness, bounded};

/// An upstream that answers the first bytes of each connection with bytes of the test's choice, then closes.
pub(crate) struct RawUpstream {
    pub(crate) addr: SocketAddr,
    answer: watch::Sender<Bytes>,
    asked: watch::Receiver<u64>,
    serving: JoinHandle<()>,
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl RawUpstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (answer, told) = watch::channel(Bytes::new());
        let (count, asked) = watch::channel(0);
        let count = Arc::new(count);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer_one(stream, told.clone(), Arc::clone(&count)));
            }
        });
        Self {
            addr,
            answer,
            asked,
            serving,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Answers with these bytes from the next connection on.
    pub(crate) fn answer(&self, bytes: impl Into<Bytes>) {
        self.answer.send_replace(bytes.into());
    }

    /// Requests received, one at most on each connection.
    pub(crate) fn asked(&self) -> u64 {
        *self.asked.borrow()
    }
}

async fn answer_one(mut stream: TcpStream, told: watch::Receiver<Bytes>, count: Arc<watch::Sender<u64>>) {
    let mut request = Vec::new();
    // The client's body is the last thing sent, and it ends with a brace or a bracket.
    while !matches!(request.last(), Some(b'}' | b']')) {
        if !matches!(stream.read_buf(&mut request).await, Ok(1..)) {
            return;
        }
    }
    count.send_modify(|count| *count += 1);
    let answer = told.borrow().clone();
    if stream.write_all(&answer).await.is_ok() {
        stream.shutdown().await.ok();
    }
    // Until the other side has read it; closing at once could reset what is under way.
    while matches!(stream.read_buf(&mut request).await, Ok(1..)) {
        request.clear();
    }
}

/// A call to the harness's one route; the connection stays open after it.
pub(crate) fn post(body: &str) -> String {
    format!(
        "POST /eth HTTP/1.1\r\nhost: a.example\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A call to the harness's one route, the last on its connection.
pub(crate) fn last_post(body: &str) -> String {
    post(body).replacen("\r\n", "\r\nconnection: close\r\n", 1)
}

/// All that comes back when `bytes` are sent and no more, until the gateway closes.
pub(crate) async fn exchange(harness: &Harness, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(harness.addr).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut received = Vec::new();
    // The gateway may have answered and closed before it has taken all, and closing with bytes unread is a reset;
    // what it said before counts.
    let sending = async { write.write_all(bytes).await.is_ok() };
    let reading = async { while matches!(read.read_buf(&mut received).await, Ok(1..)) {} };
    bounded(async { tokio::join!(sending, reading) }).await;
    received
}
