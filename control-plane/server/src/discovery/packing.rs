//! Chunks of a large update, compressed once for all who read it.

use bytes::Bytes;
use prost::Message as _;
use tyrscale_proto::v1;

/// From how many bytes on an update is compressed.
pub(crate) const WORTH: usize = 256 * 1024;
/// How much of an update goes into a chunk before it is compressed, in bytes.
pub(crate) const PART: usize = 64 * 1024;
/// What a chunk is cut to, in bytes: a stream keeps a buffer of the largest messages it has sent.
const MAX_PACKED: usize = 8 * 1024 - 512;
const LEVEL: i32 = 3;

/// A part as data of chunks, each of at most 8 KiB unless it holds one resource only.
pub(crate) fn pack(part: v1::UpdatePart) -> std::io::Result<Vec<Bytes>> {
    let packed = zstd::bulk::compress(&part.encode_to_vec(), LEVEL)?;
    let items = part.upserts.len() + part.removals.len();
    if packed.len() <= MAX_PACKED || items < 2 {
        return Ok(vec![packed.into()]);
    }
    let (first, second) = halves(part);
    let mut chunks = pack(first)?;
    chunks.extend(pack(second)?);
    Ok(chunks)
}

fn halves(mut part: v1::UpdatePart) -> (v1::UpdatePart, v1::UpdatePart) {
    let half = (part.upserts.len() + part.removals.len()) / 2;
    let upserts = part.upserts.split_off(half.min(part.upserts.len()));
    let removals = match upserts.is_empty() {
        true => part.removals.split_off(half - part.upserts.len()),
        false => std::mem::take(&mut part.removals),
    };
    (part, v1::UpdatePart { upserts, removals })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unpacked(chunk: &Bytes) -> v1::UpdatePart {
        let bytes = zstd::bulk::decompress(chunk, 64 << 20).unwrap();
        v1::UpdatePart::decode(bytes.as_slice()).unwrap()
    }

    fn whole(chunks: &[Bytes]) -> v1::UpdatePart {
        let mut whole = v1::UpdatePart::default();
        for part in chunks.iter().map(unpacked) {
            whole.upserts.extend(part.upserts);
            whole.removals.extend(part.removals);
        }
        whole
    }

    fn is_small(chunk: &Bytes) -> bool {
        let part = unpacked(chunk);
        chunk.len() <= MAX_PACKED || part.upserts.len() + part.removals.len() == 1
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn nothing_is_lost_and_only_one_resource_alone_is_large(
            sizes in prop::collection::vec(0usize..30_000, 0..12),
            removals in 0usize..5,
            seed in any::<u64>(),
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            // Random bytes do not compress.
            let upserts = sizes.into_iter().map(|size| v1::DiscoveryResource {
                payload: std::iter::repeat_with(|| random.u8(..)).take(size).collect::<Vec<_>>().into(),
                ..Default::default()
            });
            let part = v1::UpdatePart {
                upserts: upserts.collect(),
                removals: vec![v1::ResourceRef::default(); removals],
            };
            let chunks = pack(part.clone()).unwrap();
            prop_assert!(chunks.iter().all(is_small));
            prop_assert_eq!(whole(&chunks), part);
        }
    }
}
