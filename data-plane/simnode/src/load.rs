//! What a node holds at a time: connections and requests, counted by guards.

use std::sync::Arc;

use tokio::sync::watch;

/// Connections and requests, at one moment and since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Connections open.
    pub open: u64,
    /// Connections that the client closed, since the start.
    pub closed_by_client: u64,
    /// Requests received whole and not answered whole. Those to `/sim/…` are not counted.
    pub in_flight: u64,
    /// The most that were in flight at once.
    pub most_in_flight: u64,
    /// Requests whose client left before the answer was whole.
    pub abandoned: u64,
}

/// Counts, and a signal for those who wait for them.
#[derive(Debug, Default)]
pub(crate) struct Meter(watch::Sender<Load>);

impl Meter {
    pub(crate) fn read(&self) -> Load {
        *self.0.borrow()
    }

    pub(crate) async fn wait_for(&self, holds: impl FnMut(&Load) -> bool) {
        // The sender lives in `self`, so the wait ends only when it holds.
        self.0.subscribe().wait_for(holds).await.ok();
    }

    pub(crate) fn connection(self: &Arc<Self>) -> Connection {
        self.0.send_modify(|load| {
            load.accepted += 1;
            load.open += 1;
        });
        Connection {
            meter: Arc::clone(self),
            by_client: false,
        }
    }

    pub(crate) fn request(self: &Arc<Self>) -> InFlight {
        self.0.send_modify(|load| {
            load.in_flight += 1;
            load.most_in_flight = load.most_in_flight.max(load.in_flight);
        });
        InFlight {
            meter: Arc::clone(self),
            is_answered: false,
        }
    }
}

/// A connection that is open until dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    meter: Arc<Meter>,
    by_client: bool,
}

impl Connection {
    pub(crate) fn closed_by_client(mut self) {
        self.by_client = true;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let by_client = u64::from(self.by_client);
        self.meter.0.send_modify(|load| {
            load.open -= 1;
            load.closed_by_client += by_client;
        });
    }
}

/// A request that is in flight until dropped; abandoned unless it was told to be answered.
#[derive(Debug)]
pub(crate) struct InFlight {
    meter: Arc<Meter>,
    is_answered: bool,
}

impl InFlight {
    pub(crate) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let abandoned = u64::from(!self.is_answered);
        self.meter.0.send_modify(|load| {
            load.in_flight -= 1;
            load.abandoned += abandoned;
        });
    }
}
