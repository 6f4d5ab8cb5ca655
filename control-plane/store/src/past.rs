//! Contents of earlier revisions: the newest one, with what came after undone.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use tyrscale_model::{Entry, ResourceKey, Revision, Snapshot};

use crate::{
    engine::{Engine, EngineError},
    head::{Head, History},
    load::CHUNK,
    log::LogRecord,
};

/// How many earlier contents are kept. They share what they have in common.
const KEPT: usize = 16;

/// Contents of earlier revisions that somebody asked for lately.
#[derive(Debug, Default)]
pub(crate) struct Past {
    kept: Mutex<VecDeque<Snapshot>>,
}

impl Past {
    fn kept(&self) -> std::sync::MutexGuard<'_, VecDeque<Snapshot>> {
        // It holds nothing that a panic could leave half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The content, if it is kept.
    pub(crate) fn get(&self, revision: Revision) -> Option<Snapshot> {
        let mut kept = self.kept();
        let place = kept.iter().position(|snapshot| snapshot.revision() == revision)?;
        let snapshot = kept.remove(place)?;
        kept.push_back(snapshot.clone());
        Some(snapshot)
    }

    pub(crate) fn keep(&self, snapshot: Snapshot) {
        let mut kept = self.kept();
        kept.retain(|known| known.revision() != snapshot.revision());
        kept.push_back(snapshot);
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// The content nearest above a revision that need not be made: a kept one or the newest.
    pub(crate) fn nearest(&self, head: &Head, revision: Revision) -> Snapshot {
        let kept = self.kept();
        let above = kept.iter().filter(|snapshot| {
            snapshot.revision() >= revision && snapshot.lineage() == head.snapshot.lineage()
        });
        above
            .min_by_key(|snapshot| snapshot.revision())
            .unwrap_or(&head.snapshot)
            .clone()
    }
}

/// The content at `revision`, made from a later one by undoing what the log says came between.
///
/// # Errors
/// [`EngineError::Damaged`] when the outcome does not have the hashes that the history knows.
pub(crate) fn rewind(
    engine: &dyn Engine,
    history: &History,
    later: &Snapshot,
    revision: Revision,
) -> Result<Snapshot, EngineError> {
    let mut undone: BTreeMap<ResourceKey, Option<Entry>> = BTreeMap::new();
    for (first, last) in first_touches(history, revision, later.revision()) {
        for record in engine.read_log(first, last)? {
            undo(record, &mut undone)?;
        }
    }
    let earlier = later
        .replaced(revision, undone)
        .map_err(|rejection| EngineError::Damaged(rejection.to_string()))?;
    if history.hashes_at(revision) == Some(earlier.hashes()) {
        Ok(earlier)
    } else {
        Err(EngineError::Damaged(format!(
            "undoing the log does not give revision {revision}"
        )))
    }
}

fn undo(record: LogRecord, all: &mut BTreeMap<ResourceKey, Option<Entry>>) -> Result<(), EngineError> {
    for (key, entry) in undone(record)? {
        all.entry(key).or_insert(entry);
    }
    Ok(())
}

/// What a revision touched, as it was before.
///
/// # Errors
/// [`EngineError::Damaged`] when that is no resource.
pub(crate) fn undone(record: LogRecord) -> Result<Vec<(ResourceKey, Option<Entry>)>, EngineError> {
    let before = record.operations.into_iter().map(|operation| {
        let key = operation.key;
        let entry = operation.before.map(|image| {
            image
                .into_entry(&key)
                .ok_or_else(|| EngineError::Damaged(format!("the log holds no {key}")))
        });
        Ok((key, entry.transpose()?))
    });
    before.collect()
}

/// The revisions above `from` that are the first to touch some resource, as ranges of bounded length.
fn first_touches(history: &History, from: Revision, to: Revision) -> Vec<(Revision, Revision)> {
    let mut seen = HashSet::new();
    let mut ranges: Vec<(Revision, Revision)> = Vec::new();
    for summary in history.range(from.next()..=to) {
        let mut is_needed = false;
        for touched in &summary.touched {
            is_needed |= seen.insert(&touched.key);
        }
        if !is_needed {
            continue;
        }
        match ranges.last_mut() {
            Some((first, last))
                if last.next() == summary.revision && summary.revision.0 - first.0 < CHUNK =>
            {
                *last = summary.revision;
            }
            _ => ranges.push((summary.revision, summary.revision)),
        }
    }
    ranges
}
