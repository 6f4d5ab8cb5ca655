//! What became of a change.

use std::sync::Arc;

use bytes::Bytes;
use tyrscale_model::{Change, ChangeSet, Policy, Rejection, UnixMillis, Violation, apply};

use crate::{head::Head, log::LogRecord};

/// A change that is durable, or would be.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The state after it.
    pub head: Arc<Head>,
    /// What changed; empty when the content was there already and no revision was made.
    pub changes: Vec<Change>,
    /// What was done but may not have been meant.
    pub warnings: Vec<Violation>,
}

impl Committed {
    /// What a change set makes of a state, and the record to write unless it makes nothing of it.
    pub(crate) fn of(
        head: &Head,
        change_set: &ChangeSet,
        policy: &Policy,
        now: UnixMillis,
    ) -> Result<(Self, Option<LogRecord>), Rejection> {
        let applied = apply(&head.snapshot, change_set, policy, now)?;
        if applied.changes.is_empty() {
            let committed = Self {
                head: Arc::new(head.clone()),
                changes: applied.changes,
                warnings: applied.warnings,
            };
            return Ok((committed, None));
        }
        let record = LogRecord::of(change_set, &applied.changes, &applied.snapshot, now);
        let mut history = head.history.clone();
        history.push(record.summary());
        let head = Head {
            snapshot: applied.snapshot,
            history,
        };
        let committed = Self {
            head: Arc::new(head),
            changes: applied.changes,
            warnings: applied.warnings,
        };
        Ok((committed, Some(record)))
    }
}

/// What became of a request with an id.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was done now.
    Done(Committed),
    /// It had been done before, and this was its answer.
    Repeated(Bytes),
}
