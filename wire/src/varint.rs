//! Unsigned numbers in as few bytes as they need: seven bits a byte, the lowest first, and the highest bit of a byte says
//! that another follows (LEB128). Only the shortest form of a number is one.

/// Bytes of the longest number.
pub(crate) const BYTES_MAX: usize = 10;

/// A number being read, byte after byte.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Varint {
    value: u64,
    /// Bits read so far, a multiple of seven.
    bits: u32,
}

/// Bytes that are no number in its shortest form, or one of more than 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotShortest;

impl Varint {
    pub(crate) const fn new() -> Self {
        Self { value: 0, bits: 0 }
    }

    /// Takes the next byte, and returns the number once it is whole.
    #[inline]
    pub(crate) const fn push(&mut self, byte: u8) -> Result<Option<u64>, NotShortest> {
        // Of the tenth byte one bit is left.
        if (byte == 0 && self.bits > 0) || (self.bits == 63 && byte > 1) {
            return Err(NotShortest);
        }
        self.value |= ((byte & 0x7f) as u64) << self.bits;
        self.bits += 7;
        Ok(if byte < 0x80 { Some(self.value) } else { None })
    }
}

/// Writes `value` to the front of `out` and returns how many bytes it took.
#[inline]
pub(crate) const fn write(mut value: u64, out: &mut [u8; BYTES_MAX]) -> usize {
    let mut len = 0;
    while value >= 0x80 {
        out[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    out[len] = value as u8;
    len + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<u64>, NotShortest> {
        let mut varint = Varint::new();
        let (last, before) = bytes.split_last().expect("some bytes");
        for byte in before {
            assert_eq!(varint.push(*byte)?, None);
        }
        varint.push(*last)
    }

    #[test]
    fn every_number_has_one_form() {
        for (value, expected) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 1]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            let mut bytes = [0xaa; BYTES_MAX];
            let len = write(value, &mut bytes);
            assert_eq!(&bytes[..len], expected);
            assert_eq!(read(expected), Ok(Some(value)));
        }
    }

    #[test]
    fn longer_forms_are_none() {
        for bytes in [&[0x80, 0][..], &[0xff, 0x80, 0], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]] {
            assert_eq!(read(bytes), Err(NotShortest));
        }
        assert_eq!(read(&[0xff; BYTES_MAX]), Err(NotShortest), "an eleventh byte is never asked for");
        assert_eq!(read(&[0xff; BYTES_MAX - 1]), Ok(None));
    }
}
