//! Nodes as another control plane tells of them.

use std::{borrow::Cow, collections::BTreeMap};

use tokio_util::sync::CancellationToken;
use tyrscale_model::{Features, Lane, Selection, UnixMillis, wire};
use tyrscale_proto::v1;

use super::{Abilities, LaneRecord, Notes, Process, Record, Refusal, Session, Standing};

/// What is told, by process. Of a process that two tell of, the one that is connected or was seen last counts.
pub(super) fn records<'a>(statuses: impl Iterator<Item = &'a v1::NodeStatus>) -> BTreeMap<Process, Record> {
    let mut records: BTreeMap<Process, Record> = BTreeMap::new();
    for (process, record) in statuses.filter_map(record) {
        let known = records.get(&process);
        let recency = |record: &Record| (record.session.is_some(), record.last_seen);
        if known.is_none_or(|known| recency(known) < recency(&record)) {
            records.insert(process, record);
        }
    }
    records
}

fn record(status: &v1::NodeStatus) -> Option<(Process, Record)> {
    let node = status.node.clone()?;
    let process = Process {
        node: node.id.clone(),
        boot: node.boot_id.clone(),
    };
    let session = status.connected_since.is_some().then(|| Session {
        serial: 0,
        replaced: CancellationToken::new(),
    });
    let lanes = status.lanes.iter().filter_map(lane_record).collect();
    let record = Record {
        node,
        server_id: status.server_id.as_str().into(),
        peer: status.peer.clone(),
        session,
        connected_since: millis(status.connected_since.as_ref()),
        last_seen: millis(status.last_seen.as_ref()),
        lanes,
        notes: Notes {
            warnings: status.warnings.clone(),
            persisted: status.persisted,
        },
        reconnects: status.reconnects,
        abilities: Abilities {
            features: Features::of_words(status.features.iter().map(String::as_str)),
            view: wire::view_from_wire(Some(&v1::Selector {
                kinds: status.kinds.clone(),
                ..v1::Selector::default()
            })),
            selection: Selection::of(status.select_labels.clone()),
        },
    };
    Some((process, record))
}

fn lane_record(status: &v1::LaneStatus) -> Option<(Lane, LaneRecord)> {
    let lane = wire::lane_from_wire(status.lane)?;
    let version = |message: &Option<v1::Version>| message.as_ref().and_then(wire::version_from_wire);
    let standing = version(&status.target).map(|target| Standing {
        state: status.state(),
        reason: Cow::Owned(status.reason.clone()),
        running: version(&status.running),
        target,
    });
    let refusal = status.last_rejection.as_ref().and_then(|rejection| {
        let refusal = Refusal {
            version: version(&rejection.version)?,
            reason: rejection.reason(),
            violations: rejection.violations.clone(),
        };
        Some((refusal, millis(rejection.time.as_ref())))
    });
    let record = LaneRecord {
        standing,
        state_since: millis(status.state_since.as_ref()),
        refusal,
    };
    Some((lane, record))
}

fn millis(time: Option<&prost_types::Timestamp>) -> UnixMillis {
    let Some(time) = time else { return UnixMillis(0) };
    let seconds = u64::try_from(time.seconds).unwrap_or_default();
    let millis = u64::try_from(time.nanos / 1_000_000).unwrap_or_default();
    UnixMillis(seconds.saturating_mul(1000).saturating_add(millis))
}

#[cfg(test)]
mod tests {
    use tyrscale_model::{Digest, Lineage, Revision, Version};

    use super::{
        super::{Fleet, Membership},
        *,
    };

    fn version(revision: u64) -> Version {
        Version {
            lane: Lane::Config,
            lineage: Lineage([1; 16]),
            revision: Revision(revision),
            digest: Digest([2; 32]),
        }
    }

    fn join(fleet: &Fleet, id: &str) -> Membership {
        let node = v1::Node {
            id: id.to_owned(),
            boot_id: "boot".to_owned(),
            role: v1::NodeRole::Gateway.into(),
            ..Default::default()
        };
        let mut member = fleet.join(node, "peer".to_owned()).unwrap();
        let standing = Standing {
            state: v1::SyncState::Synced,
            reason: Cow::Borrowed(""),
            running: Some(version(7)),
            target: version(7),
        };
        member.stands(Lane::Config, standing);
        member
    }

    #[test]
    fn what_another_control_plane_sees_counts_as_if_it_was_seen_here() {
        let (here, there) = (Fleet::new("here"), Fleet::new("there"));
        let _one = join(&here, "one");
        let two = join(&there, "two");
        let refusal = Refusal {
            version: version(8),
            reason: v1::NackReason::Invalid,
            violations: Vec::new(),
        };
        two.refused(Lane::Config, refusal);
        here.see_elsewhere(there.own().iter());
        assert_eq!(here.list(), [here.own(), there.own()].concat());
        assert_eq!(here.get("two").unwrap().server_id, "there");
        let gateways = here.gateways(&version(8));
        assert_eq!((gateways.len(), gateways[0].runs), (2, false));
        assert_eq!(gateways[1].refused.as_deref(), Some("INVALID"));
        let progress = here.progress(Lineage([1; 16]), Revision(8));
        assert_eq!((progress.reached, progress.refused), (false, true));
        assert_eq!(progress.blockers, ["one", "two"]);
        assert_eq!(here.connected(), 1, "its own streams");
    }

    #[test]
    fn who_moved_is_listed_once_where_it_is_connected() {
        let (here, there) = (Fleet::new("here"), Fleet::new("there"));
        drop(join(&here, "one"));
        let member = join(&there, "one");
        here.see_elsewhere(there.own().iter());
        assert_eq!(here.list(), there.own());
        drop(member);
        let _back = join(&here, "one");
        here.see_elsewhere(there.own().iter());
        assert_eq!(here.list(), here.own());
        assert!(!here.list()[0].duplicate_id);
    }
}
