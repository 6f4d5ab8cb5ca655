//! What a subscription needs to know.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use http::Uri;
use tyrscale_model::{Selection, View};
use tyrscale_proto::v1;
use tyrscale_tls::ClientTls;

/// What a subscriber does with the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeRole {
    /// Proxies requests.
    Gateway,
    /// Measures rpcs.
    Exporter,
    /// Computes weights.
    Recommender,
}

impl NodeRole {
    pub(crate) const fn to_wire(self) -> v1::NodeRole {
        match self {
            Self::Gateway => v1::NodeRole::Gateway,
            Self::Exporter => v1::NodeRole::Exporter,
            Self::Recommender => v1::NodeRole::Recommender,
        }
    }
}

/// Who a subscriber is, as the control plane shows it.
#[derive(Debug, Clone)]
pub struct NodeIdentity {
    /// 1 to 128 printable ASCII characters without blanks; one per running process.
    pub id: String,
    /// Nodes that are alike; may be empty.
    pub group: String,
    /// Where it runs; may be empty.
    pub zone: String,
    /// What it does.
    pub role: NodeRole,
    /// Anything else to tell it by.
    pub labels: BTreeMap<String, String>,
    /// Program and version.
    pub build: String,
}

/// How long things take and how often they are tried.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Until a connection stands and the control plane has said Welcome.
    pub connect_timeout: Duration,
    /// Upper bound of the first wait after a failure; it doubles with each further one.
    pub backoff_base: Duration,
    /// Upper bound of every wait.
    pub backoff_max: Duration,
    /// A stream that held this long was a good one: the back-off starts over.
    pub stable_after: Duration,
    /// Upper bound of the wait after losing a good stream, so that a fleet does not return as one.
    pub reconnect_spread: Duration,
    /// Between heartbeats, when the control plane does not say.
    pub heartbeat: Duration,
    /// So many heartbeats without any message: the stream is given up.
    pub heartbeat_misses: u32,
    /// A content that has run this long is not what a later crash is blamed on.
    pub proven_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            backoff_base: Duration::from_millis(200),
            backoff_max: Duration::from_secs(20),
            stable_after: Duration::from_secs(10),
            reconnect_spread: Duration::from_secs(2),
            heartbeat: Duration::from_secs(15),
            heartbeat_misses: 3,
            proven_after: Duration::from_secs(30),
        }
    }
}

/// A subscription to the configuration.
#[derive(Debug, Clone)]
pub struct SubscriptionConfig {
    /// `http://host:port` or `https://host:port` of control planes, tried in turn; at least one.
    pub endpoints: Vec<Uri>,
    /// For control planes at `https`: whom to believe, and the certificate that says who subscribes.
    pub tls: ClientTls,
    /// Who subscribes.
    pub node: NodeIdentity,
    /// Which kinds are wanted. Must hold, with a kind, the kinds its resources name.
    pub view: View,
    /// Which routes are wanted, and what belongs to them.
    pub selection: Selection,
    /// Whether recommended weights are followed, too.
    pub weights: bool,
    /// The directory that keeps the last good content, for this subscription and its selection alone; none: nothing is
    /// kept.
    pub last_good: Option<PathBuf>,
    /// Intervals and limits of time.
    pub timing: Timing,
    /// The largest message the control plane may send, in bytes: 0 for its own choice, else at least 65,536.
    pub max_message_bytes: u32,
}
