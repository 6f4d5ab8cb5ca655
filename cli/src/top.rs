//! `tyrctl top`: telemetry, live.

use std::{
    io::{IsTerminal as _, stdout},
    time::Duration,
};

use tokio::time::Instant;
use tonic::Streaming;
use tyrscale_proto::v1;

use crate::{
    Connection, Failure, Output,
    output::write_data,
    resource::parse_duration,
    telemetry::{Before, View, Wanted, connect, counts, write},
    transport::signed,
};

/// Clears the screen and goes to its first line.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// From one view to the next; 1s to 60s.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    interval: Duration,
    /// Ends after so many views; 0 goes on until it is interrupted.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    count: u64,
}

/// Shows every interval what came since the one before.
pub(crate) async fn run(args: Args, connection: &Connection, output: Output) -> Result<(), Failure> {
    let client = connect(connection).await?;
    let request = v1::WatchTelemetryRequest {
        filter: Some(args.wanted.filter()),
        interval: args.interval.try_into().ok(),
    };
    let mut service = client.control_plane().telemetry();
    let answer = service.watch_telemetry(signed(request)).await;
    let mut parts = answer.map_err(|status| client.failure(status))?.into_inner();
    let mut before: Option<(Instant, Vec<v1::Telemetry>)> = None;
    let mut shown = 0;
    while args.count == 0 || shown < args.count {
        let whole = next(&mut parts).await.map_err(|status| client.failure(status))?;
        let Some(whole) = whole else {
            return Err(Failure::Refused("the control plane ended the stream".to_owned()));
        };
        let now = Instant::now();
        if let Some((at, earlier)) = &before {
            let since = Before {
                counts: counts(earlier),
                ago: now - *at,
            };
            let view = View::of(whole.clone(), Some(&since));
            if output == Output::Table && stdout().is_terminal() {
                write_data(CLEAR)?;
            }
            write(&view, output)?;
            shown += 1;
        }
        before = Some((now, whole));
    }
    Ok(())
}

/// All that is known, from as many messages as it takes; none at the end of the stream.
async fn next(
    parts: &mut Streaming<v1::WatchTelemetryResponse>,
) -> Result<Option<Vec<v1::Telemetry>>, tonic::Status> {
    let mut whole = Vec::new();
    while let Some(part) = parts.message().await? {
        whole.extend(part.telemetry);
        if part.complete {
            return Ok(Some(whole));
        }
    }
    Ok(None)
}
