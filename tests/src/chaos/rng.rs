//! A small generator of repeatable choices (SplitMix64), so that a seed is all that is needed to have a campaign again.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The choices of one seed.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Equal seeds make equal choices.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A further generator whose choices have nothing to do with those of this one.
    pub fn branch(&mut self) -> Self {
        Self(self.bits())
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("lengths fit 64 bits");
        usize::try_from(self.bits() % bound).expect("below a length")
    }

    /// True once in `count` times on average.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// A span of so many milliseconds.
    pub fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        let (start, end) = range.into_inner();
        Duration::from_millis(start + self.bits() % (end - start + 1))
    }

    /// Mixes the items.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_choices_and_another_makes_others() {
        let choices = |seed| {
            let mut rng = Rng::new(seed);
            (0..100).map(|_| rng.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(choices(1), choices(1));
        assert_ne!(choices(1), choices(2));
    }

    #[test]
    fn choices_stay_in_their_range_and_reach_its_ends() {
        let mut rng = Rng::new(7);
        let spans: Vec<_> = (0..200).map(|_| rng.millis(3..=5).as_millis()).collect();
        assert_eq!((spans.iter().min(), spans.iter().max()), (Some(&3), Some(&5)));
        let mut items: Vec<_> = (0..20).collect();
        rng.shuffle(&mut items);
        let mut sorted = items.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
        assert_ne!(items, sorted);
    }
}
