//! Compressed chunks.

use std::io::Read;

use prost::Message;
use tyrscale_proto::v1;

/// What a chunk may unfold to, in bytes: many times what the control plane packs into one.
const MAX_PART: u64 = 32 << 20;

/// The codecs read here.
pub(crate) fn known() -> Vec<i32> {
    vec![v1::Codec::Zstd.into()]
}

/// Why a chunk cannot be unfolded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("has a codec that was not asked for")]
    Unknown,
    #[error("cannot be unfolded")]
    Malformed,
    #[error("unfolds to too much")]
    TooLarge,
}

/// The chunk with what it carries unfolded.
pub(crate) fn unfold(mut chunk: v1::UpdateChunk) -> Result<v1::UpdateChunk, CodecError> {
    match v1::Codec::try_from(chunk.codec) {
        Ok(v1::Codec::Unspecified) => return Ok(chunk),
        Ok(v1::Codec::Zstd) => {}
        Err(_) => return Err(CodecError::Unknown),
    }
    let decoder = zstd::Decoder::new(chunk.data.as_ref()).map_err(|_| CodecError::Malformed)?;
    let mut bytes = Vec::new();
    let read = decoder.take(MAX_PART + 1).read_to_end(&mut bytes);
    let read = read.map_err(|_| CodecError::Malformed)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > MAX_PART {
        return Err(CodecError::TooLarge);
    }
    let part = v1::UpdatePart::decode(bytes::Bytes::from(bytes)).map_err(|_| CodecError::Malformed)?;
    chunk.upserts = part.upserts;
    chunk.removals = part.removals;
    chunk.data.clear();
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(data: Vec<u8>) -> v1::UpdateChunk {
        v1::UpdateChunk {
            codec: v1::Codec::Zstd.into(),
            data: data.into(),
            ..v1::UpdateChunk::default()
        }
    }

    #[test]
    fn what_was_packed_is_unfolded() {
        let part = v1::UpdatePart {
            upserts: vec![v1::DiscoveryResource {
                id: "a".to_owned(),
                payload: vec![7; 1000].into(),
                ..Default::default()
            }],
            removals: vec![v1::ResourceRef::default()],
        };
        let packed = zstd::bulk::compress(&part.encode_to_vec(), 3).unwrap();
        let unfolded = unfold(chunk(packed)).unwrap();
        assert_eq!(
            (unfolded.upserts, unfolded.removals),
            (part.upserts, part.removals)
        );
        assert!(unfolded.data.is_empty());
    }

    #[test]
    fn what_cannot_be_unfolded_or_unfolds_to_too_much_is_told() {
        assert_eq!(unfold(chunk(vec![1, 2, 3])), Err(CodecError::Malformed));
        let other = v1::UpdateChunk {
            codec: 77,
            ..v1::UpdateChunk::default()
        };
        assert_eq!(unfold(other), Err(CodecError::Unknown));
        let bomb = vec![0; usize::try_from(MAX_PART).unwrap() + 1];
        let packed = zstd::bulk::compress(&bomb, 1).unwrap();
        assert!(packed.len() < 64 * 1024);
        assert_eq!(unfold(chunk(packed)), Err(CodecError::TooLarge));
    }
}
