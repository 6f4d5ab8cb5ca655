//! What can be done with every kind of resource.

mod cordon;
mod create;
mod delete;
mod get;
mod list;
mod recommendation;
mod update;

use std::path::PathBuf;

pub(crate) use cordon::UpstreamVerb;
pub(crate) use recommendation::RecommendationVerb;

use clap::Subcommand;

use crate::{
    Connection, Failure, Output, input,
    output::say,
    resource::{self, Meta, Resource},
    transport::Client,
};

/// What to do with a kind of resource.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb<R: Resource> {
    /// Lists all, or those that a filter lets through.
    List(list::Args),
    /// Shows one.
    Get(get::Args),
    /// Makes one, from flags, a file or both.
    Create(create::Args<R>),
    /// Changes what is given of one and nothing else.
    Update(update::Args<R>),
    /// Takes one away, and what cannot live without it.
    Delete(delete::Args),
}

impl<R: Resource> Verb<R> {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let client = Client::connect(connection).await?;
        match self {
            Self::List(args) => list::run::<R>(args, &client, output).await,
            Self::Get(args) => get::run::<R>(args, &client, output).await,
            Self::Create(args) => create::run(args, &client, output).await,
            Self::Update(args) => update::run(args, &client, output).await,
            Self::Delete(args) => delete::run::<R>(args, &client, output).await,
        }
    }
}

/// Where the content of a resource comes from.
#[derive(Debug, clap::Args)]
struct Content<R: Resource> {
    #[command(flatten)]
    flags: R,
    /// A label as NAME=VALUE; repeat it for more. They replace those there are.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = input::parse_label)]
    labels: Vec<(String, String)>,
    /// YAML or JSON file with the resource, fields as in the API; "-" is standard input. Flags win over it.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl<R: Resource> Content<R> {
    fn read(mut self) -> Result<R, Failure> {
        self.flags.complete_flags();
        if !self.labels.is_empty() {
            *self.flags.meta_mut() = Some(Meta::of_labels(self.labels.into_iter().collect()));
        }
        match self.file {
            Some(path) => resource::overlaid(&input::read_one(&path)?, &self.flags),
            None => Ok(self.flags),
        }
    }
}

/// Tells what became of a resource.
fn report<R: Resource>(done: &str, id: &str, revision: Option<u64>, dry_run: bool) {
    let kind = R::KIND;
    say(&match (dry_run, revision) {
        (true, _) => format!("{kind} {id} would be {done}; nothing was changed"),
        (false, Some(revision)) => format!("{kind} {id} {done} in revision {revision}"),
        (false, None) => format!("{kind} {id} {done}"),
    });
}
