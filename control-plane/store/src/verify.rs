//! Holding a store against itself, revision by revision.

use tyrscale_model::{Digest, Lineage, Revision, View};

use crate::{
    engine::{Document, Engine, EngineError},
    head::Head,
    load::{CHUNK, load},
    past::undone,
    table::Table,
};

/// How many documents are read at once.
const PAGE: usize = 1000;

/// A store that proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whose order the revisions are in.
    pub lineage: Lineage,
    /// The newest revision.
    pub revision: Revision,
    /// The oldest whose content can be had.
    pub floor: Revision,
    /// What proves the content at the newest.
    pub digest: Digest,
    /// How many resources there are at the newest.
    pub resources: usize,
    /// How many documents there are beside.
    pub documents: usize,
}

impl Verified {
    /// What a start has proved of a store; its documents are not counted.
    #[must_use]
    pub fn at_start(head: &Head) -> Self {
        Self {
            lineage: head.snapshot.lineage(),
            revision: head.snapshot.revision(),
            floor: head.history.floor(),
            digest: head.snapshot.version(View::ALL).digest,
            resources: head.snapshot.len(),
            documents: 0,
        }
    }
}

/// Reads every row and holds them against each other: what a start proves, and that undoing the log from the newest
/// revision gives each earlier one the hashes that its own record holds, down to the floor.
///
/// # Errors
/// [`EngineError::Damaged`] naming what does not fit.
pub(crate) fn verify(engine: &dyn Engine) -> Result<Verified, EngineError> {
    let head = load(engine)?;
    let (history, floor) = (&head.history, head.history.floor());
    let mut content = head.snapshot.clone();
    while content.revision() > floor {
        let last = content.revision();
        let first = Revision(last.0.saturating_sub(CHUNK - 1)).max(floor.next());
        for record in engine.read_log(first, last)?.into_iter().rev() {
            let before = Revision(record.revision.0.saturating_sub(1));
            let after = record.revision;
            content = content
                .replaced(before, undone(record)?)
                .map_err(|rejection| EngineError::Damaged(rejection.to_string()))?;
            if history.hashes_at(before) != Some(content.hashes()) {
                return Err(EngineError::Damaged(format!(
                    "undoing revision {after} does not give revision {before}"
                )));
            }
        }
    }
    Ok(Verified {
        documents: all_documents(engine)?.len(),
        ..Verified::at_start(&head)
    })
}

/// Every document of every table.
///
/// # Errors
/// [`EngineError::Damaged`] when one does not prove itself.
pub(crate) fn all_documents(engine: &dyn Engine) -> Result<Vec<(Table, Document)>, EngineError> {
    let mut all = Vec::new();
    for table in Table::ALL {
        let mut after = String::new();
        loop {
            let page = engine.documents(table, "", &after, PAGE)?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.key);
            all.extend(page.into_iter().map(|document| (table, document)));
        }
    }
    Ok(all)
}
