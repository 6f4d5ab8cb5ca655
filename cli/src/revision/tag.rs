//! `tyrctl tag`.

use clap::Subcommand;
use serde::Serialize;
use tyrscale_proto::v1;

use super::connect;
use crate::{Connection, Failure, Output, output::say, transport::signed};

/// What to do with names of revisions.
#[derive(Debug, Subcommand)]
pub(crate) enum TagVerb {
    /// Lists them.
    List,
    /// Names a revision, which keeps it and all later ones.
    Create {
        /// 1 to 63 letters, digits, "-", "_" and ".", a letter first.
        name: String,
        /// The newest when it is left out.
        revision: Option<u64>,
        /// Why.
        #[arg(short, long, default_value = "", hide_default_value = true)]
        message: String,
    },
    /// Takes a name away.
    Delete {
        /// Which.
        name: String,
    },
}

#[derive(Debug, Serialize)]
struct Tag {
    name: String,
    revision: u64,
    time: Option<String>,
    actor: String,
    message: String,
}

const COLUMNS: &[&str] = &["name", "revision", "time", "actor", "message"];

impl From<v1::Tag> for Tag {
    fn from(tag: v1::Tag) -> Self {
        Self {
            name: tag.name,
            revision: tag.revision,
            time: tag.create_time.map(|time| time.to_string()),
            actor: tag.actor,
            message: tag.message,
        }
    }
}

pub(crate) async fn run(verb: TagVerb, connection: &Connection, output: Output) -> Result<(), Failure> {
    let client = connect("tags", connection).await?;
    let mut configuration = client.control_plane().configuration();
    match verb {
        TagVerb::List => {
            let listed = configuration.list_tags(signed(v1::ListTagsRequest {})).await;
            let listed = listed.map_err(|status| client.failure(status))?.into_inner();
            let tags: Vec<Tag> = listed.tags.into_iter().map(Tag::from).collect();
            output.write_all(&tags, COLUMNS)
        }
        TagVerb::Create {
            name,
            revision,
            message,
        } => {
            let tag = v1::Tag {
                name,
                revision: revision.unwrap_or_default(),
                message,
                ..v1::Tag::default()
            };
            let created = configuration
                .create_tag(signed(v1::CreateTagRequest { tag: Some(tag) }))
                .await;
            let created = created.map_err(|status| client.failure(status))?.into_inner();
            output.write_one(&Tag::from(created.tag.unwrap_or_default()), COLUMNS)
        }
        TagVerb::Delete { name } => {
            let request = v1::DeleteTagRequest { name: name.clone() };
            let deleted = configuration.delete_tag(signed(request)).await;
            deleted.map_err(|status| client.failure(status))?;
            say(&format!("tag {name} deleted"));
            Ok(())
        }
    }
}
