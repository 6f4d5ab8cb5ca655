//! `tyrctl export`: every resource as a document that `tyrctl apply` takes.

use serde_json::{Map, Value};
use tyrscale_proto::v1::{self, resource::Resource as Wire};

use super::connect;
use crate::{
    Connection, Failure, Output,
    output::say,
    resource::{Meta, Network, Recommendation, Resource, Route, Rpc, Secret, Upstream, given},
    transport::signed,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As it was at this revision; the newest when it is left out.
    #[arg(long, value_name = "REVISION")]
    at_revision: Option<u64>,
}

pub(crate) async fn run(args: Args, connection: &Connection, output: Output) -> Result<(), Failure> {
    let client = connect("export", connection).await?;
    let request = v1::ExportRequest {
        at_revision: args.at_revision,
        kinds: Vec::new(),
    };
    let exported = client
        .control_plane()
        .configuration()
        .export(signed(request))
        .await;
    let mut parts = exported.map_err(|status| client.failure(status))?.into_inner();
    let mut documents = Vec::new();
    let mut left_out = 0;
    let mut revision = 0;
    while let Some(part) = parts.message().await.map_err(|status| client.failure(status))? {
        revision = part.version.map(|version| version.revision).unwrap_or(revision);
        for resource in part.resources {
            match document(resource)? {
                Some(document) => documents.push(document),
                None => left_out += 1,
            }
        }
    }
    say(&format!(
        "{} resources of revision {revision}; secrets are masked",
        documents.len()
    ));
    if left_out > 0 {
        say(&format!(
            "{left_out} plugins are left out: apply does not take them"
        ));
    }
    output.write_document(&documents)
}

fn document(resource: v1::Resource) -> Result<Option<Map<String, Value>>, Failure> {
    match resource.resource {
        Some(Wire::Network(network)) => of(Network::from_message(network)).map(Some),
        Some(Wire::Secret(secret)) => of(Secret::from_message(secret)).map(Some),
        Some(Wire::Rpc(rpc)) => of(Rpc::from_message(rpc)).map(Some),
        Some(Wire::Route(route)) => of(Route::from_message(route)).map(Some),
        Some(Wire::Upstream(upstream)) => of(Upstream::from_message(upstream)).map(Some),
        Some(Wire::Recommendation(recommendation)) => {
            of(Recommendation::from_message(recommendation)).map(Some)
        }
        Some(Wire::Plugin(_)) | None => Ok(None),
    }
}

/// The fields with their kind. Of the meta only the notes stay: the rest is the store's.
fn of<R: Resource>(mut resource: R) -> Result<Map<String, Value>, Failure> {
    let meta = resource.meta_mut();
    *meta = meta.take().and_then(Meta::into_notes);
    let mut document = Map::new();
    document.insert("kind".to_owned(), Value::String(R::KIND.as_str().to_owned()));
    document.extend(given(&resource)?);
    Ok(document)
}
