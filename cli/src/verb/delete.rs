//! `tyrctl KIND delete`.

use super::report;
use crate::{
    Failure, Output,
    resource::Resource,
    transport::{Client, Removal},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its id: of a network the name, of a recommendation the route's id.
    id: String,
    /// Refuse while something cannot live without it, and do not take that away too.
    #[arg(long)]
    no_cascade: bool,
    /// Refuse unless this is its etag.
    #[arg(long)]
    etag: Option<String>,
    /// Check everything, change nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run<R: Resource>(args: Args, client: &Client, output: Output) -> Result<(), Failure> {
    let removal = Removal {
        id: args.id,
        cascade: !args.no_cascade,
        etag: args.etag,
        dry_run: args.dry_run,
    };
    let deleted = client.delete::<R>(&removal).await?;
    report::<R>("deleted", &removal.id, deleted.revision, removal.dry_run);
    output.write_all(&deleted.resources, &["kind", "id"])
}
