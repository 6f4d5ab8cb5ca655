//! `tyrctl watch`: each change as it comes, until it is interrupted.

use serde::Serialize;
use tyrscale_proto::v1;

use super::{Changed, changed, connect, history::Revision};
use crate::{Connection, Failure, Output, output::write_data, transport::signed};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Begin after this revision; the newest when it is left out.
    #[arg(long, value_name = "REVISION")]
    after: Option<u64>,
    /// End after so many revisions.
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Event {
    #[serde(flatten)]
    revision: Revision,
    resources: Vec<Changed>,
}

pub(crate) async fn run(args: Args, connection: &Connection, output: Output) -> Result<(), Failure> {
    let client = connect("watch", connection).await?;
    let request = v1::WatchRequest {
        after_revision: args.after,
        kinds: Vec::new(),
    };
    let watched = client
        .control_plane()
        .configuration()
        .watch(signed(request))
        .await;
    let mut events = watched.map_err(|status| client.failure(status))?.into_inner();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0
        && let Some(event) = events.message().await.map_err(|status| client.failure(status))?
    {
        left -= 1;
        let event = Event {
            revision: Revision::of(event.revision.unwrap_or_default()),
            resources: changed(&event.changes),
        };
        write(&event, output)?;
    }
    Ok(())
}

/// One line of JSON a revision for programs, lines of text for people.
fn write(event: &Event, output: Output) -> Result<(), Failure> {
    if output != Output::Table {
        let line = serde_json::to_string(event);
        let line = line.map_err(|error| Failure::Refused(format!("cannot write: {error}")))?;
        return write_data(&line);
    }
    let Revision {
        revision,
        actor,
        message,
        ..
    } = &event.revision;
    write_data(&format!("revision {revision} by {actor}: {message}"))?;
    for resource in &event.resources {
        let Changed {
            action,
            kind,
            id,
            field,
            before,
            after,
        } = resource;
        write_data(&if field.is_empty() {
            format!("  {action} {kind}/{id}")
        } else {
            format!("  {action} {kind}/{id} {field}: {before} -> {after}")
        })?;
    }
    Ok(())
}
