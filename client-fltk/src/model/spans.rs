//! Which message numbers are known without holes, so that a window shows a gap where something may be missing.

/// Ranges of numbers, both ends included: rising, apart from each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spans {
    ranges: Vec<(u64, u64)>,
}

impl Spans {
    /// From ranges as [`Spans::iter`] gave them, in any order.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut spans = Self::default();
        for (first, last) in ranges {
            spans.add(first, last);
        }
        spans
    }

    /// Adds a range; an empty one (`first > last`) adds nothing.
    pub fn add(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        // All that overlap it or touch it become one with it.
        let from = self.ranges.partition_point(|&(_, end)| end.saturating_add(1) < first);
        let to = self.ranges.partition_point(|&(start, _)| start <= last.saturating_add(1));
        let (mut start, mut end) = (first, last);
        if let [low, .., high] | [low @ high] = &self.ranges[from..to] {
            (start, end) = (start.min(low.0), end.max(high.1));
        }
        self.ranges.splice(from..to, [(start, end)]);
    }

    /// Forgets everything up to a number.
    pub fn cut(&mut self, upto: u64) {
        self.ranges.retain_mut(|(start, end)| {
            *start = (*start).max(upto.saturating_add(1));
            start <= end
        });
    }

    /// Whether every number from `first` to `last` is known; true for an empty range.
    #[must_use]
    pub fn covers(&self, first: u64, last: u64) -> bool {
        first > last || self.ranges.iter().any(|&(start, end)| start <= first && last <= end)
    }

    /// The ranges.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_a_set_of_numbers(steps in proptest::collection::vec((0_u64..40, 0_u64..6, any::<bool>()), 0..30)) {
            let (mut spans, mut set) = (Spans::default(), BTreeSet::new());
            for (first, length, cut) in steps {
                if cut && length == 0 {
                    spans.cut(first);
                    set.retain(|&number| number > first);
                } else {
                    spans.add(first, first + length);
                    set.extend(first..=first + length);
                }
            }
            prop_assert_eq!(spans.iter().flat_map(|(first, last)| first..=last).collect::<BTreeSet<_>>(), set.clone());
            for pair in spans.ranges.windows(2) {
                prop_assert!(pair[0].1 + 1 < pair[1].0, "{:?}", spans);
            }
            for first in 0..46 {
                for last in 0..46 {
                    prop_assert_eq!(spans.covers(first, last), (first..=last).all(|number| set.contains(&number)));
                }
            }
            prop_assert_eq!(Spans::from_ranges(spans.iter()), spans);
        }
    }
}
