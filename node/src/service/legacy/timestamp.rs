//! Times as clients of the original protocol show them.

use std::fmt;

use crate::env::civil;

/// Milliseconds since 1970, shown as ISO 8601 in UTC with microseconds and without a zone:
/// `2026-11-22T12:07:55.726000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timestamp(pub(crate) u64);

/// The last moment of the year 9999: later years would not keep the format.
const LAST_MS: u64 = 253_402_300_799_999;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.min(LAST_MS);
        let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
        let micros = of_day % 1000 * 1000;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_in_utc() {
        let table = [
            (0, "1970-01-01T00:00:00.000000"),
            (951_782_399_999, "2000-02-28T23:59:59.999000"),
            (951_782_400_000, "2000-02-29T00:00:00.000000"),
            (1_077_926_400_000, "2004-02-28T00:00:00.000000"),
            (1_795_349_275_726, "2026-11-22T12:07:55.726000"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000000"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000000"),
            (u64::MAX, "9999-12-31T23:59:59.999000"),
        ];
        for (ms, expected) in table {
            assert_eq!(Timestamp(ms).to_string(), expected);
        }
    }
}
