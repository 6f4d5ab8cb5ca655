//! Where rollouts are kept over a restart: documents of the store.

use prost::Message;
use tyrscale_store::{Documents, Store, StoreError, Table};

use super::{
    decide::Rollout,
    record::{self, Standing},
};

/// How many rollouts are kept.
pub(super) const KEPT: usize = 100;
const STANDING: &str = "rollout";

#[derive(Debug)]
pub(super) struct Keeper {
    rollouts: Documents,
    switches: Documents,
}

impl Keeper {
    pub(super) fn new(store: &Store) -> Self {
        Self {
            rollouts: store.documents(Table::Rollouts),
            switches: store.documents(Table::Switches),
        }
    }

    /// The rollouts kept, the oldest first.
    pub(super) async fn rollouts(&self) -> Result<Vec<Rollout>, StoreError> {
        let documents = self.rollouts.list("", "", 2 * KEPT).await?;
        let read = documents
            .iter()
            .filter_map(|document| record::decode(&document.value));
        Ok(read.collect())
    }

    pub(super) async fn standing(&self) -> Result<Standing, StoreError> {
        let document = self.switches.get(STANDING).await?;
        let read = document.and_then(|document| Standing::decode(document.value).ok());
        Ok(read.unwrap_or_default())
    }

    pub(super) async fn keep(&self, rollout: &Rollout) -> Result<(), StoreError> {
        self.rollouts
            .put(&key(rollout.id), record::encode(rollout))
            .await?;
        Ok(())
    }

    pub(super) async fn forget(&self, rollout: u64) -> Result<(), StoreError> {
        self.rollouts.delete(&key(rollout)).await?;
        Ok(())
    }

    pub(super) async fn keep_standing(&self, standing: &Standing) -> Result<(), StoreError> {
        self.switches.put(STANDING, standing.encode_to_vec()).await?;
        Ok(())
    }
}

/// In the order of ids.
fn key(rollout: u64) -> String {
    format!("{rollout:020}")
}
