//! The content that runs, its consumer and its copy on disk. Everything here blocks.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use tyrscale_model::{Rejection, Snapshot, Version, View, Violation, ViolationCode};

use super::{
    Consumer, Update,
    assembly::Offer,
    refusal::{NackReason, Refusal},
    replica,
    session::Fault,
};
use crate::last_good::{Generation, LastGood, LoadError};

/// Warnings an Ack carries at most.
const MAX_WARNINGS: usize = 32;

/// An update that was taken.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) version: Version,
    pub(crate) validate: Duration,
    pub(crate) apply: Duration,
    pub(crate) warnings: Vec<String>,
    pub(crate) persisted: bool,
}

pub(crate) struct Engine<C> {
    view: View,
    running: Option<Snapshot>,
    consumer: C,
    last_good: Option<LastGood>,
}

impl<C: Consumer> Engine<C> {
    pub(crate) const fn new(view: View, consumer: C, last_good: Option<LastGood>) -> Self {
        Self {
            view,
            running: None,
            consumer,
            last_good,
        }
    }

    /// Runs the newest generation on disk that is whole and that the consumer takes.
    pub(crate) fn restore(&mut self) -> Option<Version> {
        Generation::NEWEST_FIRST
            .into_iter()
            .find_map(|generation| self.restore_generation(generation))
    }

    fn restore_generation(&mut self, generation: Generation) -> Option<Version> {
        let last_good = self.last_good.as_ref()?;
        let snapshot = match last_good.load(generation) {
            Ok(snapshot) => snapshot?,
            Err(error) => {
                tracing::warn!(?generation, %error, "last good content is not used");
                if let LoadError::Damaged(_) = error
                    && let Err(error) = last_good.set_aside(generation)
                {
                    tracing::warn!(?generation, %error, "damaged content could not be set aside");
                }
                return None;
            }
        };
        let update = Update {
            version: snapshot.version(self.view),
            changed: replica::differing(None, &snapshot),
            snapshot,
        };
        match self.hand_over(update) {
            Ok((version, _)) => Some(version),
            Err(refusal) => {
                tracing::warn!(?generation, rejection = %refusal.rejection, "last good content is refused");
                None
            }
        }
    }

    /// Judges an update, hands it to the consumer and writes it to disk. Refused, nothing is changed.
    pub(crate) fn apply(&mut self, offer: Offer) -> Result<Applied, Refusal> {
        let began = Instant::now();
        let target = offer.target;
        let judged = catch_unwind(AssertUnwindSafe(|| {
            replica::judge(self.running.as_ref(), self.view, offer)
        }));
        let update = judged.unwrap_or_else(|_| Err(panicked(target)))?;
        self.take(update, began)
    }

    /// Runs on under the control plane's version of the same content; `None` when that runs already.
    pub(crate) fn adopt(&mut self, target: Version) -> Result<Option<Applied>, Fault> {
        let began = Instant::now();
        match replica::adopt(self.running.as_ref(), self.view, target)? {
            None => Ok(None),
            Some(update) => self.take(update, began).map(Some).map_err(|refusal| {
                tracing::warn!(rejection = %refusal.rejection, "running content is refused under its new version");
                Fault::NotInSync
            }),
        }
    }

    fn take(&mut self, update: Update, began: Instant) -> Result<Applied, Refusal> {
        let validated = Instant::now();
        let (version, mut warnings) = self.hand_over(update)?;
        warnings.truncate(MAX_WARNINGS);
        let apply = validated.elapsed();
        Ok(Applied {
            version,
            validate: validated - began,
            apply,
            warnings,
            persisted: self.persist(),
        })
    }

    fn hand_over(&mut self, update: Update) -> Result<(Version, Vec<String>), Refusal> {
        let version = update.version;
        let consumer = &mut self.consumer;
        let accepted = catch_unwind(AssertUnwindSafe(|| consumer.accept(&update)));
        let refused = |rejection: Rejection| Refusal::new(NackReason::Invalid, Some(version), rejection);
        let warnings = accepted.map_err(|_| panicked(version))?.map_err(refused)?;
        self.running = Some(update.snapshot);
        Ok((version, warnings))
    }

    /// Writes what runs to disk; `false` when there is no place for it, or it cannot be written.
    pub(crate) fn persist(&self) -> bool {
        let (Some(last_good), Some(running)) = (&self.last_good, &self.running) else {
            return false;
        };
        match last_good.save(running) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "last good content could not be written");
                false
            }
        }
    }
}

fn panicked(target: Version) -> Refusal {
    let violation = Violation::new("", ViolationCode::Invalid, "building it panicked");
    Refusal::new(NackReason::Internal, Some(target), violation)
}
