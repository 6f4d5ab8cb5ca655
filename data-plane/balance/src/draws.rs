//! Several independent draws from the 64 random bits a caller brings.
//!
//! SplitMix64. Source: G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators",
//! OOPSLA 2014.

/// A stream of draws that 64 random bits decide.
#[derive(Debug, Clone)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) const fn new(random: u64) -> Self {
        Self(random)
    }

    pub(crate) const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, each as likely as any other to within 2^-64; 0 when there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        let scaled = (u128::from(self.bits()) * u128::from(bound)) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }

    /// Two different numbers below `bound`, each pair as likely as any other; the same twice where there are no two.
    pub(crate) fn two_below(&mut self, bound: usize) -> [usize; 2] {
        let first = self.below(bound);
        // One of the others: count on from the first, around the end.
        let others = bound.saturating_sub(1);
        [first, (first + 1 + self.below(others)) % bound.max(1)]
    }

    /// A number from 0 up to but not including 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what the type holds")]
    pub(crate) const fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_seeds_draw_evenly() {
        let (mut counts, mut sum) = ([0; 5], 0.0);
        for seed in 0..10_000 {
            let mut draws = Draws::new(seed);
            counts[draws.below(5)] += 1;
            sum += draws.unit();
        }
        assert!(
            counts.iter().all(|count| (1_900..2_100).contains(count)),
            "{counts:?}"
        );
        assert!((4_900.0..5_100.0).contains(&sum), "{sum}");
    }

    #[test]
    fn below_nothing_is_zero() {
        assert_eq!(Draws::new(u64::MAX).below(0), 0);
    }
}
