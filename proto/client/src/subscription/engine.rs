//! The content that runs, its consumer and its copy on disk. Everything here blocks.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use tyrscale_model::{Lane, Rejection, Snapshot, Version, View, Violation, ViolationCode};

use super::{
    Consumer, Update,
    assembly::Offer,
    refusal::{NackReason, Refusal},
    replica,
    session::Fault,
    weights::{self, WeightChange, WeightsStatus},
};
use crate::{
    last_good::{LastGood, LoadError},
    last_weights::{Kept, LastWeights},
};

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

/// What was found on disk.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) running: Option<Version>,
    /// What the process died with, and does not take.
    pub(crate) quarantined: Vec<Version>,
}

pub(crate) struct Engine<C> {
    view: View,
    running: Option<Snapshot>,
    weights: weights::Replica,
    consumer: C,
    last_good: Option<LastGood>,
    last_weights: Option<LastWeights>,
    /// Whether other weights run than are on disk.
    weights_unsaved: bool,
}

impl<C: Consumer> Engine<C> {
    pub(crate) fn new(
        view: View,
        consumer: C,
        last_good: Option<LastGood>,
        last_weights: Option<LastWeights>,
    ) -> Self {
        Self {
            view,
            running: None,
            weights: weights::Replica::default(),
            consumer,
            last_good,
            last_weights,
            weights_unsaved: false,
        }
    }

    /// Runs the newest generation on disk that is whole, that the process did not die with and that the consumer
    /// takes.
    pub(crate) fn restore(&mut self) -> Restored {
        let Some(last_good) = self.last_good.as_mut() else {
            return Restored::default();
        };
        if let Some(version) = last_good.trial.start() {
            tracing::error!(
                revision = version.revision.0,
                "the process died with this content again and again; it is not taken any more"
            );
        }
        let quarantined = last_good.trial.quarantined();
        let generations = last_good.generations();
        let running = generations.iter().find_map(|name| self.restore_generation(name));
        self.restore_weights();
        Restored { running, quarantined }
    }

