//! What can be typed.

use clap::{Parser, Subcommand, ValueEnum};
use http::Uri;

use crate::{
    Output, apply,
    resource::{Network, Recommendation, Route, Rpc},
    status, trace, up,
    verb::{UpstreamVerb, Verb},
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
        verb: Verb<Recommendation>,
    },
    /// Puts many resources as one change, all or nothing.
    Apply(apply::Args),
    /// Shows which node runs which revision.
    Status(status::Args),
    /// Shows requests that a gateway recorded, and what became of each at which upstream.
    Trace(trace::Args),
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
