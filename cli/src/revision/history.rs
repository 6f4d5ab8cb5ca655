//! `tyrctl history`.

use std::collections::BTreeMap;

use serde::Serialize;
use tyrscale_model::{ResourceKey, wire};
use tyrscale_proto::v1;

use super::{connect, parse_reference};
use crate::{Connection, Failure, Output, output::say, transport::signed};

/// How many revisions one call asks for.
const PAGE: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only what touched this resource, as KIND/ID.
    #[arg(long, value_name = "KIND/ID", value_parser = parse_reference)]
    object: Option<ResourceKey>,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// A revision as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct Revision {
    pub(super) revision: u64,
    time: Option<String>,
    pub(super) actor: String,
    changes: String,
    created: u32,
    updated: u32,
    deleted: u32,
    reverts_to: Option<u64>,
    tags: Vec<String>,
    pub(super) message: String,
    request_id: String,
    client: String,
    labels: BTreeMap<String, String>,
}

impl Revision {
    pub(super) fn of(message: v1::Revision) -> Self {
        Self {
            revision: message
                .version
                .map(|version| version.revision)
                .unwrap_or_default(),
            time: message.commit_time.map(|time| time.to_string()),
            actor: message.actor,
            changes: format!("+{} ~{} -{}", message.created, message.updated, message.deleted),
            created: message.created,
            updated: message.updated,
            deleted: message.deleted,
            reverts_to: message.reverts_to,
            tags: message.tags,
            message: message.message,
            request_id: message.request_id,
            client: message.client,
            labels: message.labels,
        }
    }
}

pub(crate) async fn run(args: Args, connection: &Connection, output: Output) -> Result<(), Failure> {
    let client = connect("history", connection).await?;
    let mut configuration = client.control_plane().configuration();
    let mut shown = Vec::new();
    let mut page_token = String::new();
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    loop {
        let request = v1::ListRevisionsRequest {
            page_size: args.limit.min(PAGE),
            page_token,
            resource: args.object.as_ref().map(wire::key_to_wire),
        };
        let listed = configuration.list_revisions(signed(request)).await;
        let listed = listed.map_err(|status| client.failure(status))?.into_inner();
        shown.extend(listed.revisions.into_iter().map(Revision::of));
        page_token = listed.next_page_token;
        if shown.len() >= limit || page_token.is_empty() {
            let oldest = listed.oldest_revision;
            say(&format!("revisions from {oldest} on can be read and restored"));
            break;
        }
    }
    shown.truncate(limit);
    let columns = &[
        "revision",
        "time",
        "actor",
        "changes",
        "reverts_to",
        "tags",
        "message",
    ];
    output.write_all(&shown, columns)
}
