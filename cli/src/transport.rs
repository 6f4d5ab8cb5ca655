//! The control plane over gRPC or REST, with the same operations on both.

mod grpc;
mod rest;
mod rest_fields;

use serde::Serialize;

pub(crate) use grpc::{Calls, GrpcClient, Reference, signed};
use rest::RestClient;

use crate::{Connection, Failure, args::TransportKind, resource::Resource};

/// A way to the control plane.
#[derive(Debug)]
pub(crate) enum Client {
    Grpc(GrpcClient),
    Rest(Box<RestClient>),
}

/// A resource as it is after a write.
#[derive(Debug)]
pub(crate) struct Written<R> {
    pub(crate) resource: R,
    /// That holds the write; REST does not tell.
    pub(crate) revision: Option<u64>,
}

/// A change of some fields of a resource.
#[derive(Debug)]
pub(crate) struct Change<R> {
    /// Its id, the fields that change, and maybe the etag it must have.
    pub(crate) resource: R,
    /// The paths of the fields that change.
    pub(crate) fields: Vec<String>,
    /// The paths of fields and parts that become empty.
    pub(crate) cleared: Vec<String>,
    /// Change nothing.
    pub(crate) dry_run: bool,
}

/// Which resource to delete, and how.
#[derive(Debug)]
pub(crate) struct Removal {
    pub(crate) id: String,
    /// Whether what cannot live without it goes with it.
    pub(crate) cascade: bool,
    pub(crate) etag: Option<String>,
    /// Change nothing.
    pub(crate) dry_run: bool,
}

/// What was deleted.
#[derive(Debug, Serialize)]
pub(crate) struct Deleted {
    /// The one named first; REST tells of no others.
    pub(crate) resources: Vec<Reference>,
    /// That holds the deletion; REST does not tell.
    pub(crate) revision: Option<u64>,
}

fn no_past() -> Failure {
    Failure::Usage("REST knows no earlier revisions: use --transport grpc".to_owned())
}

impl Client {
    pub(crate) async fn connect(connection: &Connection) -> Result<Self, Failure> {
        match connection.transport {
            TransportKind::Grpc => Ok(Self::Grpc(GrpcClient::connect(connection).await?)),
            TransportKind::Rest => Ok(Self::Rest(Box::new(RestClient::new(connection)?))),
        }
    }

    pub(crate) async fn list<R: Resource>(
        &self,
        filter: &str,
        at_revision: Option<u64>,
    ) -> Result<Vec<R>, Failure> {
        match self {
            Self::Grpc(client) => client.list(filter, at_revision).await,
            Self::Rest(_) if at_revision.is_some() => Err(no_past()),
            Self::Rest(client) => client.list(filter).await,
        }
    }

    pub(crate) async fn get<R: Resource>(&self, id: &str, at_revision: Option<u64>) -> Result<R, Failure> {
        match self {
            Self::Grpc(client) => client.get(id, at_revision).await,
            Self::Rest(_) if at_revision.is_some() => Err(no_past()),
            Self::Rest(client) => client.get(id).await,
        }
    }

    pub(crate) async fn create<R: Resource>(
        &self,
        resource: R,
        dry_run: bool,
    ) -> Result<Written<R>, Failure> {
        match self {
            Self::Grpc(client) => client.create(resource, dry_run).await,
            Self::Rest(client) => client.create(resource, dry_run).await,
        }
    }

    pub(crate) async fn update<R: Resource>(&self, change: Change<R>) -> Result<Written<R>, Failure> {
        match self {
            Self::Grpc(client) => client.update(change).await,
            Self::Rest(client) => client.update(change).await,
        }
    }

    pub(crate) async fn delete<R: Resource>(&self, removal: &Removal) -> Result<Deleted, Failure> {
        match self {
            Self::Grpc(client) => client.delete::<R>(removal).await,
            Self::Rest(client) => client.delete::<R>(removal).await,
        }
    }
}
