//! What an attempt takes of an upstream, and gives back.

use std::sync::Arc;
use std::time::Instant;

use tyrscale_balance::{Breaker, BreakerState, CoolDownTicket, HealthTicket, Permit};

use super::{Endpoint, Spec};
use crate::queue::Held;

/// What an attempt takes of an endpoint.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) admission: Admission,
    pub(crate) held: Held,
    /// `None`: in good standing.
    pub(crate) rests: Option<CoolDownTicket>,
    /// `None` when requests do not count in the health.
    pub(crate) health: Option<HealthTicket>,
}

/// Leave of an endpoint's breaker to send one request; dropped, it says nothing about the endpoint.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) permit: Option<Permit>,
    /// Whether a probe's word was taken for more than the breaker's.
    pub(super) is_vouched: bool,
}

impl Admission {
    pub(crate) const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The request went well.
    pub(crate) fn succeeded(mut self, now: Instant) {
        if self.is_vouched {
            self.endpoint.health.prove();
        }
        self.settle(|breaker, permit| breaker.on_success(permit, now));
    }

    /// The request failed.
    pub(crate) fn failed(mut self, now: Instant) {
        self.settle(|breaker, permit| breaker.on_failure(permit, now));
    }

    fn settle(&mut self, settle: impl FnOnce(&mut Breaker, Permit) -> Option<BreakerState>) {
        let Some((fuse, permit)) = self.endpoint.fuse.as_ref().zip(self.permit.take()) else {
            return;
        };
        let Some(state) = fuse.settle(|breaker| settle(breaker, permit)) else {
            return;
        };
        if state == BreakerState::Closed {
            self.endpoint.begin_slowly(tokio::time::Instant::now().into_std());
        }
        let Spec {
            route_id,
            upstream_id,
            ..
        } = &self.endpoint.spec;
        tracing::info!(route.id = %route_id, upstream.id = %upstream_id, ?state, "circuit breaker changed");
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.settle(|breaker, permit| {
            breaker.on_cancel(permit, tokio::time::Instant::now().into_std());
            None
        });
    }
}
