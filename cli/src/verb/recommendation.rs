//! `tyrctl recommendation runs`, `explain`, `approve` and `reject`.

use clap::Subcommand;
use tyrscale_proto::v1;

use super::Verb;
use crate::{
    Connection, Failure, Output,
    args::TransportKind,
    output::say,
    resource::Recommendation,
    run_record::{self, RunRecord},
    transport::{GrpcClient, signed},
};

/// What to do with recommendations.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one per process")]
pub(crate) enum RecommendationVerb {
    #[command(flatten)]
    Any(Verb<Recommendation>),
    /// Lists the last runs, the newest first.
    Runs {
        /// Of this route; of all when not given.
        route: Option<String>,
        /// How many at most.
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Tells what a run saw of each upstream, which rule decided, and what it wrote.
    Explain {
        /// The route.
        route: String,
        /// The run; the newest when not given.
        run: Option<String>,
    },
    /// Writes the weights that a run proposes.
    Approve {
        /// The route.
        route: String,
        /// The run.
        run: String,
    },
    /// Drops what a run proposes.
    Reject {
        /// The route.
        route: String,
        /// The run.
        run: String,
    },
}

impl RecommendationVerb {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::Any(verb) => verb.run(connection, output).await,
            Self::Runs { route, limit } => runs(&connect(connection).await?, route, limit, output).await,
            Self::Explain { route, run } => explain(&connect(connection).await?, route, run, output).await,
            Self::Approve { route, run } => approve(&connect(connection).await?, route, run, output).await,
            Self::Reject { route, run } => reject(&connect(connection).await?, route, run, output).await,
        }
    }
}

async fn connect(connection: &Connection) -> Result<GrpcClient, Failure> {
    if connection.transport == TransportKind::Rest {
        let text = "REST knows no runs: use --transport grpc";
        return Err(Failure::Usage(text.to_owned()));
    }
    GrpcClient::connect(connection).await
}

async fn runs(client: &GrpcClient, route: Option<String>, limit: u32, output: Output) -> Result<(), Failure> {
    let request = v1::ListRunsRequest {
        route_id: route.unwrap_or_default(),
        limit,
    };
    let mut service = client.control_plane().recommendation_runs();
    let answer = service.list_runs(signed(request)).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    let records: Vec<RunRecord> = answer.runs.into_iter().map(RunRecord::from_message).collect();
    output.write_all(&records, run_record::LIST_COLUMNS)
}

async fn explain(
    client: &GrpcClient,
    route: String,
    run: Option<String>,
    output: Output,
) -> Result<(), Failure> {
    let request = v1::GetRunRequest {
        route_id: route,
        run_id: run.unwrap_or_default(),
    };
    let mut service = client.control_plane().recommendation_runs();
    let answer = service.get_run(signed(request)).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    run_record::explain(answer.run, output)
}

async fn approve(client: &GrpcClient, route: String, run: String, output: Output) -> Result<(), Failure> {
    let request = v1::ApproveRunRequest {
        route_id: route,
        run_id: run,
    };
    let mut service = client.control_plane().recommendation_runs();
    let answer = service.approve_run(signed(request)).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    say("approved: its weights count now");
    run_record::explain(answer.run, output)
}

async fn reject(client: &GrpcClient, route: String, run: String, output: Output) -> Result<(), Failure> {
    let request = v1::RejectRunRequest {
        route_id: route,
        run_id: run,
    };
    let mut service = client.control_plane().recommendation_runs();
    let answer = service.reject_run(signed(request)).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    say("rejected: nothing was written");
    run_record::explain(answer.run, output)
}
