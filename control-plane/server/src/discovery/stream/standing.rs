//! How the subscriber stands, for the fleet.

use std::borrow::Cow;

use tyrscale_model::Lane;
use tyrscale_proto::v1::SyncState;

use super::Stream;
use crate::fleet::Standing;

impl Stream<'_> {
    /// Records how the subscriber stands in its lanes.
    pub(super) fn report(&mut self) {
        for lane in Lane::ALL {
            let target = self.target(lane);
            let Some(session) = self.lanes.get(lane) else {
                continue;
            };
            let held = match lane {
                Lane::Config => self.held,
                Lane::Weights => "",
            };
            let is_held = session.state() == SyncState::Synced && !held.is_empty();
            let standing = Standing {
                state: if is_held { SyncState::Held } else { session.state() },
                reason: Cow::Borrowed(if is_held { held } else { session.reason() }),
                running: session.running(),
                target,
            };
            self.membership.stands(lane, standing);
        }
    }
}
