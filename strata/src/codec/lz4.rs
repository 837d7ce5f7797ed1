//! LZ4 blocks, without the length that `lz4_flex` would put before them and believe.
//!
//! A block tells nowhere how long it becomes, but following its lengths without copying anything is quick, and so the
//! memory for it is allocated once and exactly.

use lz4_flex::block;

/// How frames say it.
pub(super) const WAY: u8 = 1;

/// The block, or `None` if it does not fit into the bytes it was made of.
pub(super) fn compress(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; block::get_maximum_output_size(raw.len())];
    let bytes = block::compress_into(raw, &mut out).ok()?;
    out.truncate(bytes);
    Some(out)
}

/// The `declared` bytes, or `None` if the block does not give exactly these many.
pub(super) fn expand(block: &[u8], declared: usize) -> Option<Vec<u8>> {
    if expanded_len(block)? != declared {
        return None;
    }
    let mut out = vec![0; declared];
    let bytes = block::decompress_into(block, &mut out).ok()?;
    (bytes == declared).then_some(out)
}

/// How many bytes a block gives; `None` if it is no block.
fn expanded_len(mut block: &[u8]) -> Option<usize> {
    let mut length: usize = 0;
    loop {
        let token = take(&mut block, 1)?[0];
        let literals = run(&mut block, token >> 4)?;
        take(&mut block, literals)?;
        length = length.checked_add(literals)?;
        // The last sequence is literals alone.
        if block.is_empty() {
            return Some(length);
        }
        let offset = take(&mut block, 2)?;
        let offset = usize::from(u16::from_le_bytes([offset[0], offset[1]]));
        if offset == 0 || offset > length {
            return None;
        }
        let copied = run(&mut block, token & 0xF)?.checked_add(MIN_MATCH)?;
        length = length.checked_add(copied)?;
    }
}

const MIN_MATCH: usize = 4;

/// A length of which the token holds the first four bits: 15 means that more follows, 255 that more follows again.
fn run(block: &mut &[u8], first: u8) -> Option<usize> {
    let mut length = usize::from(first);
    if first == 15 {
        loop {
            let more = take(block, 1)?[0];
            length = length.checked_add(usize::from(more))?;
            if more < u8::MAX {
                break;
            }
        }
    }
    Some(length)
}

fn take<'a>(block: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, rest) = block.split_at_checked(bytes)?;
    *block = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_known_before_anything_is_copied() {
        let texts = [String::new(), "a".into(), "abc".repeat(4000), "x".repeat(100_000), "no repeat".into()];
        for text in texts {
            let block = compress(text.as_bytes()).expect("fits");
            assert_eq!(expanded_len(&block), Some(text.len()));
            assert_eq!(expand(&block, text.len()).as_deref(), Some(text.as_bytes()));
            assert_eq!(expand(&block, text.len() + 1), None);
        }
    }

    #[test]
    fn what_refers_to_before_its_beginning_is_no_block() {
        // One literal, then four bytes from two back.
        assert_eq!(expanded_len(b"\x10a\x02\x00\x10b"), None);
        assert_eq!(expanded_len(b"\x10a\x00\x00\x10b"), None);
        assert_eq!(expanded_len(b"\x10a\x01\x00\x10b"), Some(6));
        assert_eq!(expanded_len(b""), None);
    }
}
