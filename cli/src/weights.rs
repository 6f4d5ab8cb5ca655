//! `tyrctl weights`: what was recommended for the upstreams of routes, and what counts.

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use tyrscale_model::wire;
use tyrscale_proto::v1;

use crate::{
    Connection, Failure, Output,
    args::TransportKind,
    output::say,
    resource::parse_duration,
    status::{time, word},
    transport::{GrpcClient, signed},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Shows the upstreams of a route, or of every route with recommended weights: what the operator set, what is
    /// recommended, and what counts.
    List {
        /// The route's id.
        route: Option<String>,
    },
    /// Recommends weights for upstreams of a route. They give way to what operators set later, and end by
    /// themselves.
    Set(Set),
    /// Drops the recommended weights of a route, or all with --all: the operators' count again.
    Clear {
        /// The route's id.
        #[arg(required_unless_present = "all")]
        route: Option<String>,
        /// Of every route.
        #[arg(long, conflicts_with = "route")]
        all: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// The route's id.
    route: String,
    /// An upstream's id and the weight for it, 0 to 100.
    #[arg(required = true, value_name = "UPSTREAM=WEIGHT", value_parser = parse_weight)]
    weights: Vec<(String, f64)>,
    /// How long they hold, 1 second to 7 days.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = parse_duration)]
    ttl: Duration,
    /// Why, for people.
    #[arg(long, default_value = "")]
    reason: String,
    /// The revision of the configuration they were computed from; the newest without.
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    based_on: u64,
    /// Check everything, change nothing.
    #[arg(long)]
    dry_run: bool,
}

fn parse_weight(text: &str) -> Result<(String, f64), String> {
    let (upstream, weight) = text.split_once('=').ok_or("must be UPSTREAM=WEIGHT")?;
    let weight = weight.parse().map_err(|_| "the weight must be a number")?;
    Ok((upstream.to_owned(), weight))
}

/// What counts of one upstream.
#[derive(Debug, Serialize)]
struct Row {
    route: String,
    upstream: String,
    operator: f64,
    recommended: Option<f64>,
    effective: f64,
    standing: String,
    /// Seconds the recommended weight still holds.
    remaining_seconds: Option<i64>,
    based_on: Option<u64>,
    reason: String,
    set_by: String,
    set_time: Option<String>,
}

/// What came of setting weights.
#[derive(Debug, Serialize)]
struct Written {
    /// Of the recommended weights.
    revision: u64,
    /// Only times to live are new.
    unchanged: bool,
    weights: Vec<Given>,
    /// What the guard rails moved.
    clamped: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Given {
    upstream: String,
    weight: f64,
}

#[derive(Debug, Serialize)]
struct Cleared {
    revision: u64,
    cleared: u32,
}

impl Verb {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        if connection.transport == TransportKind::Rest {
            return Err(Failure::Usage(
                "REST knows no recommended weights: use --transport grpc".to_owned(),
            ));
        }
        let client = GrpcClient::connect(connection).await?;
        match self {
            Self::List { route } => list(&client, route.unwrap_or_default(), output).await,
            Self::Set(set) => set.run(&client, output).await,
            Self::Clear { route, .. } => clear(&client, route.unwrap_or_default(), output).await,
        }
    }
}

async fn list(client: &GrpcClient, route_id: String, output: Output) -> Result<(), Failure> {
    let mut service = client.control_plane().recommendations();
    let answer = service
        .list_weights(signed(v1::ListWeightsRequest { route_id }))
        .await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    let rows: Vec<Row> = answer.weights.into_iter().map(Row::from_message).collect();
    if rows.is_empty() {
        say("no weights are recommended");
    }
    output.write_all(
        &rows,
        &[
            "route",
            "upstream",
            "operator",
            "recommended",
            "effective",
            "standing",
            "remaining_seconds",
        ],
    )
}

impl Set {
    async fn run(self, client: &GrpcClient, output: Output) -> Result<(), Failure> {
        let ttl = prost_types::Duration::try_from(self.ttl)
            .map_err(|_| Failure::Usage("--ttl must be 1 second to 7 days".to_owned()))?;
        let weight = |(upstream_id, weight)| v1::Weight {
            upstream_id,
            weight,
            ttl: Some(ttl),
            based_on_config_revision: 0,
        };
        let request = v1::SetWeightsRequest {
            route_id: self.route,
            weights: self.weights.into_iter().map(weight).collect(),
            fencing_token: None,
            based_on_config_revision: self.based_on,
            reason: self.reason,
            dry_run: self.dry_run,
        };
        let answer = client
            .control_plane()
            .recommendations()
            .set_weights(signed(request))
            .await;
        let answer = answer.map_err(|status| client.failure(status))?.into_inner();
        let written = Written {
            revision: answer.version.map_or(0, |version| version.revision),
            unchanged: answer.unchanged,
            weights: answer
                .weights
                .into_iter()
                .map(|weight| Given {
                    upstream: weight.upstream_id,
                    weight: weight.weight,
                })
                .collect(),
            clamped: answer
                .clamped
                .iter()
                .map(|moved| wire::violation_from_wire(moved).to_string())
                .collect(),
        };
        for moved in &written.clamped {
            say(&format!("moved: {moved}"));
        }
        if output == Output::Table {
            return output.write_all(&written.weights, &["upstream", "weight"]);
        }
        output.write_document(&written)
    }
}

async fn clear(client: &GrpcClient, route_id: String, output: Output) -> Result<(), Failure> {
    let mut service = client.control_plane().recommendations();
    let answer = service
        .clear_weights(signed(v1::ClearWeightsRequest { route_id }))
        .await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    let cleared = Cleared {
        revision: answer.version.map_or(0, |version| version.revision),
        cleared: answer.cleared,
    };
    output.write_one(&cleared, &["revision", "cleared"])
}

impl Row {
    fn from_message(message: v1::EffectiveWeight) -> Self {
        let standing = word(message.standing().as_str_name(), "WEIGHT_STANDING_");
        Self {
            route: message.route_id,
            upstream: message.upstream_id,
            operator: message.operator,
            recommended: message.recommended.as_ref().map(|weight| weight.weight),
            based_on: message
                .recommended
                .as_ref()
                .map(|weight| weight.based_on_config_revision),
            effective: message.effective,
            standing,
            remaining_seconds: message.remaining.map(|remaining| remaining.seconds),
            reason: message.reason,
            set_by: message.set_by,
            set_time: message.set_time.map(time),
        }
    }
}
