//! `tyrctl telemetry`: what gateways and exporters see, merged, since they and the control plane listen.

mod view;

use clap::ValueEnum;
use tyrscale_proto::v1;

use crate::{
    Connection, Failure, Output,
    args::TransportKind,
    transport::{GrpcClient, signed},
};

pub(crate) use view::{Before, View, counts};
use view::{NETWORK_COLUMNS, RPC_COLUMNS, UPSTREAM_COLUMNS};

const PAGE: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) wanted: Wanted,
}

/// Which telemetry is shown.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Wanted {
    /// Only of this kind; repeat it for more.
    #[arg(long, value_enum)]
    kind: Vec<KindWord>,
    /// Only of this network; repeat it for more.
    #[arg(long)]
    network: Vec<String>,
    /// Only upstreams of this route; repeat it for more.
    #[arg(long, value_name = "ID")]
    route: Vec<String>,
}

/// The kinds of things of which something is seen.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindWord {
    /// Whole networks.
    Network,
    /// Rpcs, as exporters measure them.
    Rpc,
    /// Upstreams, as gateways use them.
    Upstream,
}

impl Wanted {
    /// As asked of the control plane.
    pub(crate) fn filter(&self) -> v1::TelemetryFilter {
        let kind = |word: &KindWord| match word {
            KindWord::Network => v1::Kind::Network.into(),
            KindWord::Rpc => v1::Kind::Rpc.into(),
            KindWord::Upstream => v1::Kind::Upstream.into(),
        };
        v1::TelemetryFilter {
            kinds: self.kind.iter().map(kind).collect(),
            networks: self.network.clone(),
            route_ids: self.route.clone(),
        }
    }
}

pub(crate) async fn run(args: Args, connection: &Connection, output: Output) -> Result<(), Failure> {
    let client = connect(connection).await?;
    let view = View::of(list(&client, &args.wanted).await?, None);
    write(&view, output)
}

/// A connection that knows telemetry.
pub(crate) async fn connect(connection: &Connection) -> Result<GrpcClient, Failure> {
    if connection.transport == TransportKind::Rest {
        return Err(Failure::Usage(
            "REST knows no telemetry: use --transport grpc".to_owned(),
        ));
    }
    GrpcClient::connect(connection).await
}

/// Writes a table for each kind of which there is something, or one document.
pub(crate) fn write(view: &View, output: Output) -> Result<(), Failure> {
    if output != Output::Table {
        return output.write_document(view);
    }
    if !view.networks.is_empty() {
        output.write_all(&view.networks, NETWORK_COLUMNS)?;
    }
    if !view.rpcs.is_empty() {
        output.write_all(&view.rpcs, RPC_COLUMNS)?;
    }
    if !view.upstreams.is_empty() {
        output.write_all(&view.upstreams, UPSTREAM_COLUMNS)?;
    }
    Ok(())
}

async fn list(client: &GrpcClient, wanted: &Wanted) -> Result<Vec<v1::Telemetry>, Failure> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListTelemetryRequest {
            filter: Some(wanted.filter()),
            page_size: PAGE,
            page_token,
        };
        let mut service = client.control_plane().telemetry();
        let page = service.list_telemetry(signed(request)).await;
        let page = page.map_err(|status| client.failure(status))?.into_inner();
        all.extend(page.telemetry);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}
