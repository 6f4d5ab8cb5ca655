//! The lanes of one stream: each has a session of its own, and their updates are numbered together.

use std::time::Duration;

use tokio::time::Instant;
use tyrscale_model::{Lane, Version};

use super::{
    hello::Subscriber,
    session::{Session, Unanswered},
};

/// Why a stream must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    #[error("the nonce was not sent yet")]
    FutureNonce,
    #[error("the update was not answered in time")]
    Unanswered,
}

#[derive(Debug)]
struct Followed {
    lane: Lane,
    session: Session,
    /// Of the update that is in flight.
    nonce: u64,
}

/// The lanes a subscriber follows.
#[derive(Debug)]
pub(crate) struct Lanes {
    followed: Vec<Followed>,
    last_nonce: u64,
    stale: u64,
}

impl Lanes {
    /// Those of a subscriber that has said what it runs in each.
    pub(crate) fn new(subscriber: &Subscriber, ack_deadline: Duration) -> Self {
        let session = |lane: &Lane| {
            let of_lane = |version: &&Version| version.lane == *lane;
            let running = subscriber.have.iter().find(of_lane).copied();
            let quarantined = subscriber.quarantined.iter().filter(of_lane).copied().collect();
            Followed {
                lane: *lane,
                session: Session::new(running, quarantined, ack_deadline),
                nonce: 0,
            }
        };
        Self {
            followed: subscriber.lanes.iter().map(session).collect(),
            last_nonce: 0,
            stale: 0,
        }
    }

    /// Those that are followed.
    pub(crate) fn followed(&self) -> impl Iterator<Item = (Lane, &Session)> {
        self.followed
            .iter()
            .map(|followed| (followed.lane, &followed.session))
    }

    /// The session of a lane, if it is followed.
    pub(crate) fn get(&self, lane: Lane) -> Option<&Session> {
        let followed = self.followed.iter().find(|followed| followed.lane == lane)?;
        Some(&followed.session)
    }

    /// As [`Lanes::get`].
    pub(crate) fn get_mut(&mut self, lane: Lane) -> Option<&mut Session> {
        let followed = self.followed.iter_mut().find(|followed| followed.lane == lane)?;
        Some(&mut followed.session)
    }

    /// Numbers the update in flight of a lane.
    pub(crate) fn number(&mut self, lane: Lane) -> u64 {
        self.last_nonce += 1;
        if let Some(followed) = self.followed.iter_mut().find(|followed| followed.lane == lane) {
            followed.nonce = self.last_nonce;
        }
        self.last_nonce
    }

    /// The lane whose update in flight the subscriber answers; `None`: it answers an earlier message.
    ///
    /// # Errors
    /// [`Breach::FutureNonce`].
    pub(crate) fn answered(&mut self, nonce: u64) -> Result<Option<Lane>, Breach> {
        if nonce > self.last_nonce {
            return Err(Breach::FutureNonce);
        }
        let awaited = self
            .followed
            .iter()
            .find(|followed| followed.nonce == nonce && followed.session.is_in_flight());
        if awaited.is_none() {
            self.stale = self.stale.saturating_add(1);
        }
        Ok(awaited.map(|followed| followed.lane))
    }

    /// How many answers to earlier messages were ignored.
    pub(crate) const fn stale_answers(&self) -> u64 {
        self.stale
    }

    /// When to call [`Lanes::on_time`] and look for updates again if nothing happens before.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let times = self.followed.iter().map(|followed| followed.session.wake_at());
        times.flatten().min()
    }

    /// Time has passed.
    ///
    /// # Errors
    /// [`Breach::Unanswered`] when the second deadline of an update passed.
    pub(crate) fn on_time(&mut self, now: Instant) -> Result<(), Breach> {
        for followed in &mut self.followed {
            followed
                .session
                .on_time(now)
                .map_err(|Unanswered| Breach::Unanswered)?;
        }
        Ok(())
    }

    /// A message has been waiting to be sent for too long.
    pub(crate) fn stall(&mut self) {
        for followed in &mut self.followed {
            followed.session.stall();
        }
    }
}

