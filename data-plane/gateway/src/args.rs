//! The options of the command line.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use http::Uri;
use ipnet::IpNet;
use tyrscale_client::ClientTlsArgs;

use crate::compress::Compress;
use crate::config::Settings;
use crate::recorder::RecorderArgs;

mod tls;

pub use tls::{TlsArgs, TlsConfig};

/// The options of the command line and their environment variables.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where clients connect.
    #[arg(long, env = "TYRSCALE_GATEWAY_LISTEN", default_value = "127.0.0.1:7777")]
    pub listen: SocketAddr,
    /// Where /livez, /readyz, /metrics and /debug/config are served.
    #[arg(long, env = "TYRSCALE_GATEWAY_ADMIN_LISTEN", default_value = "127.0.0.1:7780")]
    pub admin_listen: SocketAddr,
    /// TLS towards clients.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// http://host:port or https://host:port of a control plane; repeat it for more.
    #[arg(
        long = "control-plane",
        env = "TYRSCALE_CONTROL_PLANE",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8889"
    )]
    pub control_planes: Vec<Uri>,
    /// TLS towards the control plane.
    #[command(flatten)]
    pub control_plane_tls: ClientTlsArgs,
    /// Where the last good configuration and the node's id are kept.
    #[arg(
        long,
        env = "TYRSCALE_GATEWAY_DATA_DIR",
        default_value = "./tyrscale-data/gateway"
    )]
    pub data_dir: PathBuf,
    /// The node's name in the fleet; by default one made at the first start and kept in the data directory.
    #[arg(long, env = "TYRSCALE_NODE_ID")]
    pub node_id: Option<String>,
    /// The group of gateways this one belongs to.
    #[arg(long, env = "TYRSCALE_GROUP", default_value = "default")]
    pub group: String,
    /// The zone this gateway runs in.
    #[arg(long, env = "TYRSCALE_ZONE", default_value = "")]
    pub zone: String,
    /// A label that stages of rollouts choose gateways by, as name=value; repeat it for more.
    #[arg(long = "label", env = "TYRSCALE_LABELS", value_name = "NAME=VALUE", value_delimiter = ',', value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// A label that routes must have for this gateway to serve them, as name=value; repeat it for more, of which they must
    /// have all. By default it serves all routes.
    #[arg(
        long = "select-label",
        env = "TYRSCALE_SELECT_LABELS",
        value_name = "NAME=VALUE",
        value_delimiter = ',',
        value_parser = label
    )]
    pub select_labels: Vec<(String, String)>,
    /// Threads that serve clients; by default one for each core.
    #[arg(long, env = "TYRSCALE_GATEWAY_WORKERS")]
    pub workers: Option<NonZeroUsize>,
    /// Largest request body, in bytes.
    #[arg(long, env = "TYRSCALE_GATEWAY_MAX_BODY_BYTES", default_value_t = Settings::DEFAULT.max_body_bytes)]
    pub max_body_bytes: usize,
    /// Most calls in one batch.
    #[arg(long, env = "TYRSCALE_GATEWAY_MAX_BATCH", default_value_t = Settings::DEFAULT.max_batch)]
    pub max_batch: usize,
    /// Most open connections of clients; further ones wait to be accepted.
    #[arg(long, env = "TYRSCALE_GATEWAY_MAX_CONNECTIONS", default_value_t = Settings::DEFAULT.max_connections)]
    pub max_connections: usize,
    /// Most open connections of one client's address; further ones are closed at once. 0: any number. Trusted proxies
    /// have no such limit.
    #[arg(long, env = "TYRSCALE_GATEWAY_MAX_CONNECTIONS_PER_CLIENT", default_value_t = Settings::DEFAULT.max_connections_per_client)]
    pub max_connections_per_client: usize,
    /// Most requests in progress; further ones are answered 503 at once.
    #[arg(long, env = "TYRSCALE_GATEWAY_MAX_REQUESTS", default_value_t = Settings::DEFAULT.max_requests)]
    pub max_requests: usize,
    /// Most bytes held of the bodies of all requests in progress; requests beyond it are answered 503 before their
    /// bodies are read. One that does not tell its length counts as the largest until it is read.
    #[arg(long, env = "TYRSCALE_GATEWAY_MAX_REQUEST_BYTES_HELD", default_value_t = Settings::DEFAULT.max_request_bytes_held)]
    pub max_request_bytes_held: usize,
    /// Largest head of a request, in bytes; at least 8192.
    #[arg(long, env = "TYRSCALE_GATEWAY_MAX_HEADER_BYTES", default_value_t = Settings::DEFAULT.max_header_bytes)]
    pub max_header_bytes: u32,
    /// How long an HTTP/1 connection may stay without a complete request head, idle time included.
    #[arg(long, env = "TYRSCALE_GATEWAY_HEADER_TIMEOUT", value_parser = duration, default_value = "75s")]
    pub header_timeout: Duration,
    /// Largest answer of an upstream to a batch, in bytes; it is held to be put in order.
    #[arg(long, env = "TYRSCALE_GATEWAY_MAX_BATCH_ANSWER_BYTES", default_value_t = Settings::DEFAULT.max_batch_answer_bytes)]
    pub max_batch_answer_bytes: usize,
    /// How long a request's body may take to arrive.
    #[arg(long, env = "TYRSCALE_GATEWAY_BODY_TIMEOUT", value_parser = duration, default_value = "30s")]
    pub body_timeout: Duration,
    /// How long a client may take nothing of what is sent to it before its connection is cut.
    #[arg(long, env = "TYRSCALE_GATEWAY_WRITE_TIMEOUT", value_parser = duration, default_value = "30s")]
    pub write_timeout: Duration,
    /// How long a request may take from the end of its body, all attempts included, until its answer begins.
    #[arg(long, env = "TYRSCALE_GATEWAY_REQUEST_TIMEOUT", value_parser = duration, default_value = "60s")]
    pub request_timeout: Duration,
    /// How long one upstream may take to begin its answer, and pause within it.
    #[arg(long, env = "TYRSCALE_GATEWAY_ATTEMPT_TIMEOUT", value_parser = duration, default_value = "20s")]
    pub attempt_timeout: Duration,
    /// How long a connection to an upstream may take to be made, proxy and TLS included.
    #[arg(long, env = "TYRSCALE_GATEWAY_CONNECT_TIMEOUT", value_parser = duration, default_value = "3s")]
    pub connect_timeout: Duration,
    /// How long an unused connection to an upstream is kept.
    #[arg(long, env = "TYRSCALE_GATEWAY_IDLE_TIMEOUT", value_parser = duration, default_value = "10s")]
    pub idle_timeout: Duration,
    /// How long requests in flight may take to finish once the gateway is told to stop.
    #[arg(long, env = "TYRSCALE_GATEWAY_DRAIN_TIMEOUT", value_parser = duration, default_value = "30s")]
    pub drain_timeout: Duration,
    /// Whether answers are compressed for clients that take gzip: off asks upstreams for plain answers, pass for gzip and
    /// passes it on, gzip compresses plain ones as well.
    #[arg(long, env = "TYRSCALE_GATEWAY_COMPRESS", value_enum, default_value_t)]
    pub compress: Compress,
    /// How often the names of upstreams and proxies are resolved anew; the last good answer stands until then, and as
    /// long as there is none.
    #[arg(long, env = "TYRSCALE_GATEWAY_DNS_REFRESH", value_parser = duration, default_value = "30s")]
    pub dns_refresh: Duration,
    /// Address or network whose X-Forwarded-Host and X-Forwarded-For are believed; repeat it for more.
    #[arg(long = "trusted-proxy", env = "TYRSCALE_GATEWAY_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
    /// What is written down of requests.
    #[command(flatten)]
    pub recorder: RecorderArgs,
    /// Answers `GET /metrics` on the data port too, for old scrape configurations.
    #[arg(long, env = "TYRSCALE_GATEWAY_METRICS_ON_DATA_PORT")]
    pub metrics_on_data_port: bool,
    /// PEM file of certificate authorities that upstreams may be certified by besides the public ones.
    #[arg(long, env = "TYRSCALE_GATEWAY_UPSTREAM_CA")]
    pub upstream_ca: Option<PathBuf>,
}

