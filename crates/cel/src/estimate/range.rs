//! From at least to at most. What is more than can be counted is the largest number.

/// A cost or a size, from at least to at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// At least.
    pub min: u64,
    /// At most.
    pub max: u64,
}

impl Range {
    /// Nothing.
    pub const ZERO: Self = Self::exactly(0);
    /// One.
    pub const ONE: Self = Self::exactly(1);
    /// Anything.
    pub const UNKNOWN: Self = Self { min: 0, max: u64::MAX };

    /// So much.
    #[must_use]
    pub const fn exactly(amount: u64) -> Self {
        Self { min: amount, max: amount }
    }

    /// Not more than this.
    #[must_use]
    pub const fn at_most(max: u64) -> Self {
        Self { min: 0, max }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(super) fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// So many units of this cost each, rounded up.
    pub(super) fn each(self, factor: f64) -> Self {
        let scaled = |amount: u64| (amount as f64 * factor).ceil() as u64;
        Self { min: scaled(self.min), max: scaled(self.max) }
    }

    /// One or the other.
    pub(super) fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}
