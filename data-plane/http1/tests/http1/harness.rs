//! Streams that give what a test says, and what both sides make of it.

use std::collections::VecDeque;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use http::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tyrscale_http1::{
    Client, ClientError, Drain, Fields, RequestError, ResponseLimits, Server, ServerSettings, Target,
    request_head,
};

/// Gives its pieces, one at each read, then the end of the stream. Takes whatever is written.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pieces: VecDeque<Bytes>,
    /// Nothing is given before something was written.
    answers: bool,
    pub(crate) written: Vec<u8>,
}

impl Script {
    pub(crate) fn says(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self {
            pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn answers(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self {
            answers: true,
            ..Self::says(pieces)
        }
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.answers && self.written.is_empty() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(piece) = self.pieces.front_mut() {
            let here = piece.len().min(buffer.remaining());
            buffer.put_slice(&piece.split_to(here));
            if !piece.has_remaining() {
                self.pieces.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What `work` gives, which has nothing to wait for.
pub(crate) fn ready<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        if let Poll::Ready(output) = work.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("waits for something that never comes");
}

/// Names in lower case and values; sorted by name, where that is all that can be compared.
pub(crate) type Lines = Vec<(String, Vec<u8>)>;

pub(crate) fn lines(fields: &Fields) -> Lines {
    fields
        .iter()
        .map(|field| {
            let name = String::from_utf8(field.name().to_ascii_lowercase()).unwrap();
            (name, field.value().to_vec())
        })
        .collect()
}

/// A request as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Understood {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) fields: Lines,
    pub(crate) body: Bytes,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Refused(StatusCode),
    /// Without anybody to answer to.
    Lost,
}

pub(crate) const MAX_BODY: usize = 10_000;

/// What our server makes of a connection that gives `pieces`.
pub(crate) fn serve(pieces: impl IntoIterator<Item = Bytes>) -> (Vec<Understood>, End) {
    let settings = Arc::new(ServerSettings::default());
    let mut server = Server::new(Script::says(pieces), settings, Drain::never());
    let mut requests = Vec::new();
    let end = ready(async {
        loop {
            let head = match server.next_request().await {
                Ok(Some(head)) => head,
                Ok(None) => return End::Closed,
                Err(RequestError::Http2) => return End::Refused(StatusCode::SWITCHING_PROTOCOLS),
                Err(error) => return error.status().map_or(End::Lost, End::Refused),
            };
            let body = match server.read_body(MAX_BODY).await {
                Ok(body) => body,
                Err(error) => return error.status().map_or(End::Lost, End::Refused),
            };
            requests.push(Understood {
                method: head.method,
                target: head.target.as_str().to_owned(),
                fields: lines(&head.fields),
                body,
            });
            server.respond(StatusCode::OK, [], Bytes::new()).await.unwrap();
        }
    });
    (requests, end)
}

/// An answer as it was understood, and whether the connection may be used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) fields: Lines,
    pub(crate) body: Vec<u8>,
    pub(crate) reusable: bool,
}

/// What our client makes of a connection that answers with `pieces`.
pub(crate) fn ask(method: &Method, pieces: impl IntoIterator<Item = Bytes>) -> Result<Answer, ClientError> {
    let mut client = Client::new(Script::answers(pieces), ResponseLimits::default());
    let target = Target::new("/").unwrap();
    ready(async {
        let head = request_head(method, &target, "node.test", [], 0).unwrap();
        client.send(head, Bytes::new()).await?;
        let head = client.response_head().await?;
        let mut body = Vec::new();
        while let Some(part) = client.chunk().await? {
            assert!(!part.is_empty(), "a part of a body has bytes");
            body.extend_from_slice(&part);
        }
        Ok(Answer {
            status: head.status,
            fields: lines(&head.fields),
            body,
            reusable: client.is_reusable(),
        })
    })
}
