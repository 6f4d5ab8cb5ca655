//! `tyrctl KIND get`.

use crate::{Failure, Output, resource::Resource, transport::Client};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its id: of a network the name, of a recommendation the route's id.
    id: String,
    /// As it was at this revision.
    #[arg(long, value_name = "REVISION")]
    at_revision: Option<u64>,
}

pub(crate) async fn run<R: Resource>(args: Args, client: &Client, output: Output) -> Result<(), Failure> {
    let found = client.get::<R>(&args.id, args.at_revision).await?;
    output.write_one(&found, R::COLUMNS)
}
