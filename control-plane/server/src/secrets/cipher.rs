//! AES-256-GCM with a random nonce: `nonce 12 ‖ ciphertext ‖ tag 16`.

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};

use super::SecretsError;

/// The length of a key, in bytes.
pub(super) const KEY: usize = 32;

/// Random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], SecretsError> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| SecretsError::Random)?;
    Ok(bytes)
}

fn key(bytes: &[u8; KEY]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new)
}

/// Seals `plain` so that it opens with the same key and `context` only.
pub(super) fn seal(key_bytes: &[u8; KEY], context: &[u8], plain: &[u8]) -> Result<Vec<u8>, SecretsError> {
    let nonce: [u8; NONCE_LEN] = random()?;
    let mut sealed = plain.to_vec();
    let key = key(key_bytes).ok_or(SecretsError::Random)?;
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(context),
        &mut sealed,
    )
    .map_err(|_| SecretsError::Random)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// What [`seal`] sealed; `None` when it is something else.
pub(super) fn open(key_bytes: &[u8; KEY], context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut plain = sealed.to_vec();
    let opened = key(key_bytes)?
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(context),
            &mut plain,
        )
        .ok()?
        .len();
    plain.truncate(opened);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_sealed_opens_with_its_key_and_context_only(
            plain in proptest::collection::vec(any::<u8>(), 0..64),
            at in any::<prop::sample::Index>(),
        ) {
            let (one, other) = ([1; KEY], [2; KEY]);
            let sealed = seal(&one, b"a", &plain).unwrap();
            prop_assert_eq!(open(&one, b"a", &sealed), Some(plain.clone()));
            prop_assert_eq!(open(&other, b"a", &sealed), None);
            prop_assert_eq!(open(&one, b"b", &sealed), None);
            prop_assert_ne!(&seal(&one, b"a", &plain).unwrap(), &sealed, "never twice the same");
            let mut damaged = sealed.clone();
            damaged[at.index(sealed.len())] ^= 1;
            prop_assert_eq!(open(&one, b"a", &damaged), None);
            prop_assert_eq!(open(&one, b"a", &sealed[..at.index(sealed.len())]), None);
        }
    }
}
