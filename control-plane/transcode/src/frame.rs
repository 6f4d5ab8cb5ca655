//! Messages as gRPC carries them: a flag, a length, the bytes. Source: gRPC over HTTP/2, "Length-Prefixed-Message".

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message;
use prost_reflect::DynamicMessage;

const HEADER: usize = 5;

/// The messages, one frame each.
pub(crate) fn encode(messages: &[DynamicMessage]) -> Bytes {
    let sizes = messages.iter().map(|message| HEADER + message.encoded_len());
    let mut bytes = BytesMut::with_capacity(sizes.sum());
    for message in messages {
        bytes.put_u8(0);
        // A request is bounded far below 4 GiB.
        bytes.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
        bytes.put_slice(&message.encode_to_vec());
    }
    bytes.freeze()
}

/// Bytes that are no frames.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service answered with a compressed or cut message")]
pub(crate) struct BadFrame;

/// Takes bytes as they come and gives whole messages.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    held: BytesMut,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next whole message, if it has come.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, BadFrame> {
        let Some((head, rest)) = self.held.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let [flag, length @ ..] = *head;
        if flag != 0 {
            return Err(BadFrame);
        }
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| BadFrame)?;
        if rest.len() < length {
            return Ok(None);
        }
        self.held.advance(HEADER);
        Ok(Some(self.held.split_to(length).freeze()))
    }

    /// Whether nothing is left over.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_come_back_however_the_bytes_are_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5),
            step in 1usize..20,
        ) {
            let mut bytes = Vec::new();
            for message in &messages {
                bytes.push(0);
                bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
                bytes.extend(message);
            }
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for part in bytes.chunks(step) {
                decoder.push(part);
                while let Some(message) = decoder.next().unwrap() {
                    found.push(message.to_vec());
                }
            }
            prop_assert_eq!(found, messages);
            prop_assert!(decoder.is_empty());
        }

        #[test]
        fn any_bytes_are_taken_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next() {}
        }
    }
}
