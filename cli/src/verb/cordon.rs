//! `tyrctl upstream cordon` and `uncordon`.

use clap::Subcommand;

use super::{Verb, report};
use crate::{
    Connection, Failure, Output,
    resource::{self, Resource, Upstream},
    transport::{Change, Client},
};

/// What to do with upstreams.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one per process")]
pub(crate) enum UpstreamVerb {
    #[command(flatten)]
    Any(Verb<Upstream>),
    /// Sends it nothing from now on, and keeps it configured.
    Cordon {
        /// Its id.
        id: String,
    },
    /// Sends it its share again.
    Uncordon {
        /// Its id.
        id: String,
    },
}

impl UpstreamVerb {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::Any(verb) => verb.run(connection, output).await,
            Self::Cordon { id } => set(&id, true, connection, output).await,
            Self::Uncordon { id } => set(&id, false, connection, output).await,
        }
    }
}

async fn set(id: &str, cordoned: bool, connection: &Connection, output: Output) -> Result<(), Failure> {
    let client = Client::connect(connection).await?;
    let change = Change {
        resource: resource::with_id(Upstream::default().cordoned(cordoned), id)?,
        fields: vec!["cordoned".to_owned()],
        cleared: Vec::new(),
        dry_run: false,
    };
    let written = client.update(change).await?;
    let done = if cordoned { "cordoned" } else { "uncordoned" };
    report::<Upstream>(done, id, written.revision, false);
    output.write_one(&written.resource, Upstream::COLUMNS)
}
