//! `tyrctl KIND get`.

use crate::{Failure, Output, resource::Resource, transport::Client};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its id: of a network the name, of a recommendation the route's id.
    id: String,
}

pub(crate) async fn run<R: Resource>(args: Args, client: &Client, output: Output) -> Result<(), Failure> {
    output.write_one(&client.get::<R>(&args.id).await?, R::COLUMNS)
}
