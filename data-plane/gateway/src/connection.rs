//! One connection of a client: HTTP/1.1 by ourselves; HTTP/2, when its first bytes say so, by hyper.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tyrscale_http1::{
    AnswerError, AnswerLength, BodyError, DrainSignal, HeadError, HeadLimits, RequestError, RequestHead,
    Rewind, Server, ServerSettings, Timer,
};

use tyrscale_model::Scheme;

use crate::answer::{self, Answer};
use crate::body::{AnswerBody, Interrupted, Rest};
use crate::config::Settings;
use crate::gateway::Gateway;
use crate::headers::Peer;
use crate::http2::Http2;
use crate::pool::Worker;
use crate::proxy::Request;
use crate::request::Unread;
use crate::tls::ServerTls;
use crate::upstream::Place;

/// Most headers of a request.
pub(crate) const MAX_HEADERS: usize = 128;
/// How long a client that has ended its sending side is believed to wait for its answer: most have left.
const HALF_CLOSE_GRACE: std::time::Duration = std::time::Duration::from_secs(1);

/// What all connections of a worker share.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) worker: Worker,
    pub(crate) drain: DrainSignal,
    /// `None` where clients connect without TLS.
    tls: Option<Arc<ServerTls>>,
    http1: Arc<ServerSettings>,
    http2: Http2,
}

/// What a client's connection is made of.
pub(crate) trait ClientStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// At the bottom.
    fn tcp(&self) -> &TcpStream;
}

impl ClientStream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl ClientStream for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A client's connection, and who is at its other end.
struct Connection<'s, S> {
    serving: &'s Serving,
    server: Server<S>,
    peer: Peer,
    /// For waits that are not the server's own.
    timer: Timer,
}

impl Serving {
    pub(crate) fn new(gateway: Arc<Gateway>, worker: Worker, tls: Option<Arc<ServerTls>>) -> Self {
        Self {
            http1: Arc::new(http1(&gateway.settings)),
            http2: Http2::new(&gateway.settings),
            drain: DrainSignal::new(),
            tls,
            gateway,
            worker,
        }
    }

    /// Serves a connection to its end.
    pub(crate) async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let _counted = self.gateway.stats.connection();
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "nodelay could not be set");
        }
        match &self.tls {
            None => self.serve_stream(stream, peer).await,
            // What TLS takes, connections without it need no room for.
            Some(tls) => match Box::pin(tls.accept(stream)).await {
                Ok(stream) => Box::pin(self.serve_stream(stream, peer)).await,
                Err(error) => tracing::debug!(%error, "tls handshake with a client failed"),
            },
        }
    }

    async fn serve_stream<S: ClientStream>(self: &Arc<Self>, stream: S, peer: SocketAddr) {
        let trusted = self.gateway.settings.trusts(peer.ip());
        let scheme = if self.tls.is_some() {
            Scheme::Https
        } else {
            Scheme::Http
        };
        let mut connection = Connection {
            serving: self,
            server: Server::new(stream, Arc::clone(&self.http1), self.drain.watch()),
            peer: Peer::new(peer.ip(), scheme, trusted),
            timer: Timer::new(),
        };
        loop {
            match connection.server.next_request().await {
                // Boxed, for idle connections need no room for what a request takes.
                Ok(Some(head)) => match Box::pin(connection.serve(&head)).await {
                    Ok(()) => {}
                    Err(Gone) => return,
                },
                Ok(None) => return,
                Err(RequestError::Http2) => break,
                Err(error) => {
                    tracing::debug!(%error, "head of a request is refused");
                    if Box::pin(connection.refuse(&error)).await.is_err() {
                        return;
                    }
                }
            }
        }
        let Connection { server, peer, .. } = connection;
        let (stream, read) = server.into_parts();
        Box::pin(self.http2.serve(self, Rewind::new(stream, read), peer)).await;
    }
}

fn http1(settings: &Settings) -> ServerSettings {
    ServerSettings {
        head: HeadLimits {
            bytes: usize::try_from(settings.max_header_bytes).unwrap_or(usize::MAX),
            fields: MAX_HEADERS,
        },
        idle_timeout: settings.header_timeout,
        head_timeout: settings.header_timeout,
        body_timeout: settings.body_timeout,
        write_timeout: settings.write_timeout,
        half_close_grace: HALF_CLOSE_GRACE,
        ..ServerSettings::default()
    }
}

