//! No bytes of a control plane break what reads them.

use proptest::prelude::*;
use prost::Message as _;
use tyrscale_model::{Digest, Lane, Lineage, Revision, Version, View, wire};
use tyrscale_proto::v1::{self, StreamConfigResponse, stream_config_response::Message};

use super::session::Session;

const LIMIT: usize = 1 << 20;

fn version(revision: u64) -> Option<v1::Version> {
    Some(wire::version_to_wire(&Version {
        lane: Lane::Config,
        lineage: Lineage([7; 16]),
        revision: Revision(revision),
        digest: Digest([9; 32]),
    }))
}

fn encoded(message: Message, nonce: u64) -> Vec<u8> {
    let message = Some(message);
    StreamConfigResponse { message, nonce }.encode_to_vec()
}

fn welcome() -> Vec<u8> {
    encoded(Message::Welcome(v1::Welcome::default()), 0)
}

/// What a control plane may say, so that damage to it reaches deep.
fn said() -> Vec<Vec<u8>> {
    let delta = v1::Delta {
        base: version(1),
        target: version(2),
        removals: vec![v1::ResourceRef {
            kind: 1,
            id: "eth".to_owned(),
        }],
        ..v1::Delta::default()
    };
    let chunk = v1::UpdateChunk {
        target: version(2),
        count: 1,
        ..v1::UpdateChunk::default()
    };
    let heartbeat = v1::Heartbeat {
        head: version(2).into_iter().collect(),
    };
    vec![
        welcome(),
        encoded(Message::Delta(delta), 1),
        encoded(Message::Chunk(chunk), 1),
        encoded(Message::Heartbeat(heartbeat), 0),
    ]
}

/// Reads messages as the stream does.
fn read(messages: &[Vec<u8>]) {
    let mut session = Session::new(View::ALL, true, LIMIT);
    for bytes in messages {
        if let Ok(response) = StreamConfigResponse::decode(bytes.as_slice()) {
            drop(session.receive(response));
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)) {
        let all: Vec<_> = std::iter::once(welcome()).chain(messages).collect();
        read(&all);
    }

    #[test]
    fn no_damage_makes_it_panic(
        which in 0_usize..4,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = said().swap_remove(which);
        for (at, byte) in damage.into_iter().filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read(&[welcome(), bytes.clone(), bytes]);
    }
}
