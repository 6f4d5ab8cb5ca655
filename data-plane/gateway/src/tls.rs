//! TLS towards clients.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;
use tyrscale_telemetry::catalogue::{TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS, TLS_HANDSHAKES_TOTAL};
use tyrscale_telemetry::{Metrics, TelemetryError};
use tyrscale_tls::{Certificates, follow_files};

pub use tyrscale_tls::{CertificateError, CertificateFiles};

/// The protocols that clients may choose from, the preferred first. Source: RFC 7301.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Speaks TLS with clients: versions 1.2 and 1.3, with resumption by ticket.
pub struct ServerTls {
    acceptor: TlsAcceptor,
    certificates: Arc<Certificates>,
    handshake_timeout: Duration,
    handshakes: Handshakes,
}

/// Handshakes with clients by how they ended.
#[derive(Debug, Default)]
struct Handshakes {
    completed: AtomicU64,
    failed: AtomicU64,
    timed_out: AtomicU64,
}

impl ServerTls {
    /// Shows clients the certificates of `files`: the one for the name they ask for, else the first. Blocks.
    ///
    /// # Errors
    /// [`ServerTlsError`] when one cannot be served.
    pub fn new(files: &[CertificateFiles], handshake_timeout: Duration) -> Result<Self, ServerTlsError> {
        let provider = Arc::new(ring::default_provider());
        let certificates = Arc::new(Certificates::read(files, Arc::clone(&provider))?);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Certificates>::clone(&certificates));
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        config.ticketer = ring::Ticketer::new()?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificates,
            handshake_timeout,
            handshakes: Handshakes::default(),
        })
    }

    /// Shakes hands with a client in bounded time.
    ///
    /// # Errors
    /// When the client does not get on with us, or not in time.
    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shaken = tokio::time::timeout(self.handshake_timeout, self.acceptor.accept(stream)).await;
        let (count, shaken) = match shaken {
            Ok(Ok(stream)) => (&self.handshakes.completed, Ok(stream)),
            Ok(Err(error)) => (&self.handshakes.failed, Err(error)),
            Err(_) => (&self.handshakes.timed_out, Err(io::ErrorKind::TimedOut.into())),
        };
        count.fetch_add(1, Ordering::Relaxed);
        shaken
    }

    /// Takes over certificates whose files change, as long as the handle lives. Runs inside a tokio runtime.
    pub fn follow_files(&self) -> AbortOnDropHandle<()> {
        let certificates = Arc::clone(&self.certificates);
        AbortOnDropHandle::new(tokio::spawn(follow_files(move || certificates.refresh())))
    }

    /// Takes over certificates whose files have changed; blocks.
    pub fn refresh(&self) {
        self.certificates.refresh();
    }

    /// Shows handshakes and the ends of certificates in `metrics`.
    ///
    /// # Errors
    /// [`TelemetryError`] when they are shown there already.
    pub fn register(self: &Arc<Self>, metrics: &Metrics) -> Result<(), TelemetryError> {
        let shown = Arc::clone(&self.certificates);
        metrics.observe_gauge(&TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS, move |observer| {
            for (name, end) in shown.ends() {
                #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
                observer.observe(end as f64, [&name]);
            }
        })?;
        let tls = Arc::clone(self);
        metrics.observe_counter(&TLS_HANDSHAKES_TOTAL, move |observer| {
            let Handshakes {
                completed,
                failed,
                timed_out,
            } = &tls.handshakes;
            for (outcome, count) in [
                ("completed", completed),
                ("failed", failed),
                ("timed_out", timed_out),
            ] {
                observer.observe(count.load(Ordering::Relaxed), [outcome]);
            }
        })
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls")
            .field("certificates", &self.certificates)
            .finish_non_exhaustive()
    }
}

/// Why TLS towards clients cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// A certificate cannot be served.
    #[error("a certificate cannot be served")]
    Certificate(#[from] CertificateError),
    /// rustls refuses its configuration.
    #[error("tls cannot be configured")]
    Config(#[from] rustls::Error),
}
