//! Time as it comes in from callers: nothing in this crate reads a clock.

use core::fmt;

/// A moment on the caller's clock: milliseconds since a start of its choosing. The clock never goes back; if it does
/// nevertheless, no time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(u64);

impl Millis {
    /// That many milliseconds after the clock's start.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the clock's start.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// The moment `ms` later. At the end of time it stays there.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds that have passed since `earlier`; 0 if it is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sum_and_no_difference_wraps() {
        let (early, late) = (Millis::from_ms(3), Millis::from_ms(u64::MAX - 1));
        assert_eq!(early.after(4).as_ms(), 7);
        assert_eq!(late.after(5), Millis::from_ms(u64::MAX));
        assert_eq!(late.since(early), u64::MAX - 4);
        assert_eq!(early.since(late), 0);
    }
}
