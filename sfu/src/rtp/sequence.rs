//! Sequence numbers and times that wrap, made ones that do not.

/// Extends 16-bit sequence numbers to ones that never wrap.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unwrapper {
    highest: Option<u64>,
}

impl Unwrapper {
    /// The extended number: the one closest to the highest so far.
    pub(crate) fn unwrap(&mut self, sequence: u16) -> u64 {
        let Some(highest) = self.highest else {
            // Room below for what was sent before the first that arrived.
            let first = (1 << 16) + u64::from(sequence);
            self.highest = Some(first);
            return first;
        };
        let extended = near(highest, sequence);
        self.highest = Some(highest.max(extended));
        extended
    }

    /// The highest so far.
    pub(crate) fn highest(&self) -> Option<u64> {
        self.highest
    }
}

/// The extended number closest to `reference` whose low 16 bits are these.
pub(crate) fn near(reference: u64, sequence: u16) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
    let ahead = sequence.wrapping_sub(reference as u16);
    #[expect(clippy::cast_possible_wrap, reason = "half of the circle is behind")]
    let ahead = i64::from(ahead as i16);
    reference.saturating_add_signed(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_where_they_wrap_and_late_ones_go_back() {
        let mut unwrapper = Unwrapper::default();
        let first = unwrapper.unwrap(65_534);
        assert_eq!(unwrapper.unwrap(65_535), first + 1);
        assert_eq!(unwrapper.unwrap(1), first + 3);
        assert_eq!(unwrapper.unwrap(0), first + 2);
        assert_eq!(unwrapper.unwrap(65_530), first - 4);
        assert_eq!(unwrapper.highest(), Some(first + 3));
    }
}
