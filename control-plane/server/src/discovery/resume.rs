//! How a subscriber goes on from what it has. Pure.

use tyrscale_model::{Digest, Revision, Version};

/// What separates a version of the subscriber from the newest one, of the same lineage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Less than the whole.
    Small,
    /// So much that the whole is better.
    Large,
    /// Not known: the history does not reach back.
    Unknown,
    /// The history had another content there: both go on from a common past.
    Forked,
}

/// What the server has, in the subscriber's view.
pub(crate) struct Offer<'a> {
    /// The newest version.
    pub(crate) target: Version,
    /// How a version differs from it.
    pub(crate) difference: &'a dyn Fn(&Version) -> Difference,
    /// The digest of no content at all.
    pub(crate) nothing: &'a dyn Fn() -> Digest,
    /// Why the subscriber cannot take the newest version, when it cannot: it lacks what that needs.
    pub(crate) lacking: Option<&'static str>,
    /// Whether an operator said that contents of other lineages, and of other ends of this one, are to be replaced.
    pub(crate) takes_over: bool,
}

/// How a subscriber goes on from what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resume {
    /// Same content.
    InSync,
    /// By the difference.
    Delta,
    /// By the whole.
    Snapshot,
    /// Not yet.
    Hold,
}

/// How to go on from a version, and why.
pub(crate) fn resume(have: Option<&Version>, offer: &Offer<'_>) -> (Resume, &'static str) {
    match (able(have, offer), offer.lacking) {
        ((Resume::Delta | Resume::Snapshot, _), Some(lacking)) => (Resume::Hold, lacking),
        (way, _) => way,
    }
}

/// The same for a subscriber that understands all that the newest version needs.
fn able(have: Option<&Version>, offer: &Offer<'_>) -> (Resume, &'static str) {
    let target = &offer.target;
    let is_fresh = target.revision == Revision(0);
    match have {
        Some(have) if have == target => (Resume::InSync, "same version"),
        _ if is_fresh => (Resume::Hold, "the store is fresh"),
        None => (Resume::Snapshot, "nothing to start from"),
        Some(have) if have.lineage != target.lineage && have.digest == target.digest => {
            (Resume::InSync, "same content in another lineage")
        }
        Some(have) if have.lineage != target.lineage && have.digest == (offer.nothing)() => {
            (Resume::Snapshot, "nothing to lose of another lineage")
        }
        Some(have) if have.lineage != target.lineage && offer.takes_over => {
            (Resume::Snapshot, "another lineage is taken over")
        }
        Some(have) if have.lineage != target.lineage => (
            Resume::Hold,
            "a content of another lineage is replaced only with --take-over",
        ),
        Some(have) if have.revision > target.revision => (Resume::Hold, "the server is behind"),
        // At the target's revision it is not the target, or it would be in sync.
        Some(have) if have.revision == target.revision => forked(offer.takes_over),
        Some(have) => match (offer.difference)(have) {
            Difference::Small => (Resume::Delta, "the history reaches back"),
            Difference::Large => (Resume::Snapshot, "the difference is nearly the whole"),
            Difference::Unknown => (Resume::Snapshot, "the history does not reach back"),
            Difference::Forked => forked(offer.takes_over),
        },
    }
}

/// Going on from a revision that has another content here, as when a backup was put in the place of its store: what came
/// after it was acknowledged, and is not given up in silence.
const fn forked(takes_over: bool) -> (Resume, &'static str) {
    if takes_over {
        (Resume::Snapshot, "another content of its revision is taken over")
    } else {
        (
            Resume::Hold,
            "another content of its revision is replaced only with --take-over",
        )
    }
}
