//! Reading what an engine holds, and proving it.

use std::{collections::HashMap, thread};

use tyrscale_model::{ResourceKey, Revision, Snapshot};

use crate::{
    engine::{Engine, EngineError, Loaded},
    head::{Head, History},
    log::{Image, LogRecord, LoggedOperation},
};

/// How many records are in memory with their contents at once.
pub(crate) const CHUNK: u64 = 256;

fn damaged(reason: impl Into<String>) -> EngineError {
    EngineError::Damaged(reason.into())
}

/// Reads everything and proves it: the log is dense, each record begins where the one before ended, its end is
/// what the rows say, and the rows have the hashes that the log ends with. The log is read beside the rows' being put
/// together, which take about as long.
pub(crate) fn load(engine: &dyn Engine) -> Result<Head, EngineError> {
    let loaded = engine.load()?;
    let (floor, head) = (loaded.floor, loaded.head);
    let history = History::new(floor, loaded.floor_hashes);
    let (snapshot, logged) = thread::scope(|scope| {
        let log = scope.spawn(|| read_log(engine, history, head));
        let snapshot = newest(engine, loaded);
        (snapshot, log.join())
    });
    let (history, chain) = logged.map_err(|_| damaged("the log cannot be read"))??;
    let snapshot = snapshot?;
    if snapshot.revision() != head || history.hashes_at(head) != Some(snapshot.hashes()) {
        return Err(damaged(
            "the resources are not those of the head: rows are missing or from another revision",
        ));
    }
    chain.ends_at(&snapshot)?;
    Ok(Head { snapshot, history })
}

/// The resources at the head: the rows, and where these are older, what the log says came after them.
fn newest(engine: &dyn Engine, loaded: Loaded) -> Result<Snapshot, EngineError> {
    let mut snapshot = Snapshot::restore(loaded.lineage, loaded.entries_at, loaded.entries)
        .map_err(|rejection| damaged(rejection.to_string()))?;
    for (first, last) in chunks(loaded.entries_at, loaded.head) {
        for record in engine.read_log(first, last)? {
            snapshot = replay(&snapshot, &record)?;
        }
    }
    Ok(snapshot)
}

/// What led from the floor to the head, and what it says of the resources.
fn read_log(
    engine: &dyn Engine,
    mut history: History,
    head: Revision,
) -> Result<(History, Chain), EngineError> {
    let mut chain = Chain::default();
    for (first, last) in chunks(history.floor(), head) {
        for record in engine.read_log(first, last)? {
            history.push(record.summary());
            chain.take(record)?;
        }
    }
    Ok((history, chain))
}

/// The revisions above `from` up to `to`, as ranges of bounded length.
fn chunks(from: Revision, to: Revision) -> impl Iterator<Item = (Revision, Revision)> {
    let mut first = from.next();
    std::iter::from_fn(move || {
        let last = Revision(first.0.saturating_add(CHUNK - 1)).min(to);
        let chunk = (first <= last).then_some((first, last));
        first = last.next();
        chunk
    })
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

    fn ends_at(mut self, snapshot: &Snapshot) -> Result<(), EngineError> {
        let differs = |key: &ResourceKey| Err(damaged(format!("{key} is not what the log says it is")));
        for (key, entry) in snapshot.iter() {
            match self.last.remove(key) {
                Some(last) if last.as_ref().is_none_or(|image| !image.is_of(entry)) => {
                    return differs(key);
                }
                _ => {}
            }
        }
        // What is left is not there.
        match self.last.iter().find(|(_, last)| last.is_some()) {
            Some((key, _)) => differs(key),
            None => Ok(()),
        }
    }
}