    fn restore_generation(&mut self, generation: &str) -> Option<Version> {
        let last_good = self.last_good.as_mut()?;
        let snapshot = match last_good.load(generation) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::warn!(generation, %error, "last good content is not used");
                if let LoadError::Damaged(_) = error
                    && let Err(error) = last_good.set_aside(generation)
                {
                    tracing::warn!(generation, %error, "damaged content could not be set aside");
                }
                return None;
            }
        };
        let update = Update {
            version: snapshot.version(self.view),
            changed: replica::differing(None, &snapshot),
            snapshot,
        };
        match self.hand_over(&update) {
            Ok((version, _)) => Some(version),
            Err(refusal) => {
                tracing::warn!(generation, rejection = %refusal.rejection, "last good content is refused");
                None
            }
        }
    }

    /// Goes on with the recommended weights on disk, if they are of the configuration that runs.
    fn restore_weights(&mut self) {
        let kept = self.last_weights.as_ref().and_then(LastWeights::load);
        let config = self.running.as_ref().map(Snapshot::lineage);
        let Some(kept) = kept.filter(|kept| Some(kept.config) == config) else {
            return;
        };
        let offer = Offer {
            weights: kept.rows,
            ..Offer::whole(kept.version)
        };
        match self.weights.apply(&offer, tokio::time::Instant::now()) {
            Ok(changes) => self.hand_weights_over(&changes),
            Err(refusal) => {
                tracing::warn!(rejection = %refusal.rejection, "recommended weights on disk are not used");
            }
        }
    }

    /// Judges an update, hands it to the consumer and writes it to disk. Refused, nothing is changed.
    pub(crate) fn apply(&mut self, offer: Offer) -> Result<Applied, Refusal> {
        let began = Instant::now();
        let target = offer.target;
        if target.lane == Lane::Weights {
            return self.apply_weights(&offer, began);
        }
        let judged = catch_unwind(AssertUnwindSafe(|| {
            replica::judge(self.running.as_ref(), self.view, offer)
        }));
        let update = judged.unwrap_or_else(|_| Err(panicked(target)))?;
        self.try_out(update, began)
    }

    fn apply_weights(&mut self, offer: &Offer, began: Instant) -> Result<Applied, Refusal> {
        let changes = self.weights.apply(offer, tokio::time::Instant::now())?;
        let validated = Instant::now();
        self.weights_unsaved = true;
        self.hand_weights_over(&changes);
        Ok(Applied {
            version: offer.target,
            validate: validated - began,
            apply: validated.elapsed(),
            warnings: Vec::new(),
            persisted: false,
        })
    }

    fn hand_weights_over(&mut self, changes: &[WeightChange]) {
        if changes.is_empty() {
            return;
        }
        let consumer = &mut self.consumer;
        if catch_unwind(AssertUnwindSafe(|| consumer.weigh(changes))).is_err() {
            tracing::error!("taking recommended weights panicked");
        }
    }

    /// Ends the weights whose time has come.
    pub(crate) fn expire(&mut self, now: tokio::time::Instant) {
        let ended = self.weights.expire(now);
        if !ended.is_empty() {
            tracing::info!(
                ended = ended.len(),
                "recommended weights expired: the operators' count again"
            );
        }
        self.hand_weights_over(&ended);
    }

    /// How the recommended weights stand.
    pub(crate) fn weights_status(&self) -> WeightsStatus {
        let mut status = WeightsStatus::default();
        self.weights.describe(&mut status);
        status
    }

    /// Writes the recommended weights to disk, if others are there.
    pub(crate) fn save_weights(&mut self) {
        let Some((disk, config)) = self
            .last_weights
            .as_ref()
            .zip(self.running.as_ref().map(Snapshot::lineage))
            .filter(|_| self.weights_unsaved)
        else {
            return;
        };
        let kept = self.weights.rows(tokio::time::Instant::now());
        let saved = kept.map(|(version, rows)| {
            disk.save(&Kept {
                config,
                version,
                rows,
            })
        });
        match saved {
            Some(Err(error)) => tracing::warn!(%error, "recommended weights could not be written"),
            Some(Ok(())) | None => self.weights_unsaved = false,
        }
    }

    /// Takes a content unless the process died with it before, and leaves word in case it dies with it now.
    fn try_out(&mut self, update: Update, began: Instant) -> Result<Applied, Refusal> {
        let version = update.version;
        if let Some(last_good) = &mut self.last_good {
            if last_good.trial.is_quarantined(&version) {
                return Err(crashed(version));
            }
            last_good.trial.begin(&version);
        }
        let taken = self.take(update, began);
        if taken.is_err()
            && let Some(last_good) = &mut self.last_good
        {
            last_good.trial.withdraw(&version);
        }
        taken
    }

    /// The process has lived with what it runs for long enough.
    pub(crate) fn pass(&mut self) {
        if let Some(last_good) = &mut self.last_good {
            last_good.trial.pass();
        }
    }

    /// The process ends as it was told to.
    pub(crate) fn stop(&mut self) {
        self.save_weights();
        if let Some(last_good) = &mut self.last_good {
            last_good.trial.stop();
        }
    }

    /// Runs on under the control plane's version of the same content; `None` when that runs already.
    pub(crate) fn adopt(&mut self, target: Version) -> Result<Option<Applied>, Fault> {
        let began = Instant::now();
        if target.lane == Lane::Weights {
            return self.weights.adopt(target).map(|()| None);
        }
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
        let before = self.running.as_ref().map(|running| running.version(self.view));
        let (version, mut warnings) = self.hand_over(&update)?;
        let apply = validated.elapsed();
        warnings.truncate(MAX_WARNINGS - 1);
        let persisted = match self
            .last_good
            .as_mut()
            .map(|disk| disk.save(before.as_ref(), &update))
        {
            None => false,
            Some(Ok(())) => true,
            Some(Err(error)) => {
                tracing::warn!(%error, "last good content could not be written");
                warnings.push(format!("what runs could not be written to disk: {error}"));
                false
            }
        };
        Ok(Applied {
            version,
            validate: validated - began,
            apply,
            warnings,
            persisted,
        })
    }

    fn hand_over(&mut self, update: &Update) -> Result<(Version, Vec<String>), Refusal> {
        let version = update.version;
        let consumer = &mut self.consumer;
        let accepted = catch_unwind(AssertUnwindSafe(|| consumer.accept(update)));
        let refused = |rejection: Rejection| Refusal::new(NackReason::Invalid, Some(version), rejection);
        let warnings = accepted.map_err(|_| panicked(version))?.map_err(refused)?;
        let before = self.running.replace(update.snapshot.clone());
        if before.is_some_and(|before| before.lineage() != version.lineage) {
            let ended = self.weights.clear();
            self.hand_weights_over(&ended);
        }
        Ok((version, warnings))
    }

    /// Writes what runs to disk; `false` when there is no place for it, or it cannot be written.
    pub(crate) fn persist(&mut self) -> bool {
        let (Some(last_good), Some(running)) = (&mut self.last_good, &self.running) else {
            return false;
        };
        match last_good.save_whole(running) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "last good content could not be written");
                false
            }
        }
    }
}

fn crashed(target: Version) -> Refusal {
    let message = "the process died with this content again and again";
    let violation = Violation::new("", ViolationCode::Invalid, message);
    Refusal::new(NackReason::Crashed, Some(target), violation)
}

fn panicked(target: Version) -> Refusal {
    let violation = Violation::new("", ViolationCode::Invalid, "building it panicked");
    Refusal::new(NackReason::Internal, Some(target), violation)
}
