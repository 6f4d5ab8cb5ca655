//! Whether an update may follow what runs, and the content it makes. Pure.

use tyrscale_model::{AdvanceError, ResourceKey, Snapshot, Version, View, Violation, ViolationCode};

use super::{
    Update,
    assembly::Offer,
    refusal::{NackReason, Refusal},
    session::Fault,
};

/// Makes the content after `offer`, or says why it is refused; `running` is untouched either way.
///
/// A lower revision of the own lineage is never taken. Neither is a content of another lineage while there is
/// something to lose, unless an operator said so: a store that was lost and made anew must not take away what runs.
pub(crate) fn judge(running: Option<&Snapshot>, view: View, offer: Offer) -> Result<Update, Refusal> {
    let target = offer.target;
    let refuse = |reason, violation: Violation| Refusal::new(reason, Some(target), violation);
    let is_snapshot = offer.base.is_none();
    let start = match (&offer.base, running) {
        (None, _) => Snapshot::empty(target.lineage),
        (Some(base), Some(running)) if follows(base, running, &target) => running.clone(),
        (Some(_), _) => return Err(refuse(NackReason::BaseMismatch, base_mismatch(running))),
    };
    let own_lineage = running.filter(|running| running.lineage() == target.lineage);
    if let Some(running) = own_lineage.filter(|running| target.revision < running.revision()) {
        return Err(refuse(NackReason::Invalid, goes_back(running)));
    }
    let mut changed: Vec<ResourceKey> = offer.upserts.iter().map(|row| row.key.clone()).collect();
    changed.extend(offer.removals.iter().cloned());
    let snapshot = start
        .advance(target.lineage, target.revision, offer.upserts, &offer.removals)
        .map_err(|error| match error {
            AdvanceError::Decode(rejection) => Refusal::new(NackReason::Decode, Some(target), rejection),
            AdvanceError::Invalid(rejection) => Refusal::new(NackReason::Invalid, Some(target), rejection),
        })?;
    let version = snapshot.version(view);
    if version.digest != target.digest {
        return Err(refuse(NackReason::DigestMismatch, digest_mismatch(&version)));
    }
    let has_content = running.is_some_and(|running| !running.is_empty());
    if has_content && own_lineage.is_none() && !offer.forced {
        return Err(refuse(NackReason::Limit, would_replace()));
    }
    if is_snapshot {
        changed = differing(running, &snapshot);
    }
    Ok(Update {
        snapshot,
        version,
        changed,
    })
}

/// The running content under the control plane's version of it; `None` when that is its version already.
pub(crate) fn adopt(
    running: Option<&Snapshot>,
    view: View,
    target: Version,
) -> Result<Option<Update>, Fault> {
    let running = running.ok_or(Fault::NotInSync)?;
    let own_lineage = running.lineage() == target.lineage;
    if running.digest(view) != target.digest || (own_lineage && target.revision < running.revision()) {
        return Err(Fault::NotInSync);
    }
    if own_lineage && target.revision == running.revision() {
        return Ok(None);
    }
    let snapshot = running
        .advance(target.lineage, target.revision, Vec::new(), &[])
        .map_err(|_| Fault::NotInSync)?;
    Ok(Some(Update {
        version: snapshot.version(view),
        snapshot,
        changed: Vec::new(),
    }))
}

/// The keys whose content differs between the two.
pub(crate) fn differing(before: Option<&Snapshot>, after: &Snapshot) -> Vec<ResourceKey> {
    let is_new = |(key, entry): &(&ResourceKey, &std::sync::Arc<tyrscale_model::Entry>)| {
        before
            .and_then(|before| before.get(key))
            .is_none_or(|old| old.payload != entry.payload)
    };
    let gone = before
        .into_iter()
        .flat_map(Snapshot::iter)
        .filter(|(key, _)| after.get(key).is_none());
    after
        .iter()
        .filter(is_new)
        .chain(gone)
        .map(|(key, _)| key.clone())
        .collect()
}

fn follows(base: &Version, running: &Snapshot, target: &Version) -> bool {
    base.lineage == running.lineage() && base.revision == running.revision() && base.lineage == target.lineage
}

fn base_mismatch(running: Option<&Snapshot>) -> Violation {
    let message = running.map_or_else(
        || "nothing runs here".to_owned(),
        |running| {
            format!(
                "revision {} of lineage {} runs here",
                running.revision(),
                running.lineage()
            )
        },
    );
    Violation::new("base", ViolationCode::RevisionMismatch, message)
}

fn goes_back(running: &Snapshot) -> Violation {
    let message = format!("is older than revision {}, which runs here", running.revision());
    Violation::new("target.revision", ViolationCode::RevisionMismatch, message)
}

fn digest_mismatch(made: &Version) -> Violation {
    let message = format!("content has the digest {}", made.digest);
    Violation::new("target.digest", ViolationCode::Invalid, message)
}

fn would_replace() -> Violation {
    let message = "a content of another lineage would replace what runs here, and no operator said so";
    Violation::new("target.lineage", ViolationCode::Invalid, message)
}
