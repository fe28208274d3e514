//! Bits of a header, from the highest, and never one past its end.

/// Bytes that are read bit by bit.
#[derive(Clone, Debug)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next bit.
    pub(crate) fn flag(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// The next bits, 32 at the most, as a number.
    pub(crate) fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// Passes bits over.
    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count)?;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// A number below `n`, of as few bits as that takes (`ns(n)` of AV1).
    pub(crate) fn below(&mut self, n: u32) -> Option<u32> {
        let width = u32::BITS - n.leading_zeros();
        let short = (1u32 << width) - n;
        let value = self.take(width.checked_sub(1)?)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1) - short + self.take(1)?)
    }

    /// A number in Exp-Golomb code (`ue(v)` of H.264).
    pub(crate) fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros == 32 {
                return None;
            }
        }
        let value = (1u64 << zeros) - 1 + u64::from(self.take(zeros)?);
        u32::try_from(value).ok()
    }

    /// A signed number in Exp-Golomb code (`se(v)` of H.264).
    pub(crate) fn signed_golomb(&mut self) -> Option<i64> {
        let code = i64::from(self.golomb()?);
        Some(if code % 2 == 0 { -(code / 2) } else { code / 2 + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_each_of_their_codes() {
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0000]);
        assert_eq!(bits.flag(), Some(true));
        assert_eq!(bits.take(2), Some(1));
        // 00110 is the fifth code of Exp-Golomb.
        assert_eq!(bits.golomb(), Some(5));
        // 010 is the second.
        assert_eq!(bits.signed_golomb(), Some(1));
        assert_eq!(bits.skip(5), Some(()));
        assert_eq!(bits.flag(), None);
        // Of five values three have two bits and two have three.
        let mut bits = Bits::new(&[0b0001_1011, 0b1110_0000]);
        let all: Vec<_> = (0..4).map(|_| bits.below(5).unwrap()).collect();
        assert_eq!(all, [0, 1, 2, 4]);
    }
}
