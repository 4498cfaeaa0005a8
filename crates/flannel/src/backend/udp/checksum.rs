//! The Internet's checksum (RFC 1071).

/// A sum that is under way. Words are added as the machine has them: the sum comes out in the same order (RFC 1071, section 2B).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum(u64);

impl Sum {
    /// Adds bytes; all parts but the last have an even number.
    pub(super) fn add(self, bytes: &[u8]) -> Self {
        let mut words = bytes.chunks_exact(4);
        let sum: u64 =
            words.by_ref().map(|word| u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))).sum();
        let mut last = [0; 4];
        let rest = words.remainder();
        last[..rest.len()].copy_from_slice(rest);
        Self(self.0 + sum + u64::from(u32::from_ne_bytes(last)))
    }

    /// The sum of 16 bits, as it is written.
    pub(super) fn folded(self) -> [u8; 2] {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap_or_default().to_ne_bytes()
    }

    /// The checksum, as it is written.
    pub(super) fn checksum(self) -> [u8; 2] {
        self.folded().map(|byte| !byte)
    }

    /// Whether these were the bytes that a checksum stands for, and the checksum.
    pub(super) fn is_right(self) -> bool {
        self.folded() == [0xff; 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().add(&bytes).folded(), [0xdd, 0xf2]);
        let sum = Sum::default().add(&bytes[..2]).add(&bytes[2..8]);
        assert_eq!(sum.checksum(), [0x22, 0x0d]);
        assert!(sum.add(&[0x22, 0x0d]).is_right());
        assert_eq!(Sum::default().add(&[0xab]).folded(), [0xab, 0]);
        assert_eq!(Sum::default().add(&[0xff; 60_000]).folded(), [0xff; 2], "nothing is lost of many");
    }
}
