//! A subscriber that does not understand what the newest version needs.

use tyrscale_model::{Feature, Features, Lane, Violation, ViolationCode, wire};
use tyrscale_proto::v1::{NackReason, SyncState};

use super::Stream;
use crate::{discovery::session::Session, fleet::Refusal};

impl Stream<'_> {
    /// Notes, once a version, that the subscriber is held because it lacks something: it counts as one that refused what
    /// it was not even sent, so that a rollout goes on without it and whoever waits is told.
    pub(super) fn note_unable(&mut self, lane: Lane) {
        let is_held = self.lanes.get(lane).map(Session::state) == Some(SyncState::Held);
        if lane != Lane::Config || !is_held {
            return;
        }
        let version = self.target(lane);
        if self.unable == Some(version) {
            return;
        }
        let lacking = self.content(lane).lacking();
        if lacking == Features::default() {
            return;
        }
        self.unable = Some(version);
        let violations: Vec<_> = lacking.iter().map(|feature| self.lacks(feature)).collect();
        tracing::warn!(
            node.id = %self.subscriber.node.id,
            revision = %version.revision,
            features = ?lacking.words(),
            "subscriber lacks what the configuration needs"
        );
        let refusal = Refusal {
            version,
            reason: NackReason::Unsupported,
            violations: violations.iter().map(wire::violation_to_wire).collect(),
        };
        self.membership.refused(lane, refusal);
    }

    /// A feature that it lacks, and a resource that needs it.
    fn lacks(&self, feature: Feature) -> Violation {
        let message = format!("needs the feature {feature}, which the node does not understand");
        let violation = Violation::new("", ViolationCode::Unsupported, message);
        let seen = |key: &&tyrscale_model::ResourceKey| self.view().contains(key.kind);
        let mut needing = self
            .head
            .0
            .snapshot
            .needs()
            .filter(|(needed, _)| *needed == feature);
        match needing.find_map(|(_, key)| Some(key).filter(seen)) {
            Some(key) => violation.of(key.clone()),
            None => violation,
        }
    }
}
