//! The control plane's configuration: flags, each with an environment variable.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use tyrscale_model::RolloutPolicy;
use tyrscale_store::Retention;

mod access;
mod backups;
mod secrets;

pub use access::AccessArgs;
pub use backups::BackupArgs;
pub use secrets::SecretsArgs;

/// How a control plane runs.
#[derive(Debug, Clone, Args)]
pub struct ControlPlaneConfig {
    /// Address of the gRPC services.
    #[arg(long, env = "TYRSCALE_GRPC_LISTEN", default_value = "127.0.0.1:8889")]
    pub grpc_listen: SocketAddr,
    /// Address of the REST shim.
    #[arg(long, env = "TYRSCALE_REST_LISTEN", default_value = "127.0.0.1:8888")]
    pub rest_listen: SocketAddr,
    /// Address of the admin endpoints /metrics, /livez and /readyz; none when absent.
    #[arg(long, env = "TYRSCALE_CONTROL_PLANE_ADMIN_LISTEN")]
    pub admin_listen: Option<SocketAddr>,
    /// Where the store is kept.
    #[arg(
        long,
        env = "TYRSCALE_CONTROL_PLANE_DATA_DIR",
        default_value = "./tyrscale-data/control-plane"
    )]
    pub data_dir: PathBuf,
    /// Newest revisions kept, to be listed, compared, restored, and for subscribers that come back; 1 to 1000000.
    #[arg(long, env = "TYRSCALE_HISTORY", default_value_t = 10_000)]
    pub history: usize,
    /// Days for which older revisions are kept as well, up to 1000000 of them; 0 to 3650.
    #[arg(long, env = "TYRSCALE_HISTORY_DAYS", default_value_t = 30)]
    pub history_days: u64,
    /// Milliseconds between two heartbeats to a subscriber; 10 to 600000.
    #[arg(long, env = "TYRSCALE_HEARTBEAT_MS", default_value_t = 15_000)]
    pub heartbeat_ms: u64,
    /// Milliseconds a subscriber may take to answer an update before it counts as stalled, and again as many
    /// until it is cut off; 10 to 600000.
    #[arg(long, env = "TYRSCALE_ACK_DEADLINE_MS", default_value_t = 30_000)]
    pub ack_deadline_ms: u64,
    /// Replace what subscribers run that this store did not make: of another store, or another content of one of its
    /// revisions. Without it they keep it, so that a store that was lost and made anew does not take the fleet's
    /// configuration away.
    #[arg(long, env = "TYRSCALE_TAKE_OVER")]
    pub take_over: bool,
    /// How changes reach the gateways unless `tyrctl apply --rollout` says otherwise: `all` at once, or stages parted
    /// by commas, each a count, a percentage or a label, and how long it must be good before the next: such as
    /// `label canary=true 30s, 10% 60s`. Changes of nothing but weights and cordons go to all at once.
    #[arg(long, env = "TYRSCALE_ROLLOUT", default_value = "all")]
    pub rollout: RolloutPolicy,
    /// Milliseconds after which a subscriber is asked to connect again, more or less a fifth; 1000 to 86400000. It spreads
    /// subscribers over control planes that come and go.
    #[arg(long, env = "TYRSCALE_STREAM_AGE_MS", default_value_t = 1_800_000)]
    pub stream_age_ms: u64,
    /// Bytes of whole configurations that may be on their way to subscribers at once; others wait in line. At least
    /// 65536.
    #[arg(long, env = "TYRSCALE_SNAPSHOT_ROOM", default_value_t = 256 * 1024 * 1024)]
    pub snapshot_room: usize,
    /// Milliseconds a subscriber may take to say hello; 10 to 600000.
    #[arg(long, env = "TYRSCALE_HELLO_DEADLINE_MS", default_value_t = 10_000)]
    pub hello_deadline_ms: u64,
    /// How the store is kept safe.
    #[command(flatten)]
    pub backups: BackupArgs,
    /// Who may call.
    #[command(flatten)]
    pub access: AccessArgs,
    /// The master key of secrets.
    #[command(flatten)]
    pub secrets: SecretsArgs,
    /// Where the store is, if not in a directory.
    #[cfg(feature = "etcd")]
    #[command(flatten)]
    pub etcd: crate::etcd::EtcdArgs,
    /// Milliseconds between two reports of a gateway or exporter; more of them report less often; 100 to 60000.
    #[arg(long, env = "TYRSCALE_TELEMETRY_INTERVAL_MS", default_value_t = 5_000)]
    pub telemetry_interval_ms: u64,
    /// The rails that recommended weights keep to.
    #[command(flatten)]
    pub weights: WeightRails,
}

/// The rails that recommended weights keep to: what goes beyond them is moved to the nearest they allow.
#[derive(Debug, Clone, Args)]
pub struct WeightRails {
    /// The least recommended weight above 0; 0.01 to 100.
    #[arg(long = "weights-floor", env = "TYRSCALE_WEIGHTS_FLOOR", default_value_t = 1.0)]
    pub floor: f64,
    /// By how much one call may change a weight; 0.01 to 100.
    #[arg(
        long = "weights-max-step",
        env = "TYRSCALE_WEIGHTS_MAX_STEP",
        default_value_t = 50.0
    )]
    pub max_step: f64,
    /// How many of a route's usable upstreams may be recommended 0, in percent; 0 to 99.
    #[arg(
        long = "weights-max-zero-percent",
        env = "TYRSCALE_WEIGHTS_MAX_ZERO_PERCENT",
        default_value_t = 50
    )]
    pub max_zero_percent: u32,
    /// Milliseconds between two calls that recommend weights for one route; 0 to 3600000.
    #[arg(
        long = "weights-min-interval-ms",
        env = "TYRSCALE_WEIGHTS_MIN_INTERVAL_MS",
        default_value_t = 5000
    )]
    pub min_interval_ms: u64,
}

