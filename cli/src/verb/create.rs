//! `tyrctl KIND create`.

use super::{Content, report};
use crate::{Failure, Output, resource::Resource, transport::Client};

#[derive(Debug, clap::Args)]
pub(crate) struct Args<R: Resource> {
    #[command(flatten)]
    content: Content<R>,
    /// Check everything, change nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run<R: Resource>(args: Args<R>, client: &Client, output: Output) -> Result<(), Failure> {
    let written = client.create(args.content.read()?, args.dry_run).await?;
    let id = written.resource.id().unwrap_or_default();
    report::<R>("created", id, written.revision, args.dry_run);
    output.write_one(&written.resource, R::COLUMNS)
}
