//! What the gateway is told at its start.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::Semaphore;
use tyrscale_client::ClientTls;
use tyrscale_model::{Selection, Violation, ViolationCode, label_violations};

use crate::args::{Args, TlsConfig, cores};
use crate::compress::Compress;
use crate::recorder::RecorderArgs;
use crate::shedding::Load;

/// The most labels of a node.
const MAX_LABELS: usize = 32;

/// What the gateway is told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The control planes, at least one.
    pub control_planes: Vec<Uri>,
    /// How TLS is spoken with control planes at `https`.
    pub control_plane_tls: ClientTls,
    /// Where the last good configuration and the node's id are kept.
    pub data_dir: PathBuf,
    /// The node's id, when it is given.
    pub node_id: Option<String>,
    /// The group of gateways this one belongs to.
    pub group: String,
    /// The zone this gateway runs in.
    pub zone: String,
    /// Labels that stages of rollouts choose by.
    pub labels: BTreeMap<String, String>,
    /// The routes it serves.
    pub selection: Selection,
    /// How TLS is spoken with clients, if it is.
    pub tls: Option<TlsConfig>,
    /// How requests are served.
    pub settings: Settings,
}

/// How requests are served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Threads that serve clients.
    pub workers: NonZeroUsize,
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Most calls in one batch.
    pub max_batch: usize,
    /// Most open connections of clients.
    pub max_connections: usize,
    /// Most open connections of one client's address; 0: any number.
    pub max_connections_per_client: usize,
    /// Most requests in progress.
    pub max_requests: usize,
    /// Most bytes held of the bodies of requests in progress.
    pub max_request_bytes_held: usize,
    /// Largest head of a request, in bytes.
    pub max_header_bytes: u32,
    /// Largest answer of an upstream to a batch, in bytes.
    pub max_batch_answer_bytes: usize,
    /// How long an HTTP/1 connection may stay without a complete request head.
    pub header_timeout: Duration,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub write_timeout: Duration,
    /// How long a request may take from the end of its body until its answer begins.
    pub request_timeout: Duration,
    /// How long one upstream may take to begin its answer, and pause within it.
    pub attempt_timeout: Duration,
    /// How long a connection to an upstream may take to be made.
    pub connect_timeout: Duration,
    /// How long an unused connection to an upstream is kept.
    pub idle_timeout: Duration,
    /// How long requests in flight may take to finish.
    pub drain_timeout: Duration,
    /// Whether and how answers are compressed.
    pub compress: Compress,
    /// How often the names of upstreams are resolved anew.
    pub dns_refresh: Duration,
    /// Whose `X-Forwarded-Host` and `X-Forwarded-For` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What is written down of requests.
    pub recorder: RecorderArgs,
    /// Whether `GET /metrics` is answered on the data port.
    pub metrics_on_data_port: bool,
    /// Authorities that upstreams may be certified by besides the public ones.
    pub upstream_authorities: Vec<CertificateDer<'static>>,
}

impl Settings {
    pub(crate) const DEFAULT: Self = Self {
        workers: NonZeroUsize::MIN,
        max_body_bytes: 10 * 1024 * 1024,
        max_batch: 1000,
        max_connections: 10_000,
        max_connections_per_client: 0,
        max_requests: 10_000,
        max_request_bytes_held: 512 * 1024 * 1024,
        max_header_bytes: 64 * 1024,
        max_batch_answer_bytes: 32 * 1024 * 1024,
        header_timeout: Duration::from_secs(75),
        body_timeout: Duration::from_secs(30),
        write_timeout: Duration::from_secs(30),
        request_timeout: Duration::from_secs(60),
        attempt_timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(3),
        idle_timeout: Duration::from_secs(10),
        drain_timeout: Duration::from_secs(30),
        compress: Compress::Off,
        dns_refresh: Duration::from_secs(30),
        trusted_proxies: Vec::new(),
        recorder: RecorderArgs::DEFAULT,
        metrics_on_data_port: false,
        upstream_authorities: Vec::new(),
    };

