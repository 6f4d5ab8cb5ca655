//! Where rollouts are kept over a restart and for other control planes: documents of the store.
//!
//! All of it hangs on one document, the standing: every write compares and replaces it. So who acts on something that
//! is no longer so, such as a leader that was suspended, is refused, and whoever finds the standing as it was knows that
//! nothing else was written either.

use std::collections::BTreeMap;

use prost::Message;
use tyrscale_store::{DocumentWrite, Documents, Stamp, Store, StoreError, Table};

use super::{
    decide::Rollout,
    record::{self, Standing},
};

/// How many rollouts are kept.
const KEPT: usize = 100;
const STANDING: &str = "rollout";

/// What is kept, as it was last read or written.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    store: Store,
    rollouts: Documents,
    switches: Documents,
    standing: Standing,
    at: Stamp,
    known: BTreeMap<u64, (Rollout, Stamp)>,
}

impl Keeper {
    /// Reads what is kept.
    pub(super) async fn read(store: &Store) -> Result<Self, StoreError> {
        let mut keeper = Self {
            store: store.clone(),
            rollouts: store.documents(Table::Rollouts),
            switches: store.documents(Table::Switches),
            standing: Standing::default(),
            at: Stamp::default(),
            known: BTreeMap::new(),
        };
        keeper.refresh().await?;
        Ok(keeper)
    }

    /// Takes in what was written since; tells whether there was anything.
    pub(super) async fn refresh(&mut self) -> Result<bool, StoreError> {
        let Some(document) = self.switches.get(STANDING).await? else {
            return Ok(false);
        };
        if document.stamp == self.at {
            return Ok(false);
        }
        // Read after the standing, they are what it stands for, or newer; then the next write is refused.
        let documents = self.rollouts.list("", "", 2 * KEPT).await?;
        let read = documents
            .iter()
            .filter_map(|document| Some((record::decode(&document.value)?, document.stamp)));
        self.known = read
            .map(|(rollout, stamp)| (rollout.id, (rollout, stamp)))
            .collect();
        self.standing = Standing::decode(document.value).unwrap_or_default();
        self.at = document.stamp;
        Ok(true)
    }

    pub(super) const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// When a rollout was last written.
    pub(super) fn kept_at(&self, rollout: u64) -> Option<Stamp> {
        self.known.get(&rollout).map(|(_, stamp)| *stamp)
    }

    /// The rollouts kept, by id.
    pub(super) fn rollouts(&self) -> BTreeMap<u64, Rollout> {
        let known = self.known.iter();
        known.map(|(id, (rollout, _))| (*id, rollout.clone())).collect()
    }

    /// The newest one.
    pub(super) fn last(&self) -> Option<&Rollout> {
        self.known.last_key_value().map(|(_, (rollout, _))| rollout)
    }

    /// The one under way.
    pub(super) fn active(&self) -> Option<&Rollout> {
        self.last().filter(|rollout| rollout.state.is_active())
    }

    pub(super) fn next_id(&self) -> u64 {
        self.last().map_or(1, |rollout| rollout.id + 1)
    }

    /// What keeps a standing and perhaps a rollout, as long as nobody else wrote.
    pub(super) fn writes(&self, standing: &Standing, rollout: Option<&Rollout>) -> Vec<DocumentWrite> {
        let value = Some(standing.encode_to_vec().into());
        let mut writes = vec![self.switches.write(STANDING, value, Some(self.at))];
        if let Some(rollout) = rollout {
            let at = self.known.get(&rollout.id).map(|(_, stamp)| *stamp);
            let (key_of, value) = (key(rollout.id), Some(record::encode(rollout).into()));
            writes.push(self.rollouts.write(&key_of, value, Some(at.unwrap_or_default())));
            let is_full = at.is_none() && self.known.len() >= KEPT;
            let oldest = self.known.keys().next().filter(|_| is_full);
            writes.extend(oldest.map(|oldest| self.rollouts.write(&key(*oldest), None, None)));
        }
        writes
    }

    /// Keeps a standing and perhaps a rollout.
    ///
    /// # Errors
    /// [`StoreError::DocumentMoved`] when somebody else wrote meanwhile: nothing was kept.
    pub(super) async fn keep(
        &mut self,
        standing: Standing,
        rollout: Option<&Rollout>,
    ) -> Result<(), StoreError> {
        let writes = self.writes(&standing, rollout);
        let stamp = self.store.write_documents(writes).await?;
        (self.standing, self.at) = (standing, stamp);
        if let Some(rollout) = rollout {
            self.known.insert(rollout.id, (rollout.clone(), stamp));
            while self.known.len() > KEPT {
                self.known.pop_first();
            }
        }
        Ok(())
    }
}

/// In the order of ids.
fn key(rollout: u64) -> String {
    format!("{rollout:020}")
}
