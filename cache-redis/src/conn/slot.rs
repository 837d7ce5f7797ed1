//! Slots: which part of a Cluster a key belongs to, by the specification of Redis Cluster.

pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key: that of what stands in its first pair of braces, if anything does, so that keys can be kept together.
pub(crate) fn slot(key: &[u8]) -> u16 {
    crc16(hashed(key)) % SLOTS
}

fn hashed(key: &[u8]) -> &[u8] {
    let position = |bytes: &[u8], wanted| bytes.iter().position(|byte| *byte == wanted);
    let braced = position(key, b'{').and_then(|open| {
        let rest = &key[open + 1..];
        position(rest, b'}').map(|close| &rest[..close])
    });
    braced.filter(|tag| !tag.is_empty()).unwrap_or(key)
}

/// CRC-16 of XMODEM: the polynomial 0x1021, nothing reflected, beginning at zero.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
        let mut crc = (at as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3, "the example of the specification");
        assert_eq!((slot(b"foo"), slot(b"")), (12_182, 0));
    }

    #[test]
    fn keys_with_the_same_braces_are_kept_together() {
        assert_eq!(slot(b"{user1000}.following"), slot(b"{user1000}.followers"));
        assert_eq!(slot(b"a{b}c{d}"), slot(b"b"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        for whole in [&b"foo{}{bar}"[..], b"foo{bar", b"}foo{", b"{}"] {
            assert_eq!(hashed(whole), whole);
        }
    }
}
