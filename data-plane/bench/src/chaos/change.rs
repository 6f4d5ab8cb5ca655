//! The changes that are made: what each does to a configuration, and what is asked of a control plane.

use std::collections::BTreeMap;

use anyhow::Context;
use fastrand::Rng;
use tyrscale_client::ControlPlane;
use tyrscale_model::wire::{self, Exposure};
use tyrscale_model::{
    Address, ChainId, ChangeSet, LoadBalancer, Network, Notes, Operation, Policy, Rejection, Resource,
    ResourceKey, Revision, Route, RouteId, Scheme, Snapshot, Target, UnixMillis, Upstream, Version, Weight,
    apply, restore,
};
use tyrscale_proto::v1::{self, apply_request::Part, resource::Resource as Wire};

use super::oracle::id;

/// The label by which some gateways select routes, and its values.
pub(crate) const LABEL: &str = "team";
pub(crate) const TEAMS: [&str; 3] = ["a", "b", "c"];
/// Networks, and routes besides that of the clients.
const FEW: u32 = 20;
/// Rollbacks go back over so many changes at most.
const BACK: usize = 30;

/// One change.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Apply {
        operations: Vec<Operation>,
        /// Of routes.
        labels: BTreeMap<ResourceKey, BTreeMap<String, String>>,
    },
    Rollback(Revision),
}

impl Change {
    /// Puts these.
    pub(crate) fn put(resources: impl IntoIterator<Item = Resource>) -> Self {
        Self::Apply {
            operations: resources.into_iter().map(Operation::put).collect(),
            labels: BTreeMap::new(),
        }
    }

    /// Some change of what is there, where `upstreams` are those of the clients, and `past` what was there.
    pub(crate) fn any(
        rng: &mut Rng,
        snapshot: &Snapshot,
        upstreams: &[Upstream],
        past: &[Snapshot],
    ) -> Result<Self, Rejection> {
        let number = rng.u32(0..FEW);
        match rng.u32(0..20) {
            0..=5 => Ok(Self::put([Resource::Network(Network {
                name: format!("n{number}").parse()?,
                blockchain: "ethereum".parse()?,
                chain_id: ChainId::try_from(rng.u64(1..1_000_000))?,
            })])),
            6..=10 => {
                let mut upstream = rng.choice(upstreams).cloned();
                if let Some(upstream) = &mut upstream {
                    upstream.weight = Weight::try_from(f64::from(rng.u32(1..=100)))?;
                }
                Ok(Self::put(upstream.map(Resource::Upstream)))
            }
            11..=13 => move_route(rng, snapshot, number),
            14..=18 => put_or_delete(rng, snapshot, number),
            _ => {
                // The route of the clients was there from the first revision on.
                let past = past.get(1..).unwrap_or_default();
                let earlier = rng.choice(past.iter().rev().take(BACK));
                let earlier = earlier.unwrap_or(snapshot).revision();
                Ok(Self::Rollback(earlier))
            }
        }
    }

    /// What comes of it.
    pub(crate) fn after(&self, snapshot: &Snapshot, past: &[Snapshot]) -> anyhow::Result<Snapshot> {
        let change_set = match self {
            Self::Apply { operations, labels } => {
                let notes = labels.iter().map(|(key, labels)| {
                    let notes = Notes {
                        labels: Some(labels.clone()),
                        ..Notes::default()
                    };
                    (key.clone(), notes)
                });
                ChangeSet {
                    operations: operations.clone(),
                    notes: notes.collect(),
                    ..ChangeSet::default()
                }
            }
            Self::Rollback(revision) => {
                let mut all = past.iter().chain([snapshot]);
                let earlier = all.find(|earlier| earlier.revision() == *revision);
                let restoration = restore(snapshot, earlier.context("no such past")?, &Default::default())?;
                ChangeSet {
                    operations: restoration.operations,
                    notes: restoration.notes,
                    ..ChangeSet::default()
                }
            }
        };
        Ok(apply(snapshot, &change_set, &Policy::default(), UnixMillis(0))?.snapshot)
    }

