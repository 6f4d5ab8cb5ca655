//! `tyrctl KIND list`.

use crate::{Failure, Output, resource::Resource, transport::Client};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Terms field=value joined by " AND "; a field that cannot be filtered by names those that can.
    #[arg(long, default_value = "", hide_default_value = true)]
    filter: String,
}

pub(crate) async fn run<R: Resource>(args: Args, client: &Client, output: Output) -> Result<(), Failure> {
    output.write_all(&client.list::<R>(&args.filter).await?, R::COLUMNS)
}
