//! Room for one value per upstream, on the stack for as many as a route usually has.

/// How many find room without an allocation.
const INLINE: usize = 16;

/// Room for some values.
#[derive(Debug)]
pub(super) struct Scratch<T> {
    inline: [T; INLINE],
    more: Vec<T>,
}

impl<T: Copy + Default> Default for Scratch<T> {
    fn default() -> Self {
        Self {
            inline: [T::default(); INLINE],
            more: Vec::new(),
        }
    }
}

impl<T: Copy + Default> Scratch<T> {
    /// `count` values, to be overwritten.
    pub(super) fn take(&mut self, count: usize) -> &mut [T] {
        if count > INLINE {
            self.more.resize(count, T::default());
            &mut self.more
        } else {
            self.inline.get_mut(..count).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_room_for_any_number() {
        for count in [0, 1, 16, 17, 100] {
            assert_eq!(Scratch::<u32>::default().take(count).len(), count);
        }
    }
}
