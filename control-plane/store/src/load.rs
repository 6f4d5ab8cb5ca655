//! Reading what an engine holds, and proving it.

use std::collections::HashMap;

use tyrscale_model::{ResourceKey, Revision, Snapshot};

use crate::{
    engine::{Engine, EngineError},
    head::{Head, History},
    log::{Image, LogRecord, LoggedOperation},
};

/// How many records are in memory with their contents at once.
pub(crate) const CHUNK: u64 = 256;

fn damaged(reason: impl Into<String>) -> EngineError {
    EngineError::Damaged(reason.into())
}

/// Reads everything and proves it: the log is dense, each record begins where the one before ended, its end is
/// what the rows say, and the rows have the hashes that the log ends with.
pub(crate) fn load(engine: &dyn Engine) -> Result<Head, EngineError> {
    let loaded = engine.load()?;
    let mut history = History::new(loaded.floor, loaded.floor_hashes);
    let mut snapshot = Snapshot::restore(loaded.lineage, loaded.entries_at, loaded.entries)
        .map_err(|rejection| damaged(rejection.to_string()))?;
    let mut chain = Chain::default();
    let mut next = loaded.floor.next();
    while next <= loaded.head {
        let last = Revision(next.0.saturating_add(CHUNK - 1)).min(loaded.head);
        for record in engine.read_log(next, last)? {
            if record.revision > loaded.entries_at {
                snapshot = replay(&snapshot, &record)?;
            }
            history.push(record.summary());
            chain.take(record)?;
        }
        next = last.next();
    }
    let hashes = history.hashes_at(loaded.head);
    if snapshot.revision() != loaded.head || hashes != Some(snapshot.hashes()) {
        return Err(damaged(
            "the resources are not those of the head: rows are missing or from another revision",
        ));
    }
    chain.ends_at(&snapshot)?;
    Ok(Head { snapshot, history })
}

/// The content after a record that follows `before`.
///
/// # Errors
/// [`EngineError::Damaged`] when the record does not fit.
pub(crate) fn replay(before: &Snapshot, record: &LogRecord) -> Result<Snapshot, EngineError> {
    let unfit = || {
        damaged(format!(
            "revision {} does not follow the one before",
            record.revision
        ))
    };
    if record.revision != before.revision().next() {
        return Err(unfit());
    }
    let contents = record.operations.iter().map(|operation| {
        let LoggedOperation { key, after, .. } = operation;
        let entry = after.clone().map(|image| image.into_entry(key).ok_or_else(unfit));
        Ok((key.clone(), entry.transpose()?))
    });
    let contents: Vec<_> = contents.collect::<Result<_, EngineError>>()?;
    let after = before
        .replaced(record.revision, contents)
        .map_err(|rejection| damaged(rejection.to_string()))?;
    if after.hashes() == record.hashes {
        Ok(after)
    } else {
        Err(unfit())
    }
}

/// What the log says of each resource it touched, up to some record.
#[derive(Default)]
struct Chain {
    last: HashMap<ResourceKey, Option<Image>>,
}

impl Chain {
    fn take(&mut self, record: LogRecord) -> Result<(), EngineError> {
        for operation in record.operations {
            let LoggedOperation { key, before, after } = operation;
            if self.last.get(&key).is_some_and(|last| *last != before) {
                return Err(damaged(format!(
                    "revision {} does not follow what the log says of {key}",
                    record.revision
                )));
            }
            self.last.insert(key, after);
        }
        Ok(())
    }

    fn ends_at(&self, snapshot: &Snapshot) -> Result<(), EngineError> {
        let differs = |(key, last): &(&ResourceKey, &Option<Image>)| {
            snapshot.get(key).map(|entry| Image::of(entry)) != **last
        };
        match self.last.iter().find(differs) {
            Some((key, _)) => Err(damaged(format!("{key} is not what the log says it is"))),
            None => Ok(()),
        }
    }
}
