//! Proposals held against the configuration.

use std::collections::BTreeSet;

use tyrscale_model::{
    EffectiveWeight, OperatorWeight, Rejection, ResourceKey, Revision, RouteId, Snapshot, Standing, Upstream,
    Violation, ViolationCode,
};

use super::Proposal;
use crate::weights::{guard::Member, head::Head};

/// Checks a proposal against the configuration, and gives the revision that it is based on.
pub(super) fn checked(snapshot: &Snapshot, proposal: &Proposal) -> Result<Revision, Rejection> {
    let newest = snapshot.revision();
    let based_on = proposal.based_on.unwrap_or(newest);
    let mut violations = Vec::new();
    if snapshot.route(proposal.route).is_none() {
        let key = proposal.route.key();
        let message = format!("{key} does not exist");
        return Err(Violation::new("route_id", ViolationCode::NotFound, message)
            .of(key)
            .into());
    }
    if proposal.weights.is_empty() {
        violations.push(Violation::new("weights", ViolationCode::Required, "must be set"));
    }
    if based_on > newest {
        let message = format!("is above the newest revision {newest}");
        violations.push(Violation::new(
            "based_on_config_revision",
            ViolationCode::OutOfRange,
            message,
        ));
    }
    let mut named = BTreeSet::new();
    for (upstream, ..) in &proposal.weights {
        let key = upstream.key();
        let of_route = snapshot
            .upstream(*upstream)
            .filter(|upstream| upstream.route_id == proposal.route);
        let (code, message) = if !named.insert(*upstream) {
            (ViolationCode::Invalid, "is named twice".to_owned())
        } else if of_route.is_none() {
            (ViolationCode::NotFound, "is no upstream of the route".to_owned())
        } else if modified(snapshot, &key) > based_on {
            let message = format!(
                "was changed at revision {}, after {based_on}, which its weight is based on",
                modified(snapshot, &key)
            );
            (ViolationCode::RevisionMismatch, message)
        } else {
            continue;
        };
        violations.push(Violation::new("weights", code, message).of(key));
    }
    if violations.is_empty() {
        Ok(based_on)
    } else {
        Err(violations.into())
    }
}

/// At which revision a resource last changed.
fn modified(snapshot: &Snapshot, key: &ResourceKey) -> Revision {
    snapshot
        .get(key)
        .map_or(Revision(0), |entry| entry.meta.modify_revision)
}

/// What counts of an upstream's weights now.
pub(crate) fn effective(snapshot: &Snapshot, head: &Head, upstream: &Upstream) -> EffectiveWeight {
    let soft = head.weights.get(upstream.id).map(|entry| &entry.soft);
    let operator = OperatorWeight::new(upstream, modified(snapshot, &upstream.key()));
    EffectiveWeight::of(&operator, soft)
}

/// The upstreams of a route as they count now.
pub(super) fn members(snapshot: &Snapshot, head: &Head, route: RouteId) -> Vec<Member> {
    let member = |upstream: &Upstream| {
        let effective = effective(snapshot, head, upstream);
        Member {
            upstream: upstream.id,
            current: effective.weight.get(),
            usable: effective.standing != Standing::Withheld,
        }
    };
    snapshot.upstreams_of(route).map(member).collect()
}
