//! A port that strangers may reach: TLS, and bounds on what they can hold open.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tyrscale_tls::{
    Authorities, AuthoritiesError, CertificateError, CertificateFiles, Certificates, PeerCertificate,
    follow_files,
};

use crate::Peer;

/// Between two tries to accept when the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that may wait to be served once they are made.
const BACKLOG: usize = 64;

/// What strangers may hold open.
#[derive(Debug, Clone, Copy)]
pub struct PortLimits {
    /// Connections; further ones wait to be accepted.
    pub connections: usize,
    /// Time for a handshake.
    pub handshake: Duration,
    /// Time until so many bytes of the first request have come; the server bounds what follows.
    pub opening: (usize, Duration),
}

/// What is spoken over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// gRPC: HTTP/2 over TLS 1.3, where a client's certificate is not shown to those who listen in.
    Grpc,
    /// HTTP/1.1 over TLS 1.2 or 1.3, for old clients.
    Http1,
}

impl Spoken {
    /// Source: RFC 7301.
    const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Grpc => b"h2",
            Self::Http1 => b"http/1.1",
        }
    }

    fn versions(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Grpc => vec![&TLS13],
            Self::Http1 => vec![&TLS13, &TLS12],
        }
    }
}

/// TLS of a port.
#[derive(Clone)]
pub struct PortTls {
    acceptor: TlsAcceptor,
    certificates: Arc<Certificates>,
    authorities: Option<Arc<Authorities>>,
}

/// Why TLS of a port cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum PortTlsError {
    /// The certificate cannot be served.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The authorities of clients cannot be used.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// rustls refuses its configuration.
    #[error("tls cannot be configured")]
    Config(#[from] rustls::Error),
}

impl PortTls {
    /// Shows clients a certificate, and believes theirs when `authorities`, a PEM file, certify them. Blocks.
    ///
    /// # Errors
    /// [`PortTlsError`].
    pub fn read(
        files: CertificateFiles,
        authorities: Option<&Path>,
        spoken: Spoken,
    ) -> Result<Self, PortTlsError> {
        let provider = Arc::new(ring::default_provider());
        let certificates = Arc::new(Certificates::read(&[files], Arc::clone(&provider))?);
        let authorities = authorities
            .map(|file| Authorities::read(file, Arc::clone(&provider)))
            .transpose()?
            .map(Arc::new);
        let builder =
            ServerConfig::builder_with_provider(provider).with_protocol_versions(&spoken.versions())?;
        let builder = match &authorities {
            Some(authorities) => builder.with_client_cert_verifier(Arc::<Authorities>::clone(authorities)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::<Certificates>::clone(&certificates));
        config.alpn_protocols = vec![spoken.alpn().to_vec()];
        // A resumed session would skip looking at the client's certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificates,
            authorities,
        })
    }

    /// Takes over files that have changed; blocks.
    pub fn refresh(&self) {
        self.certificates.refresh();
        if let Some(authorities) = &self.authorities {
            authorities.refresh();
        }
    }

    /// Takes over files that change, as long as the handle lives. Runs inside a tokio runtime.
    pub fn follow_files(&self) -> AbortOnDropHandle<()> {
        let tls = self.clone();
        AbortOnDropHandle::new(tokio::spawn(follow_files(move || tls.refresh())))
    }
}

impl std::fmt::Debug for PortTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PortTls")
            .field("certificates", &self.certificates)
            .field("authorities", &self.authorities)
            .finish_non_exhaustive()
    }
}

/// A port that strangers may reach.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
    tls: Option<PortTls>,
    limits: PortLimits,
}

impl Port {
    /// A port over a listener, with TLS or without.
    #[must_use]
    pub const fn new(listener: TcpListener, tls: Option<PortTls>, limits: PortLimits) -> Self {
        Self {
            listener,
            tls,
            limits,
        }
    }

    /// Where it is.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The connections of clients until `shutdown`. Handshakes do not hold each other up.
    pub fn connections(self, shutdown: CancellationToken) -> ReceiverStream<io::Result<Connection>> {
        let (made, connections) = mpsc::channel(BACKLOG);
        tokio::spawn(self.accept(made, shutdown));
        ReceiverStream::new(connections)
    }

    async fn accept(self, made: mpsc::Sender<io::Result<Connection>>, shutdown: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let accept = async || {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, self.listener.accept().await)
        };
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                () = made.closed() => return,
                accepted = accept() => accepted,
            };
            match accepted {
                (Ok(slot), Ok((stream, address))) => {
                    let opening = open(stream, address, self.tls.clone(), self.limits);
                    let opened = hand_over(opening, slot, made.clone());
                    tokio::spawn(shutdown.clone().run_until_cancelled_owned(opened));
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                (Err(_), _) => return,
            }
        }
    }
}

/// Hands a connection over to who serves it, once it is made.
async fn hand_over(
    opening: impl Future<Output = io::Result<Connection>>,
    slot: OwnedSemaphorePermit,
    made: mpsc::Sender<io::Result<Connection>>,
) {
    match opening.await {
        Ok(mut connection) => {
            connection.slot = Some(slot);
            // Nobody serves any more when this fails.
            made.send(Ok(connection)).await.ok();
        }
        Err(error) => tracing::debug!(%error, "connection could not be made"),
    }
}

async fn open(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<PortTls>,
    limits: PortLimits,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let mut peer = Peer {
        address,
        certificate: None,
    };
    let io = match tls {
        None => Io::Plain(stream),
        Some(tls) => {
            let shaken = timeout(limits.handshake, tls.acceptor.accept(stream)).await;
            let stream = shaken.map_err(|_| io::ErrorKind::TimedOut)??;
            let chain = stream.get_ref().1.peer_certificates();
            let shown = chain.and_then(<[_]>::first).and_then(PeerCertificate::read);
            peer.certificate = shown.map(Arc::new);
            Io::Tls(Box::new(stream))
        }
    };
    Ok(Connection {
        io,
        peer,
        opening: Some((limits.opening.0, Box::pin(tokio::time::sleep(limits.opening.1)))),
        slot: None,
    })
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A client's connection. Reading fails when its opening does not come in time.
#[derive(Debug)]
pub struct Connection {
    io: Io,
    peer: Peer,
    /// How many bytes must still come, and until when.
    opening: Option<(usize, Pin<Box<Sleep>>)>,
    /// Held as long as it lasts.
    slot: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// The other end.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        let before = buf.filled().len();
        let read = match &mut own.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        };
        let Some((missing, deadline)) = &mut own.opening else {
            return read;
        };
        if read.is_ready() {
            *missing = missing.saturating_sub(buf.filled().len() - before);
            if *missing == 0 {
                own.opening = None;
            }
            return read;
        }
        match deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// What a request over the connection tells of it.
impl tonic::transport::server::Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests;
