//! Rollouts as they are kept.

use std::time::Duration;

use prost::Message;
use tyrscale_model::{Revision, UnixMillis, wire};
use tyrscale_proto::v1;

use super::decide::{Rollout, State};

/// A rollout on disk.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RolloutRecord {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, optional, tag = "2")]
    version: Option<v1::Version>,
    #[prost(uint64, tag = "3")]
    base: u64,
    #[prost(message, optional, tag = "4")]
    policy: Option<v1::RolloutPolicy>,
    #[prost(uint32, tag = "5")]
    stage: u32,
    #[prost(string, repeated, tag = "6")]
    members: Vec<String>,
    #[prost(enumeration = "v1::RolloutState", tag = "7")]
    state: i32,
    #[prost(string, tag = "8")]
    why: String,
    #[prost(bool, tag = "9")]
    is_forced: bool,
    #[prost(uint64, optional, tag = "10")]
    reverted_by: Option<u64>,
    #[prost(uint64, tag = "11")]
    started_ms: u64,
    #[prost(uint64, optional, tag = "12")]
    ended_ms: Option<u64>,
    #[prost(bool, tag = "13")]
    is_revert_due: bool,
}

/// What else there is to remember of what gateways are to run.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Standing {
    /// What the gateways run that no rollout includes, or something before it from which what was released since
    /// follows; absent: nothing was ever held back.
    #[prost(uint64, optional, tag = "1")]
    pub(super) released: Option<u64>,
    #[prost(message, optional, tag = "2")]
    pub(super) freeze: Option<v1::Freeze>,
    /// `released` is what they run, and not something before it.
    #[prost(bool, tag = "4")]
    pub(super) is_exact: bool,
    /// The leadership that drives; see [`crate::leader`].
    #[prost(uint64, tag = "5")]
    pub(super) driver: u64,
}

pub(super) fn encode(rollout: &Rollout) -> Vec<u8> {
    RolloutRecord {
        id: rollout.id,
        version: Some(wire::version_to_wire(&rollout.version)),
        base: rollout.base.0,
        policy: Some(wire::rollout_policy_to_wire(&rollout.policy)),
        stage: u32::try_from(rollout.stage).unwrap_or(u32::MAX),
        members: rollout.members.iter().cloned().collect(),
        state: state_to_wire(rollout.state).into(),
        why: rollout.why.clone(),
        is_forced: rollout.is_forced,
        reverted_by: rollout.reverted_by.map(|revision| revision.0),
        started_ms: rollout.started.0,
        ended_ms: rollout.ended.map(|time| time.0),
        is_revert_due: rollout.is_revert_due,
    }
    .encode_to_vec()
}

/// Reads a rollout; `None` when it is not one that this build wrote.
pub(super) fn decode(bytes: &[u8]) -> Option<Rollout> {
    let record = RolloutRecord::decode(bytes).ok()?;
    let state = match record.state() {
        v1::RolloutState::Running => State::Running,
        v1::RolloutState::Paused => State::Paused,
        v1::RolloutState::Halted => State::Halted,
        v1::RolloutState::Reverted => State::Reverted,
        v1::RolloutState::Succeeded => State::Succeeded,
        v1::RolloutState::Superseded => State::Superseded,
        v1::RolloutState::Unspecified => return None,
    };
    Some(Rollout {
        id: record.id,
        version: wire::version_from_wire(record.version.as_ref()?)?,
        base: Revision(record.base),
        policy: wire::rollout_policy_from_wire(record.policy.as_ref()?).ok()?,
        stage: usize::try_from(record.stage).ok()?,
        members: record.members.into_iter().collect(),
        state,
        why: record.why,
        is_forced: record.is_forced,
        is_revert_due: record.is_revert_due,
        reverted_by: record.reverted_by.map(Revision),
        started: UnixMillis(record.started_ms),
        ended: record.ended_ms.map(UnixMillis),
    })
}

pub(super) const fn state_to_wire(state: State) -> v1::RolloutState {
    match state {
        State::Running => v1::RolloutState::Running,
        State::Paused => v1::RolloutState::Paused,
        State::Halted => v1::RolloutState::Halted,
        State::Reverted => v1::RolloutState::Reverted,
        State::Succeeded => v1::RolloutState::Succeeded,
        State::Superseded => v1::RolloutState::Superseded,
    }
}

/// The milliseconds a duration has.
pub(super) fn since_epoch() -> UnixMillis {
    let now = std::time::SystemTime::now();
    let since = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tyrscale_model::{Digest, Lane, Lineage, Version};

    use super::*;

    fn rollout() -> impl Strategy<Value = Rollout> {
        let state = prop::sample::select(vec![
            State::Running,
            State::Paused,
            State::Halted,
            State::Reverted,
            State::Succeeded,
            State::Superseded,
        ]);
        let policy = prop::sample::select(vec!["1", "label a=b 3s, 10% 1500ms", "50%"]);
        let members = prop::collection::btree_set("[a-z]{1,4}", 0..4);
        let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), 0usize..17);
        let ends = (any::<Option<u64>>(), any::<Option<u64>>(), any::<bool>());
        (state, policy, members, numbers, ends, ".{0,20}").prop_map(
            |(state, policy, members, (id, revision, base, stage), (reverted_by, ended, flag), why)| {
                Rollout {
                    id,
                    version: Version {
                        lane: Lane::Config,
                        lineage: Lineage([3; 16]),
                        revision: Revision(revision),
                        digest: Digest([4; 32]),
                    },
                    base: Revision(base),
                    policy: policy.parse().unwrap(),
                    stage,
                    members,
                    state,
                    why,
                    is_forced: flag,
                    is_revert_due: !flag,
                    reverted_by: reverted_by.map(Revision),
                    started: UnixMillis(7),
                    ended: ended.map(UnixMillis),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_rollout_is_read_back_as_it_was_kept(rollout in rollout()) {
            prop_assert_eq!(decode(&encode(&rollout)), Some(rollout));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            decode(&bytes);
        }
    }
}