/// A flag whose value breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{flag} {rule}")]
pub struct ConfigError {
    /// The flag.
    pub flag: &'static str,
    /// What its value must be.
    pub rule: String,
}

impl ControlPlaneConfig {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first flag that breaks a rule, and the rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let within = |flag, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            let rule = format!("must be {low} to {high}");
            Err(ConfigError { flag, rule })
        };
        let history = u64::try_from(self.history).unwrap_or(u64::MAX);
        within("--history", history, 1, 1_000_000)?;
        within("--history-days", self.history_days, 0, 3650)?;
        within("--heartbeat-ms", self.heartbeat_ms, 10, 600_000)?;
        within("--ack-deadline-ms", self.ack_deadline_ms, 10, 600_000)?;
        within("--hello-deadline-ms", self.hello_deadline_ms, 10, 600_000)?;
        self.backups.check()?;
        self.access.check()?;
        self.access.check_listener("--grpc-listen", self.grpc_listen)?;
        self.access.check_listener("--rest-listen", self.rest_listen)?;
        within("--stream-age-ms", self.stream_age_ms, 1_000, 86_400_000)?;
        let room = u64::try_from(self.snapshot_room).unwrap_or(u64::MAX);
        within("--snapshot-room", room, 65_536, u64::MAX)?;
        within("--telemetry-interval-ms", self.telemetry_interval_ms, 100, 60_000)?;
        self.weights.validate()?;
        if self.data_dir.as_os_str().is_empty() {
            let rule = "must name a directory".to_owned();
            return Err(ConfigError {
                flag: "--data-dir",
                rule,
            });
        }
        Ok(())
    }

    pub(crate) fn retention(&self) -> Retention {
        Retention {
            revisions: self.history,
            age: Duration::from_secs(self.history_days * 24 * 60 * 60),
            ..Retention::default()
        }
    }

    pub(crate) const fn telemetry_interval(&self) -> Duration {
        Duration::from_millis(self.telemetry_interval_ms)
    }

    pub(crate) const fn guards(&self) -> crate::weights::Guards {
        crate::weights::Guards {
            floor: self.weights.floor,
            max_step: self.weights.max_step,
            max_zero_percent: self.weights.max_zero_percent,
            min_interval: Duration::from_millis(self.weights.min_interval_ms),
        }
    }

    pub(crate) const fn timing(&self) -> crate::discovery::Timing {
        crate::discovery::Timing {
            hello_deadline: Duration::from_millis(self.hello_deadline_ms),
            heartbeat: Duration::from_millis(self.heartbeat_ms),
            ack_deadline: Duration::from_millis(self.ack_deadline_ms),
            stream_age: Duration::from_millis(self.stream_age_ms),
        }
    }
}

impl Default for WeightRails {
    fn default() -> Self {
        Self {
            floor: 1.0,
            max_step: 50.0,
            max_zero_percent: 50,
            min_interval_ms: 5000,
        }
    }
}

impl WeightRails {
    fn validate(&self) -> Result<(), ConfigError> {
        let weights = [
            ("--weights-floor", self.floor),
            ("--weights-max-step", self.max_step),
        ];
        if let Some((flag, _)) = weights.iter().find(|(_, it)| !(0.01..=100.0).contains(it)) {
            let rule = "must be 0.01 to 100".to_owned();
            return Err(ConfigError { flag, rule });
        }
        let numbers = [
            ("--weights-max-zero-percent", u64::from(self.max_zero_percent), 99),
            ("--weights-min-interval-ms", self.min_interval_ms, 3_600_000),
        ];
        if let Some((flag, _, most)) = numbers.into_iter().find(|(_, it, most)| it > most) {
            let rule = format!("must be 0 to {most}");
            return Err(ConfigError { flag, rule });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: ControlPlaneConfig,
    }

    fn parse(args: &[&str]) -> ControlPlaneConfig {
        Cli::try_parse_from([&["test"], args].concat()).unwrap().config
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(parse(&[]).validate(), Ok(()));
    }

    #[test]
    fn a_bad_value_names_its_flag_and_the_rule() {
        for (args, words) in [
            (["--history", "0"], "--history must be 1 to 1000000"),
            (["--history-days", "3651"], "--history-days must be 0 to 3650"),
            (["--heartbeat-ms", "1"], "--heartbeat-ms must be 10 to 600000"),
            (
                ["--ack-deadline-ms", "0"],
                "--ack-deadline-ms must be 10 to 600000",
            ),
            (
                ["--hello-deadline-ms", "600001"],
                "--hello-deadline-ms must be 10 to 600000",
            ),
            (
                ["--backup-interval-ms", "999"],
                "--backup-interval-ms must be 1000 to 604800000, or 0",
            ),
            (["--backup-keep", "0"], "--backup-keep must be 1 to 1000"),
            (["--weights-floor", "0"], "--weights-floor must be 0.01 to 100"),
            (
                ["--weights-max-step", "NaN"],
                "--weights-max-step must be 0.01 to 100",
            ),
            (
                ["--weights-max-zero-percent", "100"],
                "--weights-max-zero-percent must be 0 to 99",
            ),
        ] {
            assert_eq!(parse(&args).validate().unwrap_err().to_string(), words);
        }
        let mut config = parse(&[]);
        config.data_dir = PathBuf::new();
        assert_eq!(config.validate().unwrap_err().flag, "--data-dir");
    }
}
