//! Floats as text the way Python writes them, which is how the original's JSON looks.

use core::fmt::{self, Display, Write as _};

/// A finite float in Python's shortest form that reads back the same: `2.5`, `1.0`, `1e-05`, `1e+16`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repr(pub(crate) f64);

/// A double has at most 17 significant digits; with sign, point and exponent this is enough.
const SCIENTIFIC_BYTES_MAX: usize = 32;

impl Display for Repr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rust's own scientific form has the same shortest digits; only the layout differs.
        let mut scientific = heapless::String::<SCIENTIFIC_BYTES_MAX>::new();
        write!(scientific, "{:e}", self.0)?;
        let (mantissa, exponent) = scientific.split_once('e').ok_or(fmt::Error)?;
        let exponent: i32 = exponent.parse().map_err(|_| fmt::Error)?;
        let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |digits| ("-", digits));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        formatter.write_str(sign)?;
        match exponent {
            // Python changes to an exponent below 1e-4 and from 1e16 on.
            -4..=-1 => {
                formatter.write_str("0.")?;
                (exponent..-1).try_for_each(|_| formatter.write_char('0'))?;
                write!(formatter, "{whole}{fraction}")
            }
            0..16 => {
                let point = exponent.unsigned_abs() as usize;
                formatter.write_str(whole)?;
                formatter.write_str(&fraction[..point.min(fraction.len())])?;
                (fraction.len()..point).try_for_each(|_| formatter.write_char('0'))?;
                formatter.write_char('.')?;
                formatter.write_str(fraction.get(point..).filter(|rest| !rest.is_empty()).unwrap_or("0"))
            }
            _ => {
                formatter.write_str(whole)?;
                if !fraction.is_empty() {
                    write!(formatter, ".{fraction}")?;
                }
                write!(formatter, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
            }
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::string::ToString as _;

    use super::Repr;

    #[test]
    fn floats_look_as_in_python() {
        // Right column: repr() of CPython 3.
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (2.5, "2.5"),
            (-3.25, "-3.25"),
            (123.456, "123.456"),
            (100.0, "100.0"),
            (0.1, "0.1"),
            (0.000_123, "0.000123"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1_234_567_890_123_456.0, "1234567890123456.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.234_5e20, "1.2345e+20"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            assert_eq!(Repr(value).to_string(), expected);
        }
    }
}
