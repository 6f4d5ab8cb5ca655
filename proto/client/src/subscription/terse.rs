//! Deltas that leave out what follows from what runs here, filled in.

use tyrscale_model::{Lane, Version, wire};
use tyrscale_proto::v1::{self, StreamConfigResponse, stream_config_response::Message};

/// The feature that asks for such deltas.
pub(crate) const FEATURE: &str = "terse";

/// Fills in the versions of a delta from what runs in its lane. Where nothing runs, they are filled with zeros and
/// so fit nothing.
pub(crate) fn fill_in(response: &mut StreamConfigResponse, running: impl Fn(Lane) -> Option<Version>) {
    let Some(Message::Delta(delta)) = &mut response.message else {
        return;
    };
    let (Some(base), Some(target)) = (&mut delta.base, &mut delta.target) else {
        return;
    };
    let running = wire::lane_from_wire(base.lane).and_then(running);
    let known = running.as_ref().map_or_else(nothing, wire::version_to_wire);
    if base.lineage.is_empty() {
        base.lineage = known.lineage;
    }
    if base.digest.is_empty() {
        base.digest = known.digest;
    }
    if target.lineage.is_empty() {
        target.lineage = base.lineage.clone();
    }
}

fn nothing() -> v1::Version {
    v1::Version {
        lineage: vec![0; 16].into(),
        digest: vec![0; 32].into(),
        ..v1::Version::default()
    }
}

#[cfg(test)]
mod tests {
    use tyrscale_model::{Digest, Lineage, Revision};

    use super::*;

    fn version(revision: u64) -> Version {
        Version {
            lane: Lane::Weights,
            lineage: Lineage([7; 16]),
            revision: Revision(revision),
            digest: Digest([8; 32]),
        }
    }

    fn filled(delta: v1::Delta, running: Option<Version>) -> v1::Delta {
        let mut response = StreamConfigResponse {
            message: Some(Message::Delta(delta)),
            nonce: 1,
        };
        fill_in(&mut response, |lane| {
            running.filter(|running| running.lane == lane)
        });
        match response.message {
            Some(Message::Delta(delta)) => delta,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_left_out_is_what_runs_and_what_is_said_stays() {
        let whole = v1::Delta {
            base: Some(wire::version_to_wire(&version(3))),
            target: Some(wire::version_to_wire(&version(4))),
            ..v1::Delta::default()
        };
        let mut terse = whole.clone();
        let (base, target) = (terse.base.as_mut().unwrap(), terse.target.as_mut().unwrap());
        base.lineage.clear();
        base.digest.clear();
        target.lineage.clear();
        assert_eq!(filled(terse.clone(), Some(version(3))), whole);
        let mut other = version(3);
        other.lineage = Lineage([1; 16]);
        assert_eq!(filled(whole.clone(), Some(other)), whole);
        let stray = filled(terse, None);
        assert!(
            wire::version_from_wire(&stray.base.unwrap()).is_some(),
            "well-formed, and of nothing"
        );
    }
}