#[cfg(test)]
mod tests {
    use tyrscale_model::{Digest, Lineage, Revision, View};
    use tyrscale_proto::v1::{self, SyncState};

    use super::*;
    use crate::discovery::{
        resume::{Difference, Offer},
        update::Format,
    };

    const DEADLINE: Duration = Duration::from_secs(30);

    fn version(lane: Lane, revision: u64) -> Version {
        Version {
            lane,
            lineage: Lineage([1; 16]),
            revision: Revision(revision),
            digest: Digest([1; 32]),
        }
    }

    fn offer(target: Version) -> Offer<'static> {
        Offer {
            target,
            difference: &|_| Difference::Small,
            nothing: &|| Digest([0; 32]),
            lacking: None,
            takes_over: false,
        }
    }

    fn both() -> Lanes {
        let subscriber = Subscriber {
            node: v1::Node::default(),
            view: View::ALL,
            selection: tyrscale_model::Selection::default(),
            lanes: Lane::ALL.to_vec(),
            have: Lane::ALL.map(|lane| version(lane, 1)).to_vec(),
            quarantined: Vec::new(),
            features: tyrscale_model::Features::default(),
            format: Format {
                max_message: 0,
                packed: false,
                terse: false,
            },
        };
        Lanes::new(&subscriber, DEADLINE)
    }

    fn send(lanes: &mut Lanes, lane: Lane, revision: u64, now: Instant) -> Option<u64> {
        let session = lanes.get_mut(lane).unwrap();
        session.next_update(&offer(version(lane, revision)), now)?;
        Some(lanes.number(lane))
    }

    #[test]
    fn each_lane_has_an_update_in_flight_and_nonces_are_dense_over_both() {
        let t0 = Instant::now();
        let mut lanes = both();
        assert_eq!(send(&mut lanes, Lane::Config, 2, t0), Some(1));
        assert_eq!(send(&mut lanes, Lane::Weights, 2, t0), Some(2));
        assert_eq!(send(&mut lanes, Lane::Weights, 3, t0), None);
        assert_eq!(lanes.answered(2), Ok(Some(Lane::Weights)));
        lanes
            .get_mut(Lane::Weights)
            .unwrap()
            .ack(Some(version(Lane::Weights, 2)));
        let later = t0 + Duration::from_secs(1);
        assert_eq!(send(&mut lanes, Lane::Weights, 3, later), Some(3));
        assert_eq!(lanes.answered(1), Ok(Some(Lane::Config)), "still in flight");
    }

    #[test]
    fn an_old_nonce_changes_nothing_and_one_from_the_future_is_a_breach() {
        let t0 = Instant::now();
        let mut lanes = both();
        send(&mut lanes, Lane::Config, 2, t0);
        lanes
            .get_mut(Lane::Config)
            .unwrap()
            .ack(Some(version(Lane::Config, 2)));
        assert_eq!(lanes.answered(1), Ok(None));
        assert_eq!(lanes.answered(0), Ok(None));
        assert_eq!(lanes.stale_answers(), 2);
        assert_eq!(lanes.answered(2), Err(Breach::FutureNonce));
    }

    #[test]
    fn one_lane_that_is_not_answered_ends_the_stream() {
        let t0 = Instant::now();
        let mut lanes = both();
        send(&mut lanes, Lane::Weights, 2, t0);
        assert_eq!(lanes.wake_at(), Some(t0 + DEADLINE));
        assert_eq!(lanes.on_time(t0 + DEADLINE), Ok(()));
        assert_eq!(lanes.get(Lane::Weights).unwrap().state(), SyncState::Stalled);
        assert_eq!(lanes.on_time(t0 + 2 * DEADLINE), Err(Breach::Unanswered));
    }
}
