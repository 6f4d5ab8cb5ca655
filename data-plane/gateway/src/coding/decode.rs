//! Bodies decompressed, within bounds of size and without holding a thread for long.

use flate2::{Decompress, FlushDecompress, Status};

use crate::coding::Coding;

/// How much of a coded body is worked on between two chances for others to run.
const SLICE: usize = 16 * 1024;
/// The least room made for decoded bytes.
const ROOM: usize = 8 * 1024;
/// Largest window of deflate, as a power of two. Source: RFC 1950, section 2.2.
const WINDOW_BITS: u8 = 15;

/// Why a body cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undecodable {
    /// It is larger than allowed.
    TooLarge,
    /// It is not what its coding asks for, or cut short.
    Broken,
}

/// Decodes one coding step by step.
#[derive(Debug)]
pub(crate) struct Decoder {
    coding: Coding,
    /// `None` between two parts of a body, each of which is whole by itself.
    part: Option<Decompress>,
    parts: usize,
    decoded: Vec<u8>,
    limit: usize,
}

impl Decoder {
    /// One that stops at `limit` decoded bytes.
    pub(crate) const fn new(coding: Coding, limit: usize) -> Self {
        Self {
            coding,
            part: None,
            parts: 0,
            decoded: Vec::new(),
            limit,
        }
    }

    /// What has been decoded so far.
    pub(crate) fn decoded(&self) -> &[u8] {
        &self.decoded
    }

    /// Takes the next bytes of the coded body.
    ///
    /// # Errors
    /// [`Undecodable`].
    pub(crate) fn feed(&mut self, mut coded: &[u8]) -> Result<(), Undecodable> {
        while let Some(&first) = coded.first() {
            let part = match self.part.take() {
                Some(part) => part,
                None => self.next_part(first)?,
            };
            coded = self.step(part, coded)?;
        }
        Ok(())
    }

    /// Decodes as far as `part` goes, and keeps it if it is not at its end; what of `coded` is left.
    fn step<'a>(&mut self, mut part: Decompress, coded: &'a [u8]) -> Result<&'a [u8], Undecodable> {
        let mut left = coded;
        loop {
            self.decoded.reserve(ROOM);
            let (read, room) = (part.total_in(), self.decoded.spare_capacity_mut().len());
            let written = part.total_out();
            let status = part
                .decompress_vec(left, &mut self.decoded, FlushDecompress::None)
                .map_err(|_| Undecodable::Broken)?;
            let consumed = usize::try_from(part.total_in() - read).unwrap_or(usize::MAX);
            left = left.get(consumed..).unwrap_or_default();
            if self.decoded.len() > self.limit {
                return Err(Undecodable::TooLarge);
            }
            if status == Status::StreamEnd {
                return Ok(left);
            }
            let is_full = part.total_out() - written == room as u64;
            if left.is_empty() && !is_full {
                self.part = Some(part);
                return Ok(left);
            }
            if consumed == 0 && !is_full {
                return Err(Undecodable::Broken);
            }
        }
    }

    /// gzip may go on with another member; deflate ends once. Sources: RFC 1952, section 2.2; RFC 9110, section
    /// 8.4.1.2, whose zlib format some leave out.
    fn next_part(&mut self, first: u8) -> Result<Decompress, Undecodable> {
        self.parts += 1;
        match self.coding {
            Coding::Gzip => Ok(Decompress::new_gzip(WINDOW_BITS)),
            Coding::Deflate if self.parts == 1 => Ok(Decompress::new(first & 0x0f == 8)),
            Coding::Deflate => Err(Undecodable::Broken),
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`Undecodable::Broken`] when it is cut short.
    pub(crate) fn finish(self) -> Result<Vec<u8>, Undecodable> {
        if self.part.is_none() && self.parts > 0 {
            Ok(self.decoded)
        } else {
            Err(Undecodable::Broken)
        }
    }
}

