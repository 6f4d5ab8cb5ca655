//! A client's connection: as much of HTTP/1.1 as an answer to a POST needs. Source: RFC 9112.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Most headers of an answer.
const MAX_HEADERS: usize = 64;
/// Largest head of an answer, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Largest body of an answer, in bytes.
const MAX_BODY: usize = 256 * 1024 * 1024;
/// Bytes of a body that are read at once.
const READ: usize = 64 * 1024;

/// Where a client connects, and how.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    pub(crate) tls: Option<TlsConnector>,
}

/// A connection that takes one request at a time.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    /// What was read and not used.
    buffer: BytesMut,
    body: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An answer to a request, whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    /// The connection takes no more requests.
    pub(crate) close: bool,
    pub(crate) body: &'a [u8],
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("connection: {}", .0.kind())]
    Io(#[from] std::io::Error),
    #[error("connection closed before the answer was whole")]
    Closed,
    #[error("answer is not HTTP/1.1")]
    Malformed,
    #[error("answer too large")]
    TooLarge,
}

struct Head {
    status: u16,
    close: bool,
    framing: Framing,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

impl Connection {
    pub(crate) async fn open(peer: &Peer) -> Result<Self, ExchangeError> {
        let stream = TcpStream::connect(peer.addr).await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &peer.tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::from(peer.addr.ip());
                Box::new(tls.connect(name, stream).await?)
            }
        };
        Ok(Self {
            stream,
            buffer: BytesMut::with_capacity(READ),
            body: Vec::new(),
        })
    }

    /// Sends a request and waits for the whole answer. After an error the connection is of no more use.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>, ExchangeError> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let head = self.read_head().await?;
        self.body.clear();
        match head.framing {
            Framing::Length(length) => self.read_exactly(length).await?,
            Framing::Chunked => self.read_chunks().await?,
        }
        Ok(Answer {
            status: head.status,
            close: head.close,
            body: &self.body,
        })
    }

    async fn read_head(&mut self) -> Result<Head, ExchangeError> {
        loop {
            if let Some((length, head)) = parse_head(&self.buffer)? {
                self.buffer.advance(length);
                return Ok(head);
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(ExchangeError::TooLarge);
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Result<(), ExchangeError> {
        self.buffer.reserve(READ);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(ExchangeError::Closed),
            _ => Ok(()),
        }
    }

    /// Moves `length` more bytes to the body.
    async fn read_exactly(&mut self, length: usize) -> Result<(), ExchangeError> {
        if length > MAX_BODY.saturating_sub(self.body.len()) {
            return Err(ExchangeError::TooLarge);
        }
        let end = self.body.len() + length;
        let there = self.buffer.len().min(length);
        self.body.extend_from_slice(&self.buffer.split_to(there));
        self.body.reserve(end - self.body.len());
        while self.body.len() < end {
            let rest = (end - self.body.len()) as u64;
            let mut limited = (&mut self.stream).take(rest);
            if limited.read_buf(&mut self.body).await? == 0 {
                return Err(ExchangeError::Closed);
            }
        }
        Ok(())
    }

    async fn read_chunks(&mut self) -> Result<(), ExchangeError> {
        loop {
            let size = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete((used, size))) => {
                        self.buffer.advance(used);
                        break usize::try_from(size).map_err(|_| ExchangeError::TooLarge)?;
                    }
                    Ok(httparse::Status::Partial) => self.read_more().await?,
                    Err(_) => return Err(ExchangeError::Malformed),
                }
            };
            if size == 0 {
                return self.skip_line_end().await;
            }
            self.read_exactly(size).await?;
            self.skip_line_end().await?;
        }
    }

    /// Takes the line end after a chunk, or after the last one, which had no trailers.
    async fn skip_line_end(&mut self) -> Result<(), ExchangeError> {
        while self.buffer.len() < 2 {
            self.read_more().await?;
        }
        if self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
            Ok(())
        } else {
            Err(ExchangeError::Malformed)
        }
    }
}

/// The head at the start of `bytes` and its length, once it is whole.
fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Head)>, ExchangeError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(ExchangeError::Malformed),
    };
    let mut head = Head {
        status: response.code.ok_or(ExchangeError::Malformed)?,
        close: response.version == Some(0),
        framing: Framing::Length(0),
    };
    for header in response.headers {
        let value = header.value.trim_ascii();
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(value).map_err(|_| ExchangeError::Malformed)?;
            head.framing = Framing::Length(text.parse().map_err(|_| ExchangeError::Malformed)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.framing = Framing::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.close |= value.eq_ignore_ascii_case(b"close");
        }
    }
    Ok(Some((length, head)))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What a client makes of these bytes, sent in two halves.
    async fn exchanged(answer: &'static str, cut: usize) -> Result<(u16, bool, Vec<u8>), ExchangeError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = [0; 3];
            stream.read_exact(&mut seen).await.unwrap();
            let (first, second) = answer.as_bytes().split_at(cut);
            stream.write_all(first).await.unwrap();
            stream.flush().await.unwrap();
            tokio::task::yield_now().await;
            stream.write_all(second).await.unwrap();
        });
        let mut connection = Connection::open(&Peer { addr, tls: None }).await?;
        let answer = connection.exchange(b"ask").await?;
        let told = (answer.status, answer.close, answer.body.to_vec());
        server.await.unwrap();
        Ok(told)
    }

    #[tokio::test]
    async fn bodies_are_whole_wherever_they_are_cut() {
        let chunked =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        let sized = "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde";
        for cut in 0..sized.len() {
            let told = exchanged(sized, cut).await.unwrap();
            assert_eq!(told, (502, true, b"abcde".to_vec()), "{cut}");
        }
        for cut in 0..chunked.len() {
            let told = exchanged(chunked, cut).await.unwrap();
            assert_eq!(told, (200, false, b"abcde".to_vec()), "{cut}");
        }
    }

    #[tokio::test]
    async fn what_is_cut_short_or_no_http_is_an_error() {
        let short = exchanged("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", 5).await;
        assert!(matches!(short, Err(ExchangeError::Closed)), "{short:?}");
        let noise = exchanged("hello there, this is not a head\r\n\r\n", 5).await;
        assert!(matches!(noise, Err(ExchangeError::Malformed)), "{noise:?}");
    }
}