    /// Asks a control plane for it, under this id.
    pub(crate) async fn ask(&self, plane: &ControlPlane, request_id: &str) -> anyhow::Result<Version> {
        let mut client = plane.configuration();
        let version = match self {
            Self::Apply { operations, labels } => {
                let parts = parts(operations, labels, request_id)?;
                let requests = parts
                    .into_iter()
                    .map(|part| v1::ApplyRequest { part: Some(part) });
                let requests: Vec<_> = requests.collect();
                client
                    .apply(tokio_stream::iter(requests))
                    .await?
                    .into_inner()
                    .version
            }
            Self::Rollback(revision) => {
                let request = v1::RollbackRequest {
                    revision: revision.0,
                    request_id: request_id.to_owned(),
                    ..v1::RollbackRequest::default()
                };
                client.rollback(request).await?.into_inner().version
            }
        };
        let version = version.as_ref().and_then(wire::version_from_wire);
        version.context("an answer without version")
    }
}

/// Another label for a route that is there, which moves it from some gateways to others.
fn move_route(rng: &mut Rng, snapshot: &Snapshot, number: u32) -> Result<Change, Rejection> {
    let id: RouteId = id(3, number).to_string().parse()?;
    let Some(route) = snapshot.route(id) else {
        return put_or_delete(rng, snapshot, number);
    };
    Ok(Change::Apply {
        operations: vec![Operation::put(Resource::Route(route.clone()))],
        labels: [(id.key(), team(rng))].into(),
    })
}

/// Puts a route with an upstream, or deletes it if it is there.
fn put_or_delete(rng: &mut Rng, snapshot: &Snapshot, number: u32) -> Result<Change, Rejection> {
    let route = Route::new(
        id(3, number).to_string().parse()?,
        format!("h{number}.example"),
        "/",
        LoadBalancer::LeastLoad,
    );
    let key: ResourceKey = route.id.key();
    if snapshot.get(&key).is_some() {
        let operation = Operation::Delete {
            key,
            etag: None,
            cascade: true,
        };
        return Ok(Change::Apply {
            operations: vec![operation],
            labels: BTreeMap::new(),
        });
    }
    let address = Address::new(Scheme::Http, "127.0.0.1", 9, &format!("/{}", rng.u32(..)))?;
    let weight = Weight::try_from(1.0)?;
    let own = id(4, number).to_string().parse()?;
    let upstream = Upstream::new(own, route.id, Target::Address(address), weight);
    Ok(Change::Apply {
        operations: vec![
            Operation::put(Resource::Route(route)),
            Operation::put(Resource::Upstream(upstream)),
        ],
        labels: [(key, team(rng))].into(),
    })
}

fn team(rng: &mut Rng) -> BTreeMap<String, String> {
    let team = rng.choice(TEAMS).unwrap_or_default();
    [(LABEL.to_owned(), team.to_owned())].into()
}

fn parts(
    operations: &[Operation],
    labels: &BTreeMap<ResourceKey, BTreeMap<String, String>>,
    request_id: &str,
) -> anyhow::Result<Vec<Part>> {
    let mut parts = vec![Part::Header(v1::ApplyHeader {
        request_id: request_id.to_owned(),
        ..v1::ApplyHeader::default()
    })];
    for operation in operations {
        parts.push(match operation {
            Operation::Upsert { resource, .. } => {
                let mut message = wire::resource_to_wire(resource, Exposure::Full);
                let labels = labels.get(&resource.key());
                if let (Some(Wire::Route(route)), Some(labels)) = (&mut message.resource, labels) {
                    route.meta.get_or_insert_default().labels.clone_from(labels);
                }
                Part::Upsert(v1::ApplyUpsert {
                    resource: Some(message),
                    ..v1::ApplyUpsert::default()
                })
            }
            Operation::Delete { key, cascade, .. } => Part::Deletion(v1::ApplyDeletion {
                resource: Some(wire::key_to_wire(key)),
                cascade: Some(*cascade),
                ..v1::ApplyDeletion::default()
            }),
        });
    }
    let count = u32::try_from(operations.len())?;
    parts.push(Part::Commit(v1::ApplyCommit { count }));
    Ok(parts)
}
