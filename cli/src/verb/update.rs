//! `tyrctl KIND update`.

use super::{Content, report};
use crate::{
    Failure, Output,
    resource::{self, Resource},
    transport::{Change, Client},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args<R: Resource> {
    /// Its id; not needed when a file names it.
    #[arg(value_name = "ID")]
    target: Option<String>,
    #[command(flatten)]
    content: Content<R>,
    /// A field or part to empty, such as cors or limits.burst; may be repeated.
    #[arg(long, value_name = "FIELD")]
    clear: Vec<String>,
    /// Refuse unless this is its etag. A file's meta.etag counts the same.
    #[arg(long)]
    etag: Option<String>,
    /// Check everything, change nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run<R: Resource>(args: Args<R>, client: &Client, output: Output) -> Result<(), Failure> {
    let mut resource = args.content.read()?;
    let id = target::<R>(args.target, resource.id())?;
    if let Some(etag) = args.etag {
        resource.meta_mut().get_or_insert_default().etag = etag;
    }
    let fields = resource::mask(&resource)?;
    if fields.is_empty() && args.clear.is_empty() {
        return Err(Failure::Usage(format!(
            "nothing to change in {} {id}: give a flag or -f",
            R::KIND
        )));
    }
    let change = Change {
        resource: resource::with_id(resource, &id)?,
        fields,
        cleared: args.clear,
        dry_run: args.dry_run,
    };
    let written = client.update(change).await?;
    report::<R>("updated", &id, written.revision, args.dry_run);
    output.write_one(&written.resource, R::COLUMNS)
}

fn target<R: Resource>(typed: Option<String>, given: Option<&str>) -> Result<String, Failure> {
    match (typed, given) {
        (Some(typed), Some(given)) if typed != given => Err(Failure::Usage(format!(
            "the {} field of {typed} cannot become {given}: an id never changes",
            R::ID
        ))),
        (Some(id), _) => Ok(id),
        (None, Some(id)) => Ok(id.to_owned()),
        (None, None) => Err(Failure::Usage(format!(
            "say which {}: its id is missing",
            R::KIND
        ))),
    }
}