/// The client is gone, or does not take its answer.
struct Gone;

impl From<AnswerError> for Gone {
    fn from(error: AnswerError) -> Self {
        tracing::debug!(%error, "answer could not be sent");
        Self
    }
}

impl<S: ClientStream> Connection<'_, S> {
    async fn serve(&mut self, head: &RequestHead) -> Result<(), Gone> {
        let gateway = &self.serving.gateway;
        let answer = match Request::begin(gateway, head, &self.peer).await {
            Ok(mut request) => {
                let most = request.max_body_bytes();
                let body = self
                    .server
                    .read_body_within(most, |bytes| request.has_room(bytes))
                    .await;
                let mut place = Place {
                    worker: self.serving.worker,
                    settings: &gateway.settings,
                    broadcasts: &gateway.broadcasts,
                    load: &gateway.load,
                    timer: &mut self.timer,
                };
                tokio::select! {
                    biased;
                    answer = request.answer(body.map_err(Unread::from), &mut place) => answer,
                    () = self.server.closed() => return Err(Gone),
                }
            }
            Err(answer) => answer,
        };
        self.send(answer).await
    }

    async fn send(&mut self, answer: Answer) -> Result<(), Gone> {
        match answer.body {
            AnswerBody::Whole(ref body) => {
                let body = Bytes::clone(body);
                Ok(self.server.respond(answer.status, answer.fields(), body).await?)
            }
            AnswerBody::Streaming(ref rest) => {
                let length = rest.length().map_or(AnswerLength::Unknown, AnswerLength::Known);
                self.server.begin(answer.status, answer.fields(), length)?;
                self.stream(answer.body).await
            }
        }
    }

    /// Pumps a large answer from the upstream to the client.
    async fn stream(&mut self, body: AnswerBody) -> Result<(), Gone> {
        let AnswerBody::Streaming(mut rest) = body else {
            return Ok(());
        };
        loop {
            match self.next_part(&mut rest).await? {
                Some(part) => self.server.send(part).await?,
                None => return Ok(self.server.finish().await?),
            }
        }
    }

    async fn next_part(&mut self, rest: &mut Rest) -> Result<Option<Bytes>, Gone> {
        tokio::select! {
            biased;
            part = rest.next(&mut self.timer) => part.map_err(|Interrupted| {
                // To a client of HTTP/1.0 the end of the connection may be the end of the answer.
                if let Err(error) = self.server.get_ref().tcp().set_zero_linger() {
                    tracing::debug!(%error, "connection could not be reset");
                }
                Gone
            }),
            () = self.server.closed() => Err(Gone),
        }
    }

    /// Answers what is no request.
    async fn refuse(&mut self, error: &RequestError) -> Result<(), Gone> {
        let status = error.status().ok_or(Gone)?;
        self.serving.gateway.stats.count_unread();
        let text = match error {
            RequestError::Head(HeadError::Host) => "a request must name its host once".to_owned(),
            error => error.to_string(),
        };
        self.send(answer::malformed(status, &text)).await
    }
}

impl From<BodyError> for Unread {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::NoRoom => Self::NoRoom,
            BodyError::TooSlow => Self::TooSlow,
            BodyError::Malformed(_) | BodyError::Incomplete | BodyError::Io(_) => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With its buffers given back, an idle connection is its task: 10,000 of them take 8 KiB each at most with what
    /// the system holds for a socket.
    const MAX_IDLE_BYTES: usize = 2560;

    #[tokio::test]
    async fn the_task_of_an_idle_connection_is_small() {
        let gateway = Arc::new(Gateway::new(Settings::default()).unwrap());
        let serving = Arc::new(Serving::new(gateway, Worker::new(0), None));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, peer) = accepted.unwrap();
        let task = size_of_val(&serving.serve(stream, peer));
        assert!(task <= MAX_IDLE_BYTES, "{task} bytes");
        drop(client);
    }
}
