//! What the writer does after a write that failed.

use std::sync::Arc;

use tracing::{error, info};

use super::Writer;
use crate::{engine::EngineError, error::StoreError, head::Head};

impl Writer {
    /// What reached the disk is unknown now, so no further write is taken until the engine has recovered.
    pub(super) fn fail(&self, reason: EngineError) {
        error!(
            %reason,
            "store write failed; no further writes are taken until it has recovered"
        );
        self.failing.send_replace(Some(reason));
    }

    /// Whether writes are taken.
    pub(super) fn writable(&self) -> Result<(), StoreError> {
        let failed = self.failing.borrow().clone();
        failed.map_or(Ok(()), |reason| Err(StoreError::of_failure(reason)))
    }

    /// After a failed write, tries whether writes can be taken again. Never between writes that wait for one flush:
    /// an earlier one of them might be lost and answered.
    pub(super) fn resume_if_failing(&mut self) {
        if self.failing.borrow().is_none() {
            return;
        }
        match self.resume() {
            Ok(()) => {
                info!("store takes writes again");
                self.failing.send_replace(None);
            }
            Err(EngineError::Unavailable(_) | EngineError::Full(_)) => {}
            Err(EngineError::Damaged(reason)) => {
                let reason = EngineError::Unavailable(format!("it is damaged: {reason}"));
                self.failing.send_replace(Some(reason));
            }
        }
    }

    /// Goes on from what is durable. Whether that has what the failed write was about shows now.
    fn resume(&mut self) -> Result<(), EngineError> {
        self.engine.recover()?;
        let published = self.published.borrow().clone();
        self.head = Head::clone(&published);
        let durable = self.engine.head()?;
        if durable < published.snapshot.revision() {
            let told = published.snapshot.revision();
            return Err(EngineError::Damaged(format!(
                "revision {told} was told to be durable, and the log ends at {durable}"
            )));
        }
        self.catch_up()?;
        if self.head.snapshot.revision() != published.snapshot.revision() {
            self.published.send_replace(Arc::new(self.head.clone()));
        }
        Ok(())
    }
}
