//! Resources that are taken away: those that are named, what cannot live without them, and what a manager left out.

use super::{Change, ChangeAction, Step, absent, stale};
use crate::{Etag, Kind, ResourceKey, Snapshot, Violation, ViolationCode};

/// How many of the deletions that are too many are named.
const NAMED: usize = 10;

/// Whether no more are deleted than may be.
pub(super) fn check_deletions(changes: &[Change], limit: usize) -> Result<(), Violation> {
    let deleted = || {
        changes
            .iter()
            .filter(|change| change.action == ChangeAction::Deleted)
    };
    let count = deleted().count();
    if count <= limit {
        return Ok(());
    }
    let mut names: Vec<String> = deleted()
        .take(NAMED)
        .map(|change| change.key.to_string())
        .collect();
    if count > NAMED {
        names.push("and others".to_owned());
    }
    let message = format!(
        "{count} resources would be deleted, at most {limit} may be: {}",
        names.join(", ")
    );
    Err(Violation::new(
        "max_deletes",
        ViolationCode::LimitExceeded,
        message,
    ))
}

impl Step<'_> {
    /// Takes a resource away, and what goes with it.
    pub(super) fn delete(&mut self, key: &ResourceKey, etag: Option<&Etag>, cascade: bool) {
        let Some(current) = self.draft.snapshot().get(key).cloned() else {
            self.violations.push(absent(key).of(key.clone()));
            return;
        };
        if let Some(violation) = stale(&current, etag) {
            self.violations.push(violation.of(key.clone()));
            return;
        }
        let mut doomed = vec![key.clone()];
        while let Some(next) = doomed.pop() {
            let Some(entry) = self.draft.snapshot().get(&next).cloned() else {
                continue;
            };
            if let Some(violation) = self.foreign(&entry) {
                self.violations.push(violation.of(next));
                continue;
            }
            // What refers to a secret does not go with it.
            if cascade && next.kind != Kind::Secret {
                let goes_along = |referrer: &&ResourceKey| referrer.kind != Kind::Recommendation;
                doomed.extend(
                    self.draft
                        .snapshot()
                        .referrers_of(&next)
                        .filter(goes_along)
                        .cloned(),
                );
            }
            self.draft.remove(&next);
        }
    }

    /// Deletes what the manager owns and the change set does not put. What others own stays, and with it
    /// whatever it needs.
    pub(super) fn prune(&mut self, before: &Snapshot) {
        let manager = &self.change_set.ownership.manager;
        if manager.is_empty() {
            let violation = Violation::new("manager", ViolationCode::Required, "must be set to prune");
            self.violations.push(violation);
            return;
        }
        let owned = before
            .iter()
            .filter(|(_, entry)| entry.meta.managed_by == *manager);
        for (key, _) in owned.filter(|(key, _)| !self.kept.contains(*key)) {
            self.draft.remove(key);
        }
    }
}