/// The cores that the process may use.
pub(crate) fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// A text that is neither of the forms an option takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Reads a duration: a whole number with the unit `ms`, `s`, `m` or `h`; up to a day.
pub(crate) fn duration(text: &str) -> Result<Duration, Malformed> {
    const RULE: Malformed = Malformed("a duration of up to 24h, such as 500ms, 10s, 2m");
    let unit_at = text.find(|it: char| !it.is_ascii_digit()).ok_or(RULE)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| RULE)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(RULE),
    };
    let ms = number.checked_mul(unit_ms).filter(|ms| *ms <= 86_400_000);
    ms.map(Duration::from_millis).ok_or(RULE)
}

/// Reads a label.
fn label(text: &str) -> Result<(String, String), Malformed> {
    const RULE: Malformed = Malformed("a name and a value such as canary=true, each at most 256 bytes");
    let (name, value) = text.split_once('=').ok_or(RULE)?;
    let is_text = |text: &str| text.len() <= 256 && !text.chars().any(char::is_control);
    if name.is_empty() || !is_text(name) || !is_text(value) {
        return Err(RULE);
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads an address or a network in CIDR notation.
fn network(text: &str) -> Result<IpNet, Malformed> {
    const RULE: Malformed = Malformed("an IP address or a network such as 10.0.0.0/8");
    text.parse::<IpAddr>()
        .map(IpNet::from)
        .or_else(|_| text.parse::<IpNet>())
        .map_err(|_| RULE)
}
