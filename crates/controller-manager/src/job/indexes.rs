//! Sets of completion indexes; as text `0,2-4,7`.

use std::{collections::BTreeSet, fmt};

/// A set of indexes as intervals, in their order and with gaps between them. It has few intervals where it has many indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<Interval>);

/// Both ends are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Interval {
    first: i32,
    last: i32,
}

impl Interval {
    /// As it is written; what is beyond `completions` is cut off. `None` for what is no interval.
    fn parse(text: &str, completions: i32) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last): (i32, i32) = (first.parse().ok()?, last.parse().ok()?);
        let last = last.min(completions - 1);
        (0 <= first && first <= last).then_some(Self { first, last })
    }

    const fn len(self) -> usize {
        self.last.abs_diff(self.first) as usize + 1
    }
}

impl Indexes {
    /// Those below `completions` in a text. Somebody else may have written it: what is no interval is passed over.
    pub(super) fn parse(text: &str, completions: i32) -> Self {
        Self::merged(text.split(',').filter_map(|part| Interval::parse(part, completions)).collect())
    }

    fn merged(mut intervals: Vec<Interval>) -> Self {
        intervals.sort_unstable();
        let mut merged: Vec<Interval> = Vec::with_capacity(intervals.len());
        for next in intervals {
            match merged.last_mut() {
                Some(last) if next.first <= last.last.saturating_add(1) => last.last = last.last.max(next.last),
                _ => merged.push(next),
            }
        }
        Self(merged)
    }

    /// What is in either.
    pub(super) fn union(&self, other: &Self) -> Self {
        Self::merged(self.0.iter().chain(&other.0).copied().collect())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|interval| interval.len()).sum()
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is among them.
    pub(super) fn has(&self, index: i32) -> bool {
        let at = self.0.partition_point(|interval| interval.last < index);
        self.0.get(at).is_some_and(|interval| interval.first <= index)
    }

    /// How many are in both.
    pub(super) fn in_common(&self, other: &Self) -> usize {
        let (mut own, mut others) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut count = 0;
        while let (Some(a), Some(b)) = (own.peek(), others.peek()) {
            let common = Interval { first: a.first.max(b.first), last: a.last.min(b.last) };
            if common.first <= common.last {
                count += common.len();
            }
            if a.last <= b.last {
                own.next()
            } else {
                others.next()
            };
        }
        count
    }

    /// The first `count` below `completions` that are not among them.
    pub(super) fn first_missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let mut missing = Vec::new();
        let mut from = 0;
        let end = Interval { first: completions, last: completions };
        for interval in self.0.iter().chain([&end]) {
            let room = count - missing.len();
            missing.extend((from..interval.first.min(completions)).take(room));
            from = from.max(interval.last.saturating_add(1));
        }
        missing
    }
}

impl FromIterator<i32> for Indexes {
    fn from_iter<I: IntoIterator<Item = i32>>(indexes: I) -> Self {
        let distinct: BTreeSet<i32> = indexes.into_iter().collect();
        Self::merged(distinct.into_iter().map(|index| Interval { first: index, last: index }).collect())
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Interval { first, last }) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_read_and_written() {
        // Text, completions, as it is written, how many.
        let cases = [
            ("", 5, "", 0),
            ("0", 5, "0", 1),
            ("0,1", 5, "0,1", 2),
            ("0-1", 5, "0,1", 2),
            ("0,1,2", 5, "0-2", 3),
            ("1-3,5-7", 6, "1-3,5", 4),
            ("1-3,5-7", 1, "", 0),
            ("5,1", 9, "1,5", 2),
            ("3-1,x,-2,1-,--,1-2-3,7", 9, "7", 1),
            ("0-99999999999", 9, "", 0),
            ("0-2147483647", i32::MAX, "0-2147483646", 2_147_483_647),
            ("0-3", 0, "", 0),
        ];
        for (text, completions, written, count) in cases {
            let indexes = Indexes::parse(text, completions);
            assert_eq!((indexes.to_string().as_str(), indexes.len()), (written, count), "{text:?} of {completions}");
        }
    }

    proptest! {
        #[test]
        fn they_are_a_set(a in prop::collection::btree_set(0..40, 0..20), b in prop::collection::btree_set(0..40, 0..20)) {
            let (own, others): (Indexes, Indexes) = (a.iter().copied().collect(), b.iter().copied().collect());
            prop_assert_eq!(Indexes::parse(&own.to_string(), 40), own.clone());
            prop_assert_eq!(own.len(), a.len());
            prop_assert_eq!(own.is_empty(), a.is_empty());
            prop_assert!((0..40).all(|index| own.has(index) == a.contains(&index)));
            prop_assert_eq!(own.in_common(&others), a.intersection(&b).count());
            prop_assert_eq!(own.union(&others), a.union(&b).copied().collect());
            let missing: Vec<i32> = (0..30).filter(|index| !a.contains(index)).take(5).collect();
            prop_assert_eq!(own.first_missing(5, 30), missing);
        }
    }
}
