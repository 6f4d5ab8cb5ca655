//! `tyrctl status`: which node runs which revision.

use std::{collections::BTreeMap, time::Duration};

use prost_types::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use tyrscale_proto::v1;

use crate::{
    Connection, Failure, Output,
    args::TransportKind,
    output::{Columns, say},
    resource::parse_duration,
    transport::{GrpcClient, signed},
};

/// The longest single wait; calls end after half a minute.
const WAIT_SLICE: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Wait until every connected node runs the newest revision; exit with 1 when one refuses it or the time
    /// is up.
    #[arg(long)]
    wait: bool,
    /// Keep telling of every node that changes, until it is ended.
    #[arg(long, conflicts_with = "wait")]
    watch: bool,
    /// How long to wait.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration, requires = "wait")]
    timeout: Duration,
}

/// What is shown.
#[derive(Debug, Serialize)]
struct Status {
    /// The newest version.
    head: Version,
    /// The newest version of the recommended weights.
    weights_head: Version,
    nodes: Vec<Node>,
    /// Contents of other stores that nodes run.
    foreign: Vec<Foreign>,
}

#[derive(Debug, Serialize)]
struct Foreign {
    lineage: String,
    revision: u64,
    nodes: u32,
}

#[derive(Debug, Serialize)]
struct Version {
    lineage: String,
    revision: u64,
    digest: String,
}

#[derive(Debug, Serialize)]
struct Node {
    id: String,
    role: String,
    state: String,
    /// Of what it runs; none when it runs nothing.
    revision: Option<u64>,
    /// Why it is in this state; mostly empty.
    reason: String,
    /// How it stands with the recommended weights; none when it does not follow them.
    weights: Option<WeightsLane>,
    /// Since when it is in this state.
    since: Option<String>,
    /// Kept until it acknowledges a newer version.
    last_refusal: Option<Refusal>,
    group: String,
    zone: String,
    build: String,
    peer: String,
    connected_since: Option<String>,
    last_seen: Option<String>,
    reconnects: u32,
    /// Labels of the routes that it follows; none: every route.
    select_labels: BTreeMap<String, String>,
    /// Two processes use this id at once.
    duplicate_id: bool,
    /// Whether what it runs is on its disk.
    persisted: bool,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct WeightsLane {
    state: String,
    revision: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Refusal {
    revision: u64,
    reason: String,
    time: Option<String>,
    violations: Vec<String>,
}

pub(crate) async fn run(args: Args, connection: &Connection, output: Output) -> Result<(), Failure> {
    if connection.transport == TransportKind::Rest {
        return Err(Failure::Usage(
            "REST knows no status: use --transport grpc".to_owned(),
        ));
    }
    let client = GrpcClient::connect(connection).await?;
    if args.watch {
        return watch(&client, output).await;
    }
    let status = read(&client).await?;
    let waited = match args.wait {
        true => Some(wait(&client, status.head.revision, args.timeout).await?),
        false => None,
    };
    let status = if args.wait { read(&client).await? } else { status };
    write(&status, output)?;
    match waited {
        Some(Waited::Blocked(blockers)) => Err(Failure::Refused(format!(
            "these nodes do not run the newest revision: {}",
            blockers.join(", ")
        ))),
        Some(Waited::Reached) | None => Ok(()),
    }
}

fn write(status: &Status, output: Output) -> Result<(), Failure> {
    if output != Output::Table {
        return output.write_document(status);
    }
    output.write_one(&status.head, &["lineage", "revision", "digest"])?;
    for foreign in &status.foreign {
        let fresh = if status.head.revision == 0 {
            "this store is fresh; "
        } else {
            ""
        };
        say(&format!(
            "{fresh}{} nodes hold revision {} of lineage {}",
            foreign.nodes, foreign.revision, foreign.lineage
        ));
    }
    if status.nodes.is_empty() {
        say("no node has connected since the control plane started");
        return Ok(());
    }
    output.write_all(&status.nodes, NODE_COLUMNS)
}

const NODE_COLUMNS: Columns = &[
    "id",
    "role",
    "state",
    "revision",
    "weights.revision",
    "since",
    "reason",
    "last_refusal.revision",
    "last_refusal.reason",
];

/// Writes the nodes, then each that changes, until the control plane ends it.
async fn watch(client: &GrpcClient, output: Output) -> Result<(), Failure> {
    let mut service = client.control_plane().status();
    let watching = service.watch_nodes(signed(v1::WatchNodesRequest {})).await;
    let mut changes = watching.map_err(|status| client.failure(status))?.into_inner();
    let mut head = 0;
    while let Some(change) = changes.message().await.map_err(|status| client.failure(status))? {
        let revision = change.head.map(|version| version.revision).unwrap_or_default();
        if std::mem::replace(&mut head, revision) != revision {
            say(&format!("the newest revision is {revision}"));
        }
        for gone in &change.gone {
            say(&format!("{} is no longer kept", gone.id));
        }
        let nodes: Vec<_> = change.nodes.into_iter().map(Node::from_message).collect();
        if !nodes.is_empty() {
            output.write_all(&nodes, NODE_COLUMNS)?;
        }
    }
    Ok(())
}

/// How a wait for a revision ended.
#[derive(Debug)]
pub(crate) enum Waited {
    /// Every connected node runs it.
    Reached,
    /// These do not, and the time is up or one has refused it.
    Blocked(Vec<String>),
}

/// Waits until every connected node runs the revision, one refuses it, or the time is up.
pub(crate) async fn wait(client: &GrpcClient, revision: u64, limit: Duration) -> Result<Waited, Failure> {
    if revision == 0 {
        // A fresh store has nothing to run, and is not sent to anybody.
        return Ok(Waited::Reached);
    }
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let slice = left.min(WAIT_SLICE);
        let timeout_ms = u32::try_from(slice.as_millis()).unwrap_or(u32::MAX).max(1);
        let started = Instant::now();
        let request = v1::WaitForRevisionRequest { revision, timeout_ms };
        let mut service = client.control_plane().status();
        let answer = service.wait_for_revision(signed(request)).await;
        let answer = answer.map_err(|status| client.failure(status))?.into_inner();
        if answer.reached {
            return Ok(Waited::Reached);
        }
        let is_refused = started.elapsed() < Duration::from_millis(u64::from(timeout_ms));
        if is_refused || left <= WAIT_SLICE {
            return Ok(Waited::Blocked(answer.blockers));
        }
    }
}

async fn read(client: &GrpcClient) -> Result<Status, Failure> {
    let answer = list_nodes(client).await?;
    Ok(Status {
        head: Version::from_message(&answer.head.unwrap_or_default()),
        weights_head: Version::from_message(&answer.weights_head.unwrap_or_default()),
        nodes: answer.nodes.into_iter().map(Node::from_message).collect(),
        foreign: answer
            .foreign
            .iter()
            .map(|foreign| Foreign {
                lineage: hex(&foreign.lineage),
                revision: foreign.revision,
                nodes: foreign.nodes,
            })
            .collect(),
    })
}

/// The nodes and the newest version, as the control plane tells them.
pub(crate) async fn list_nodes(client: &GrpcClient) -> Result<v1::ListNodesResponse, Failure> {
    let mut service = client.control_plane().status();
    let answer = service.list_nodes(signed(v1::ListNodesRequest {})).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| client.failure(status))
}

