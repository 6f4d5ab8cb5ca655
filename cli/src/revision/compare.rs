//! `tyrctl diff` and `tyrctl rollback`.

use tyrscale_model::ResourceKey;
use tyrscale_proto::v1;

use super::{CHANGED, changed, connect, parse_reference, references};
use crate::{Connection, Failure, Output, output::say, transport::signed};

#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// The first revision.
    from: u64,
    /// The second; the newest when it is left out.
    to: Option<u64>,
    /// Only this resource, as KIND/ID; may be given several times.
    #[arg(long, value_name = "KIND/ID", value_parser = parse_reference)]
    object: Vec<ResourceKey>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RollbackArgs {
    /// The revision whose content is restored.
    revision: u64,
    /// Only this resource, as KIND/ID; may be given several times.
    #[arg(long, value_name = "KIND/ID", value_parser = parse_reference)]
    object: Vec<ResourceKey>,
    /// Tell what would happen, change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Why, for the log.
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// Refuse unless the configuration is at this revision.
    #[arg(long, visible_alias = "expect-revision", value_name = "REVISION")]
    expected_revision: Option<u64>,
    /// Done once within 24 hours, however often it is sent with this id.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,
}

pub(crate) async fn diff(args: DiffArgs, connection: &Connection, output: Output) -> Result<(), Failure> {
    let client = connect("diff", connection).await?;
    let request = v1::DiffRevisionsRequest {
        from_revision: args.from,
        to_revision: args.to,
        resources: references(&args.object),
    };
    let answer = client
        .control_plane()
        .configuration()
        .diff_revisions(signed(request))
        .await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    let to = answer.to.map(|version| version.revision).unwrap_or_default();
    let count = answer.changes.len();
    say(&format!(
        "{count} resources differ between revisions {} and {to}",
        args.from
    ));
    output.write_changes(&changed(&answer.changes), CHANGED)
}

pub(crate) async fn roll_back(
    args: RollbackArgs,
    connection: &Connection,
    output: Output,
) -> Result<(), Failure> {
    let client = connect("rollback", connection).await?;
    let (wanted, dry_run) = (args.revision, args.dry_run);
    let request = v1::RollbackRequest {
        revision: wanted,
        resources: references(&args.object),
        dry_run,
        message: args.message,
        request_id: args.request_id,
        expected_revision: args.expected_revision,
    };
    let answer = client
        .control_plane()
        .configuration()
        .rollback(signed(request))
        .await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    let revision = answer.version.map(|version| version.revision).unwrap_or_default();
    let count = answer.changes.len();
    say(&match (dry_run, answer.unchanged) {
        (_, true) => format!("nothing to do: revision {revision} has the content of revision {wanted}"),
        (true, false) => format!("{count} changes would restore revision {wanted} as revision {revision}"),
        (false, false) => format!("{count} changes restored revision {wanted} as revision {revision}"),
    });
    output.write_changes(&changed(&answer.changes), CHANGED)
}
