//! No bytes of a subscriber break what reads them.

use proptest::prelude::*;
use prost::Message as _;
use tokio::time::{Duration, Instant};
use tyrscale_model::{Digest, Lineage, Revision, Version, wire};
use tyrscale_proto::v1::{self, stream_config_request::Message};

use super::{hello, scrub, session::Session};

/// What a subscriber may say, so that damage to it reaches deep.
fn said() -> Vec<Vec<u8>> {
    let version = Version {
        lane: tyrscale_model::Lane::Config,
        lineage: Lineage([7; 16]),
        revision: Revision(3),
        digest: Digest([9; 32]),
    };
    let version = Some(wire::version_to_wire(&version));
    let node = v1::Node {
        id: "gw-1".to_owned(),
        labels: [("zone".to_owned(), "a".to_owned())].into(),
        ..v1::Node::default()
    };
    let hello = v1::Hello {
        node: Some(node),
        protocol_min: 1,
        protocol_max: 1,
        have: version.clone().into_iter().collect(),
        ..v1::Hello::default()
    };
    let ack = v1::Ack {
        nonce: 1,
        running: version.clone(),
        warnings: vec!["a warning".to_owned()],
        ..v1::Ack::default()
    };
    let nack = v1::Nack {
        nonce: 1,
        running: version,
        violations: vec![v1::Violation::default()],
        ..v1::Nack::default()
    };
    [Message::Hello(hello), Message::Ack(ack), Message::Nack(nack)]
        .map(|message| {
            v1::StreamConfigRequest {
                message: Some(message),
            }
            .encode_to_vec()
        })
        .to_vec()
}

/// Reads bytes as the stream does.
fn read(bytes: &[u8]) {
    let Ok(request) = v1::StreamConfigRequest::decode(bytes) else {
        return;
    };
    let now = Instant::now();
    let mut session = Session::new(None, Vec::new(), Duration::from_secs(1));
    let running = |version: Option<&v1::Version>| version.and_then(wire::version_from_wire);
    match request.message {
        Some(Message::Hello(hello)) => drop(hello::read(hello)),
        Some(Message::Ack(ack)) => {
            session.ack(running(ack.running.as_ref()));
            scrub::texts(ack.warnings);
        }
        Some(Message::Nack(nack)) => {
            let reason = nack.reason();
            session.nack(running(nack.running.as_ref()), reason, now);
            scrub::violations(nack.violations);
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read(&bytes);
    }

    #[test]
    fn no_damage_makes_it_panic(
        which in 0_usize..3,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = said().swap_remove(which);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        read(&bytes);
    }
}
