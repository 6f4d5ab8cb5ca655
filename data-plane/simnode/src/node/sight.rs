//! What a node saw.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::SimNode;
use crate::load::Load;
use crate::traffic::CapturedRequest;

/// What reached the node. Requests to `/sim/…` are not counted.
impl SimNode {
    /// The last 10,000 requests, oldest first; fewer when their bodies are large.
    #[must_use]
    pub fn captured(&self) -> Vec<Arc<CapturedRequest>> {
        self.shared.traffic.recent()
    }

    /// HTTP requests received since the start.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.shared.traffic.hits()
    }

    /// Calls of `method` received, each member of a batch counted.
    #[must_use]
    pub fn hits_of(&self, method: &str) -> u64 {
        self.shared.traffic.hits_of(method)
    }

    /// Calls received by method.
    #[must_use]
    pub fn hits_by_method(&self) -> BTreeMap<String, u64> {
        self.shared.traffic.by_method()
    }

    /// Connections accepted since the start.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.load().accepted
    }

    /// What the node holds at this moment, and what came of all it held.
    #[must_use]
    pub fn load(&self) -> Load {
        self.shared.meter.read()
    }

    /// Returns once the load `holds`. The caller bounds the wait.
    pub async fn wait_for_load(&self, holds: impl FnMut(&Load) -> bool) {
        self.shared.meter.wait_for(holds).await;
    }

    /// Returns once `count` HTTP requests have arrived since the start. The caller bounds the wait.
    pub async fn wait_for_hits(&self, count: u64) {
        self.shared
            .traffic
            .wait_until(|traffic| traffic.hits() >= count)
            .await;
    }

    /// Returns once `count` calls of `method` have arrived since the start. The caller bounds the wait.
    pub async fn wait_for_hits_of(&self, method: &str, count: u64) {
        self.shared
            .traffic
            .wait_until(|traffic| traffic.hits_of(method) >= count)
            .await;
    }
}