    /// Whether `address` is believed what it says about whom it speaks for.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies
            .iter()
            .any(|network| network.contains(&address))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is wrong with the options.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A number or duration that must be above zero is zero.
    #[error("{option} must be above 0")]
    Zero {
        /// The option.
        option: &'static str,
    },
    /// The head of a request would not fit.
    #[error("--max-header-bytes must be at least 8192")]
    SmallHead,
    /// More connections than can be counted.
    #[error("--max-connections must be at most {}", Semaphore::MAX_PERMITS)]
    ManyConnections,
    /// More requests than can be counted.
    #[error("--max-requests must be at most {}", Load::MAX_REQUESTS)]
    ManyRequests,
    /// No room for one request, or more bytes than can be counted.
    #[error("--max-request-bytes-held must be --max-body-bytes to {}", Load::MAX_BYTES)]
    RequestBytesHeld,
    /// A URL of a control plane is none, or has a part that is not used.
    #[error(
        "--control-plane must be an http or https URL of a host and port only, such as http://127.0.0.1:8889"
    )]
    ControlPlane,
    /// The node's id is empty, too long, or has a character that is none of an id.
    #[error("--node-id must be 1 to 128 printable ASCII characters without blanks and '/'")]
    NodeId,
    /// More labels than the control plane takes.
    #[error("--label may be given at most {MAX_LABELS} times")]
    ManyLabels,
    /// Labels that no route can have.
    #[error("--select-label: {0}")]
    SelectLabels(Violation),
    /// Certificates without keys, or an address to serve them at without any.
    #[error("--tls-listen needs --tls-cert and --tls-key, as many of the one as of the other")]
    TlsPairs,
    /// Certificates that nobody would be shown.
    #[error("--tls-cert and --tls-key need --tls-listen")]
    NoTlsListen,
    /// The file of authorities cannot be read.
    #[error("--upstream-ca cannot be read")]
    UpstreamCa(#[source] rustls::pki_types::pem::Error),
    /// The file of authorities has no certificate in it.
    #[error("--upstream-ca has no certificate in it")]
    NoUpstreamCa,
}

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Self, ConfigError> {
        args.check()?;
        let settings = Settings {
            workers: args.workers.unwrap_or_else(cores),
            max_body_bytes: args.max_body_bytes,
            max_batch: args.max_batch,
            max_connections: args.max_connections,
            max_connections_per_client: args.max_connections_per_client,
            max_requests: args.max_requests,
            max_request_bytes_held: args.max_request_bytes_held,
            max_header_bytes: args.max_header_bytes,
            header_timeout: args.header_timeout,
            max_batch_answer_bytes: args.max_batch_answer_bytes,
            body_timeout: args.body_timeout,
            write_timeout: args.write_timeout,
            request_timeout: args.request_timeout,
            attempt_timeout: args.attempt_timeout,
            connect_timeout: args.connect_timeout,
            idle_timeout: args.idle_timeout,
            drain_timeout: args.drain_timeout,
            compress: args.compress,
            dns_refresh: args.dns_refresh,
            trusted_proxies: args.trusted_proxies,
            recorder: args.recorder,
            metrics_on_data_port: args.metrics_on_data_port,
            upstream_authorities: args.upstream_ca.map(authorities).transpose()?.unwrap_or_default(),
        };
        Ok(Self {
            control_planes: args.control_planes,
            control_plane_tls: args.control_plane_tls.into(),
            data_dir: args.data_dir,
            node_id: args.node_id,
            group: args.group,
            zone: args.zone,
            labels: args.labels.into_iter().collect(),
            selection: Selection::of(args.select_labels.into_iter().collect()),
            tls: args.tls.check()?,
            settings,
        })
    }
}

impl Args {
    fn check(&self) -> Result<(), ConfigError> {
        let zeros = [
            ("--max-body-bytes", self.max_body_bytes == 0),
            ("--max-batch", self.max_batch == 0),
            ("--max-connections", self.max_connections == 0),
            ("--max-requests", self.max_requests == 0),
            ("--max-batch-answer-bytes", self.max_batch_answer_bytes == 0),
            ("--body-timeout", self.body_timeout.is_zero()),
            ("--write-timeout", self.write_timeout.is_zero()),
            ("--header-timeout", self.header_timeout.is_zero()),
            ("--request-timeout", self.request_timeout.is_zero()),
            ("--attempt-timeout", self.attempt_timeout.is_zero()),
            ("--connect-timeout", self.connect_timeout.is_zero()),
            ("--idle-timeout", self.idle_timeout.is_zero()),
            ("--dns-refresh", self.dns_refresh.is_zero()),
        ];
        if let Some((option, _)) = zeros.into_iter().find(|(_, zero)| *zero) {
            return Err(ConfigError::Zero { option });
        }
        if self.max_header_bytes < 8192 {
            return Err(ConfigError::SmallHead);
        }
        if self.max_connections > Semaphore::MAX_PERMITS {
            return Err(ConfigError::ManyConnections);
        }
        if self.max_requests > Load::MAX_REQUESTS {
            return Err(ConfigError::ManyRequests);
        }
        if !(self.max_body_bytes..=Load::MAX_BYTES).contains(&self.max_request_bytes_held) {
            return Err(ConfigError::RequestBytesHeld);
        }
        if self.control_planes.is_empty() || !self.control_planes.iter().all(is_control_plane) {
            return Err(ConfigError::ControlPlane);
        }
        if self.labels.len() > MAX_LABELS {
            return Err(ConfigError::ManyLabels);
        }
        let selected: BTreeMap<_, _> = self.select_labels.iter().cloned().collect();
        if selected.len() != self.select_labels.len() {
            let twice = Violation::new("labels", ViolationCode::Invalid, "must each be named once");
            return Err(ConfigError::SelectLabels(twice));
        }
        if let Some(violation) = label_violations(&selected).into_iter().next() {
            return Err(ConfigError::SelectLabels(violation));
        }
        if self.node_id.as_deref().is_some_and(|id| !is_node_id(id)) {
            return Err(ConfigError::NodeId);
        }
        Ok(())
    }
}

fn is_control_plane(url: &Uri) -> bool {
    let has_user = url
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'));
    matches!(url.scheme_str(), Some("http" | "https"))
        && !has_user
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
}

/// What the control plane takes for a node's id, but for `/`, which would part a path.
fn is_node_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

fn authorities(file: PathBuf) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(ConfigError::UpstreamCa)?;
    if certificates.is_empty() {
        Err(ConfigError::NoUpstreamCa)
    } else {
        Ok(certificates)
    }
}

#[cfg(test)]
mod tests;
