//! Bodies compressed as they pass.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

/// Largest window, as a power of two.
const WINDOW_BITS: u8 = 15;
/// The least room made for coded bytes.
const ROOM: usize = 4 * 1024;

/// Makes gzip of a body part by part. What a part gives is enough to read all that came with it, so that nothing
/// waits for the next.
#[derive(Debug)]
pub(crate) struct Encoder(Compress);

impl Encoder {
    /// The fastest: JSON shrinks well with little work.
    pub(crate) fn new() -> Self {
        Self(Compress::new_gzip(Compression::fast(), WINDOW_BITS))
    }

    /// The coded bytes of the next part; `None` when they cannot be made.
    pub(crate) fn part(&mut self, part: &[u8]) -> Option<Bytes> {
        self.run(part, FlushCompress::Sync)
    }

    /// The coded bytes of the last part and the end.
    pub(crate) fn end(&mut self, part: &[u8]) -> Option<Bytes> {
        self.run(part, FlushCompress::Finish)
    }

    fn run(&mut self, mut part: &[u8], flush: FlushCompress) -> Option<Bytes> {
        let mut coded = Vec::with_capacity(ROOM.max(part.len() / 4));
        loop {
            coded.reserve(ROOM);
            let room = coded.spare_capacity_mut().len() as u64;
            let (read, written) = (self.0.total_in(), self.0.total_out());
            let status = self.0.compress_vec(part, &mut coded, flush).ok()?;
            let consumed = usize::try_from(self.0.total_in() - read).ok()?;
            part = part.get(consumed..)?;
            let is_full = self.0.total_out() - written == room;
            if status == Status::StreamEnd || (part.is_empty() && !is_full) {
                return Some(coded.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::coding::{Coding, Decoder};

    proptest! {
        #[test]
        fn each_part_can_be_read_at_once(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9_000), 0..6),
        ) {
            let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(Coding::Gzip, 1 << 20));
            let mut sent = Vec::new();
            for part in &parts {
                decoder.feed(&encoder.part(part).unwrap()).unwrap();
                sent.extend_from_slice(part);
                prop_assert_eq!(decoder.decoded(), sent.as_slice());
            }
            decoder.feed(&encoder.end(b"end").unwrap()).unwrap();
            sent.extend_from_slice(b"end");
            prop_assert_eq!(decoder.finish().unwrap(), sent);
        }
    }

    #[test]
    fn json_shrinks() {
        let body = r#"{"address":"0x0000000000000000000000000000000000000000"}"#.repeat(100);
        assert!(Encoder::new().end(body.as_bytes()).unwrap().len() < body.len() / 20);
    }
}