/// Undoes `codings`, the last of which was applied last, on a body of at most `limit` bytes decoded.
///
/// # Errors
/// [`Undecodable`].
pub(crate) async fn decode(codings: &[Coding], body: &[u8], limit: usize) -> Result<Vec<u8>, Undecodable> {
    let mut body = std::borrow::Cow::Borrowed(body);
    for coding in codings.iter().rev() {
        let mut decoder = Decoder::new(*coding, limit);
        for slice in body.chunks(SLICE) {
            decoder.feed(slice)?;
            tokio::task::yield_now().await;
        }
        body = decoder.finish()?.into();
    }
    Ok(body.into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1024 * 1024;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(coding: Coding, coded: &[u8], step: usize) -> Result<Vec<u8>, Undecodable> {
        let mut decoder = Decoder::new(coding, LIMIT);
        for slice in coded.chunks(step) {
            decoder.feed(slice)?;
        }
        decoder.finish()
    }

    #[test]
    fn deflate_is_read_with_and_without_the_zlib_format() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(b"{}").unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        raw.write_all(b"{}").unwrap();
        for coded in [zlib.finish().unwrap(), raw.finish().unwrap()] {
            assert_eq!(decoded(Coding::Deflate, &coded, 1), Ok(b"{}".to_vec()));
            let twice = [coded.as_slice(), &coded].concat();
            assert_eq!(decoded(Coding::Deflate, &twice, 99), Err(Undecodable::Broken));
        }
    }

    #[test]
    fn gzip_may_come_in_several_members() {
        let coded = [gzip(b"[1,"), gzip(b"2]")].concat();
        assert_eq!(decoded(Coding::Gzip, &coded, 7), Ok(b"[1,2]".to_vec()));
        let trailing = [gzip(b"[1,2]"), b"more".to_vec()].concat();
        assert_eq!(decoded(Coding::Gzip, &trailing, 7), Err(Undecodable::Broken));
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let bomb = gzip(&vec![b' '; 64 * LIMIT]);
        assert!(bomb.len() < LIMIT / 8);
        let mut decoder = Decoder::new(Coding::Gzip, LIMIT);
        assert_eq!(decoder.feed(&bomb), Err(Undecodable::TooLarge));
        assert!(decoder.decoded.capacity() <= 2 * LIMIT + ROOM);
        let exact = gzip(&vec![b' '; LIMIT]);
        assert_eq!(decoded(Coding::Gzip, &exact, SLICE).unwrap().len(), LIMIT);
        let above = gzip(&vec![b' '; LIMIT + 1]);
        assert_eq!(decoded(Coding::Gzip, &above, SLICE), Err(Undecodable::TooLarge));
    }

    #[tokio::test]
    async fn two_codings_are_undone_in_turn() {
        let twice = gzip(&gzip(b"{}"));
        let both = [Coding::Gzip, Coding::Gzip];
        assert_eq!(decode(&both, &twice, LIMIT).await, Ok(b"{}".to_vec()));
        assert_eq!(decode(&[], b"{}", LIMIT).await, Ok(b"{}".to_vec()));
    }

    proptest! {
        #[test]
        fn whatever_the_steps_the_body_is_the_same(
            body in proptest::collection::vec(0_u8..4, 0..40_000),
            step in 1_usize..5_000,
        ) {
            prop_assert_eq!(decoded(Coding::Gzip, &gzip(&body), step), Ok(body));
        }

        #[test]
        fn a_body_cut_short_is_broken(body in proptest::collection::vec(any::<u8>(), 0..200), cut in 1_usize..18) {
            let coded = gzip(&body);
            let short = &coded[..coded.len().saturating_sub(cut)];
            prop_assert_eq!(decoded(Coding::Gzip, short, 16), Err(Undecodable::Broken));
        }

        #[test]
        fn no_bytes_make_it_panic(coded in proptest::collection::vec(any::<u8>(), 0..300), step in 1_usize..40) {
            for coding in [Coding::Gzip, Coding::Deflate] {
                prop_assert!(decoded(coding, &coded, step).is_err() || !coded.is_empty());
            }
        }
    }
}
