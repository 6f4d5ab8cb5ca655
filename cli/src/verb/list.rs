//! `tyrctl KIND list`.

use crate::{Failure, Output, resource::Resource, transport::Client};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Terms field=value joined by " AND "; a field that cannot be filtered by names those that can.
    #[arg(long, default_value = "", hide_default_value = true)]
    filter: String,
    /// As it was at this revision.
    #[arg(long, value_name = "REVISION")]
    at_revision: Option<u64>,
}

pub(crate) async fn run<R: Resource>(args: Args, client: &Client, output: Output) -> Result<(), Failure> {
    let found = client.list::<R>(&args.filter, args.at_revision).await?;
    output.write_all(&found, R::COLUMNS)
}
