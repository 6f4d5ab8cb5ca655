//! `tyrctl up`: the whole system in one process.

mod announce;
mod chain_id;
mod ports;
mod scene;
mod services;
mod trial;
mod trickle;

use std::{path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;
use tyrscale_client::Credentials;
use tyrscale_model::{HttpUrl, Violation};
use tyrscale_proto::v1;
use tyrscale_telemetry::{LogFormat, init_logs, shutdown_signal};

use crate::{
    Failure, Output, apply,
    http_client::HttpClient,
    output::say,
    status::{self, Waited},
    transport::GrpcClient,
};
use announce::{Addresses, Announcement};
use scene::Scene;
use services::Services;

/// How long the gateway may take to run the first configuration.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at whether the gateway has connected.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the configuration and the nodes' last good content are kept.
    #[arg(long, value_name = "DIRECTORY", default_value = "./tyrscale-data")]
    data_dir: PathBuf,
    #[command(flatten)]
    ports: ports::Ports,
    /// What the services log to standard error: a level, and target=level rules.
    #[arg(long, value_name = "FILTER", default_value = "warn", env = "TYRSCALE_LOG")]
    log: String,
    /// Start three simulated nodes, put a route in front of them, and send requests through it. What an earlier
    /// demo left is kept, but for the nodes' addresses.
    #[arg(long, conflicts_with = "upstreams")]
    demo: bool,
    /// Put a route in front of this JSON-RPC endpoint, and send requests through it; may be repeated.
    #[arg(long = "upstream", id = "upstreams", value_name = "URL", value_parser = parse_url)]
    upstreams: Vec<HttpUrl>,
    /// Stop once everything runs and is shown.
    #[arg(long)]
    once: bool,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::Refused(error.to_string());
    init_logs(LogFormat::Text, &args.log).map_err(|error| Failure::Usage(format!("--log: {error}")))?;
    let shutdown = shutdown_signal().map_err(|error| failed(&error))?;
    let listeners = args.ports.bind().await?;
    let addresses = Addresses::of(&listeners).map_err(|error| failed(&error))?;
    let mut services = Services::start(listeners, &addresses, &args.data_dir)?;
    let outcome = tokio::select! {
        failure = services.failure() => Err(failure),
        outcome = session(&args, &addresses, output, &shutdown) => outcome,
    };
    if !args.once && outcome.is_ok() {
        say("stopping: the gateway finishes what it holds");
    }
    let stopped = services.stop().await;
    match outcome {
        Err(failure @ Failure::Service { .. }) => Err(failure),
        // A service that failed is why the session did.
        outcome => stopped.and(outcome),
    }
}

fn parse_url(text: &str) -> Result<HttpUrl, String> {
    text.parse().map_err(|violation: Violation| violation.message)
}

/// Sets up what is asked for, shows it, and lasts until it is told to stop.
async fn session(
    args: &Args,
    addresses: &Addresses,
    output: Output,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    let Some(started) = shutdown.run_until_cancelled(start(args, addresses, output)).await else {
        return Ok(());
    };
    // The simulated nodes live as long as the scene.
    let scene = started?;
    if args.once {
        return Ok(());
    }
    match &scene {
        Some(scene) if args.demo => {
            let url = format!("{}{}", addresses.gateway, scene.path());
            let http = HttpClient::new().map_err(|error| Failure::Refused(error.to_string()))?;
            shutdown.run_until_cancelled(trickle::run(http, url)).await;
        }
        _ => shutdown.cancelled().await,
    }
    Ok(())
}

async fn start(args: &Args, addresses: &Addresses, output: Output) -> Result<Option<Scene>, Failure> {
    let client = GrpcClient::connect_to(&addresses.grpc, &Credentials::default()).await?;
    let scene = match (args.demo, args.upstreams.is_empty()) {
        (true, _) => Some(Scene::demo().await?),
        (false, false) => Some(Scene::around(&args.upstreams).await?),
        (false, true) => None,
    };
    let trial = match &scene {
        Some(scene) => {
            let revision = configure(&client, scene).await?;
            wait_for_gateway(&client, revision).await?;
            Some(trial::run(&client, addresses, scene).await?)
        }
        None => None,
    };
    let program = std::env::args().next().unwrap_or_else(|| "tyrctl".to_owned());
    let announcement = Announcement {
        addresses,
        data_dir: &args.data_dir,
        trial: trial.as_ref(),
        program: &program,
    };
    announcement.write(output)?;
    Ok(scene)
}

/// Makes the scene's resources, and returns the revision that has them.
async fn configure(client: &GrpcClient, scene: &Scene) -> Result<u64, Failure> {
    let operations = scene.operations(client).await?;
    let header = v1::ApplyHeader {
        message: "tyrctl up".to_owned(),
        max_deletes: Some(u32::MAX),
        ..v1::ApplyHeader::default()
    };
    let answer = apply::send(client, header, operations).await?;
    Ok(answer.version.map(|version| version.revision).unwrap_or_default())
}

/// Waits until the gateway has connected and runs the revision.
async fn wait_for_gateway(client: &GrpcClient, revision: u64) -> Result<(), Failure> {
    let connected = async {
        while !is_gateway_connected(client).await? {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok::<(), Failure>(())
    };
    tokio::time::timeout(START_TIMEOUT, connected)
        .await
        .unwrap_or_else(|_| {
            Err(Failure::Refused(
                "the gateway does not connect to the control plane".to_owned(),
            ))
        })?;
    match status::wait(client, revision, START_TIMEOUT).await? {
        Waited::Reached => Ok(()),
        Waited::Blocked(blockers) => Err(Failure::Refused(format!(
            "revision {revision} is not run by {}; --log info tells more",
            blockers.join(", ")
        ))),
    }
}

async fn is_gateway_connected(client: &GrpcClient) -> Result<bool, Failure> {
    let nodes = status::list_nodes(client).await?.nodes;
    Ok(nodes.iter().any(|status| {
        let is_gateway = status
            .node
            .as_ref()
            .is_some_and(|node| node.role() == v1::NodeRole::Gateway);
        let is_connected = status
            .lanes
            .iter()
            .any(|lane| lane.state() != v1::SyncState::Disconnected);
        is_gateway && is_connected
    }))
}
