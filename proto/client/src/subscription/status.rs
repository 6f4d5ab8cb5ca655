//! How a subscription stands.

use tokio::time::Instant;
use tyrscale_model::{Lane, Version};

use super::{Refusal, WeightsStatus};

/// How a subscription stands. `Default` is its state before anything happened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscriptionStatus {
    /// Whether a stream stands.
    pub connected: bool,
    /// Since when `connected` is what it is; none before the first connection was tried.
    pub connected_since: Option<Instant>,
    /// What runs here.
    pub running: Option<Version>,
    /// Since when it runs.
    pub running_since: Option<Instant>,
    /// When the control plane last confirmed that what runs here is the newest.
    pub current_at: Option<Instant>,
    /// The newest version the control plane told of.
    pub head: Option<Version>,
    /// Whether what runs here is on disk.
    pub persisted: bool,
    /// Why the last update was refused; none once one was taken.
    pub last_refusal: Option<Refusal>,
    /// What the process died with again and again, and does not take.
    pub quarantined: Vec<Version>,
    /// Updates taken from the control plane.
    pub updates_applied: u64,
    /// Updates refused.
    pub updates_refused: u64,
    /// How the recommended weights stand; the rest is about the configuration.
    pub weights: WeightsStatus,
}

impl SubscriptionStatus {
    /// `version` runs.
    pub(super) fn note_running(&mut self, version: Version, persisted: bool, now: Instant) {
        self.running = Some(version);
        self.running_since = Some(now);
        self.persisted = persisted;
    }

    /// The control plane has `version`. Of one lineage, a lower revision is old news.
    pub(super) fn note_head(&mut self, version: Version, now: Instant) {
        if version.lane == Lane::Weights {
            self.weights.head = Some(version);
            return;
        }
        let is_old = |head: Version| head.lineage == version.lineage && head.revision > version.revision;
        if !self.head.is_some_and(is_old) {
            self.head = Some(version);
        }
        if self.head.is_some() && self.head == self.running {
            self.current_at = Some(now);
        }
    }

    /// Whether a stream stands.
    pub(super) fn note_connected(&mut self, connected: bool, now: Instant) {
        if self.connected != connected || self.connected_since.is_none() {
            self.connected = connected;
            self.connected_since = Some(now);
        }
    }
}