impl Version {
    fn from_message(message: &v1::Version) -> Self {
        Self {
            lineage: hex(&message.lineage),
            revision: message.revision,
            digest: hex(&message.digest),
        }
    }
}

impl Node {
    fn from_message(message: v1::NodeStatus) -> Self {
        let node = message.node.unwrap_or_default();
        let lane_of = |lane| message.lanes.iter().find(|status| status.lane() == lane).cloned();
        let lane = lane_of(v1::Lane::Config).unwrap_or_default();
        let weights = lane_of(v1::Lane::Weights).map(|lane| WeightsLane {
            state: word(lane.state().as_str_name(), "SYNC_STATE_"),
            revision: lane.running.map(|version| version.revision),
        });
        Self {
            role: word(node.role().as_str_name(), "NODE_ROLE_"),
            state: word(lane.state().as_str_name(), "SYNC_STATE_"),
            id: node.id,
            revision: lane.running.map(|version| version.revision),
            reason: lane.reason,
            weights,
            since: lane.state_since.map(time),
            last_refusal: lane.last_rejection.map(Refusal::from_message),
            group: node.group,
            zone: node.zone,
            build: node.build,
            peer: message.peer,
            connected_since: message.connected_since.map(time),
            last_seen: message.last_seen.map(time),
            reconnects: message.reconnects,
            select_labels: message.select_labels,
            duplicate_id: message.duplicate_id,
            persisted: message.persisted,
            warnings: message.warnings,
        }
    }
}

impl Refusal {
    fn from_message(message: v1::Rejection) -> Self {
        Self {
            reason: word(message.reason().as_str_name(), "NACK_REASON_"),
            revision: message
                .version
                .map(|version| version.revision)
                .unwrap_or_default(),
            time: message.time.map(time),
            violations: message
                .violations
                .iter()
                .map(|violation| tyrscale_model::wire::violation_from_wire(violation).to_string())
                .collect(),
        }
    }
}

pub(crate) fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}

/// To the second, in UTC.
pub(crate) fn time(mut time: Timestamp) -> String {
    time.nanos = 0;
    time.to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
