//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use http::Uri;
use tyrscale_client::{ApiToken, ClientTlsArgs, Credentials};
use tyrscale_control_plane::store_command::StoreVerb;

use crate::{
    Failure, Output,
    access::{AuditVerb, EventsArgs, NodeVerb, TokenVerb},
    apply, certs,
    resource::{Network, Route, Rpc},
    revision, rollout, secret, status, telemetry, top, trace, up,
    verb::{RecommendationVerb, UpstreamVerb, Verb},
    weights,
};

/// Drives TyrScale: resources, status, and a whole system in one process.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How to write what is asked for to standard output.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        help_heading = "Everywhere"
    )]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Connection {
    /// What to speak to the control plane.
    #[arg(long, global = true, value_enum, default_value_t, env = "TYRCTL_TRANSPORT")]
    pub(crate) transport: TransportKind,
    /// The control plane's gRPC address.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8889",
        env = "TYRCTL_SERVER"
    )]
    pub(crate) server: Uri,
    /// The control plane's REST address.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8888",
        env = "TYRCTL_REST_SERVER"
    )]
    pub(crate) rest_server: Uri,
    /// The token that says who asks. On a shared machine prefer the environment or --token-file.
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "TYRSCALE_TOKEN",
        hide_env_values = true,
        conflicts_with = "token_file"
    )]
    pub(crate) token: Option<ApiToken>,
    /// A file that holds the token.
    #[arg(long, global = true, value_name = "FILE", env = "TYRSCALE_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tls: ClientTlsArgs,
}

impl Connection {
    /// What is shown to the control plane of who asks.
    ///
    /// # Errors
    /// [`Failure::File`] or [`Failure::Usage`] about the file of the token.
    pub(crate) fn credentials(&self) -> Result<Credentials, Failure> {
        let from_file = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).map_err(|source| Failure::File {
                path: path.clone(),
                source,
            })?;
            text.parse()
                .map_err(|error| Failure::Usage(format!("--token-file {}: {error}", path.display())))
        };
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(path)) => Some(from_file(path)?),
            (None, None) => None,
        };
        Ok(Credentials {
            tls: self.tls.clone().into(),
            token,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum TransportKind {
    /// Everything.
    #[default]
    Grpc,
    /// The interface of the original program, with its limits.
    Rest,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one per process")]
pub(crate) enum Command {
    /// The chains that clients can reach.
    #[command(visible_alias = "networks")]
    Network {
        #[command(subcommand)]
        verb: Verb<Network>,
    },
    /// Values that are written and never read, such as providers' keys: ${secret:NAME} in URLs and headers.
    #[command(visible_alias = "secrets")]
    Secret {
        #[command(subcommand)]
        verb: secret::Verb,
    },
    /// The JSON-RPC endpoints of networks.
    #[command(visible_alias = "rpcs")]
    Rpc {
        #[command(subcommand)]
        verb: Verb<Rpc>,
    },
    /// Where clients connect: hosts and paths, each balanced over its upstreams.
    #[command(visible_alias = "routes")]
    Route {
        #[command(subcommand)]
        verb: Verb<Route>,
    },
    /// The places routes send requests to.
    #[command(visible_alias = "upstreams")]
    Upstream {
        #[command(subcommand)]
        verb: UpstreamVerb,
    },
    /// The routes whose weights are computed on a schedule.
    #[command(visible_alias = "recommendations")]
    Recommendation {
        #[command(subcommand)]
        verb: RecommendationVerb,
    },
    /// The weights that were recommended for upstreams, and those that count.
    Weights {
        #[command(subcommand)]
        verb: weights::Verb,
    },
    /// Puts many resources as one change, all or nothing.
    Apply(apply::Args),
    /// Lists what was changed, by whom and when, the newest first.
    History(revision::HistoryArgs),
    /// Shows how two revisions differ, by resource and field.
    Diff(revision::DiffArgs),
    /// Restores the content of a revision, as a new revision.
    Rollback(revision::RollbackArgs),
    /// Names of revisions.
    #[command(visible_alias = "tags")]
    Tag {
        #[command(subcommand)]
        verb: revision::TagVerb,
    },
    /// Writes every resource as a document that apply takes, secrets masked.
    Export(revision::ExportArgs),
    /// Shows each change as it comes.
    Watch(revision::WatchArgs),
    /// Shows which node runs which revision.
    Status(status::Args),
    /// How changes reach the gateways, stage after stage.
    #[command(visible_alias = "rollouts")]
    Rollout {
        #[command(subcommand)]
        verb: rollout::Verb,
    },
    /// Stops every gateway at what it runs; changes wait.
    Freeze(rollout::Freeze),
    /// Lets the gateways go on after a freeze.
    Unfreeze,
    /// Shows what gateways see of upstreams and exporters of rpcs, by network, rpc and upstream.
    Telemetry(telemetry::Args),
    /// The same, live: what came since the last look, again and again.
    Top(top::Args),
    /// Shows requests that a gateway recorded, and what became of each at which upstream.
    Trace(trace::Args),
    /// The tokens of users: who may call what.
    #[command(visible_alias = "tokens")]
    Token {
        #[command(subcommand)]
        verb: TokenVerb,
    },
    /// The nodes whose certificates are refused.
    Node {
        #[command(subcommand)]
        verb: NodeVerb,
    },
    /// What was written and what was refused.
    Audit {
        #[command(subcommand)]
        verb: AuditVerb,
    },
    /// What is written and what is refused, as it happens.
    Events(EventsArgs),
    /// Whom the control plane takes the caller for.
    Whoami,
    /// An authority and certificates for those who have none.
    Certs(certs::Args),
    /// The store of a control plane as it lies on the disk, while none runs over it.
    Store {
        #[command(subcommand)]
        verb: StoreVerb,
    },
    /// Runs control plane, gateway, exporter and recommender in this process.
    Up(Box<up::Args>),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
