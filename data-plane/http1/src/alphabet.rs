//! Sets of characters that are looked up, not compared one by one.

/// Which bytes may stand in a part of a head.
pub(crate) struct Alphabet([bool; 256]);

impl Alphabet {
    /// Letters, digits and `others`.
    #[expect(clippy::indexing_slicing, reason = "a byte is an index of 256")]
    pub(crate) const fn of(others: &[u8]) -> Self {
        let mut known = [false; 256];
        let mut byte = u8::MAX;
        while byte > 0 {
            known[byte as usize] = byte.is_ascii_alphanumeric();
            byte -= 1;
        }
        let mut rest = others;
        while let Some((byte, after)) = rest.split_first() {
            known[*byte as usize] = true;
            rest = after;
        }
        Self(known)
    }

    /// Whether `byte` is in it.
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or_default()
    }
}
