//! `stub`: upstreams that cost next to nothing, so that what is measured is what stands before them.

mod answers;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use answers::Answers;

/// Most headers of a request.
const MAX_HEADERS: usize = 64;
/// Largest request, in bytes.
const MAX_REQUEST: usize = 64 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The first port; 0 takes free ones.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// How many upstreams, on ports one after the other.
    #[arg(long, default_value_t = 3)]
    count: u16,
    /// Length of an answer's body to a single call, in bytes.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Folder of certificates to serve HTTPS with.
    #[arg(long, value_name = "FOLDER")]
    tls: Option<PathBuf>,
    /// Of so many requests, the last ones are refused with status 503; 0 refuses none.
    #[arg(long, default_value_t = 0)]
    fail_every: u64,
    /// How many of them are refused, one after the other.
    #[arg(long, default_value_t = 1)]
    fail_run: u64,
}

/// Told once they listen.
#[derive(Debug, Serialize)]
struct Listening {
    ports: Vec<u16>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: &Args) -> anyhow::Result<()> {
    let tls = args.tls.as_deref().map(crate::tls::acceptor).transpose()?;
    let answers = Arc::new(Answers::new(args.size, args.fail_every, args.fail_run));
    let mut ports = Vec::new();
    let mut listening = tokio::task::JoinSet::new();
    for number in 0..args.count {
        let port = if args.port == 0 { 0 } else { args.port + number };
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        ports.push(listener.local_addr()?.port());
        listening.spawn(accept(listener, tls.clone(), Arc::clone(&answers)));
    }
    crate::tell(&Listening { ports })?;
    while let Some(ended) = listening.join_next().await {
        ended??;
    }
    Ok(())
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    answers: Arc<Answers>,
) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, answers) = (tls.clone(), Arc::clone(&answers));
        tokio::spawn(async move {
            // A client that goes away ends its connection and nothing else.
            match tls {
                None => serve_connection(stream, &answers).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve_connection(stream, &answers).await,
                    Err(error) => Err(error),
                },
            }
        });
    }
}

/// Answers one request after the other until the client is gone or sends what is no request.
async fn serve_connection(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: &Answers,
) -> std::io::Result<()> {
    let (mut buffer, mut answer) = (BytesMut::with_capacity(16 * 1024), Vec::new());
    loop {
        match request(&buffer) {
            Some(Request { head, body }) if buffer.len() >= head + body => {
                answer.clear();
                let asked = buffer.get(head..head + body).unwrap_or_default();
                let payload = answers.write(asked, &mut answer);
                buffer.advance(head + body);
                stream.write_all(&answer).await?;
                if let Some(payload) = payload {
                    stream.write_all(payload).await?;
                }
                stream.flush().await?;
            }
            _ if buffer.len() > MAX_REQUEST => return Ok(()),
            _ => {
                buffer.reserve(16 * 1024);
                if stream.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            }
        }
    }
}

/// Where a request's parts are, in bytes.
struct Request {
    head: usize,
    body: usize,
}

/// The request at the start of `bytes`, once its head is whole. One that is malformed never is, and its connection
/// stays silent until the limit.
fn request(bytes: &[u8]) -> Option<Request> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(head)) = request.parse(bytes) else {
        return None;
    };
    let length = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body = match length {
        None => 0,
        Some(header) => std::str::from_utf8(header.value).ok()?.trim().parse().ok()?,
    };
    Some(Request { head, body })
}
