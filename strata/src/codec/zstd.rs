//! Zstandard frames in one call each way, with one context per thread.
//!
//! Compressed bytes may expand to thirty thousand times their size. The heads of the blocks bound that at once, so a
//! frame that declares more is refused before anything is allocated. Within the bound, the first try has room for little
//! more than the frame takes itself, and each further one twice as much, up to what the frame declares. So an honest
//! frame costs at most twice what it expands to, and a damaged one no more than its blocks could have held: the library
//! calls room too small for some damage too, which is therefore no proof by itself.
//!
//! A context takes about 100 KiB of C's memory to read and less than 2 MiB to write; neither depends on what is read.

use std::cell::RefCell;

use ::zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall;
use ::zstd::zstd_safe::{CCtx, DCtx, compress_bound};

/// How frames say it.
pub(super) const WAY: u8 = 2;

thread_local! {
    static WRITER: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static READER: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// A context that has grown beyond this is not kept for the next value.
const MAX_KEPT_BYTES: usize = 2 << 20;
const FIRST_TRY: usize = 24 * 1024;

/// The frame, or `None` if the library has no memory for it.
pub(super) fn compress(raw: &[u8], level: i32) -> Option<Vec<u8>> {
    let mut out = vec![0; compress_bound(raw.len())];
    let bytes = WRITER.with_borrow_mut(|kept| {
        let mut context = kept.take().or_else(CCtx::try_create)?;
        let bytes = context.compress(&mut out[..], raw, level).ok();
        *kept = Some(context).filter(|context| context.sizeof() <= MAX_KEPT_BYTES);
        bytes
    })?;
    out.truncate(bytes);
    Some(out)
}

/// The `declared` bytes, or `None` if the frame does not give exactly these many.
pub(super) fn expand(frame: &[u8], declared: usize) -> Option<Vec<u8>> {
    if declared > most(frame)? {
        return None;
    }
    READER.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = DCtx::try_create();
        }
        let context = kept.as_mut()?;
        let mut room = declared.min(FIRST_TRY + frame.len().saturating_mul(3) / 2);
        loop {
            let mut out = vec![0; room];
            match context.decompress(&mut out[..], frame) {
                Ok(bytes) => return (bytes == declared).then_some(out),
                Err(code) if code == too_small() && room < declared => {}
                Err(_) => return None,
            }
            room = room.saturating_mul(2).min(declared);
        }
    })
}

/// The most bytes that the blocks of a frame can give; `None` if this is not one frame and nothing else.
///
/// Source: RFC 8878, sections 3.1.1.1 and 3.1.1.2.
fn most(mut frame: &[u8]) -> Option<usize> {
    let (magic, descriptor) = (take(&mut frame, 4)?, take(&mut frame, 1)?[0]);
    let single_segment = descriptor & 0x20 != 0;
    let window = usize::from(!single_segment);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content_size = [usize::from(single_segment), 2, 4, 8][usize::from(descriptor >> 6)];
    take(&mut frame, window + dictionary + content_size)?;
    let mut length: usize = 0;
    loop {
        let head = take(&mut frame, 3)?;
        let head = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        let size = usize::try_from(head >> 3).ok().filter(|size| *size <= BLOCK)?;
        let (stored, gives) = match (head >> 1) & 3 {
            0 => (size, size),
            1 => (1, size),
            2 => (size, BLOCK),
            _ => return None,
        };
        take(&mut frame, stored)?;
        length = length.checked_add(gives)?;
        if head & 1 == 1 {
            break;
        }
    }
    let checksum = if descriptor & 4 == 0 { 0 } else { 4 };
    (magic == MAGIC && frame.len() == checksum).then_some(length)
}

const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
const BLOCK: usize = 128 << 10;

fn take<'a>(frame: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, rest) = frame.split_at_checked(bytes)?;
    *frame = rest;
    Some(taken)
}

/// How the library writes an error as a length.
fn too_small() -> usize {
    (ZSTD_error_dstSize_tooSmall as usize).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_several_tries_comes_out_whole() {
        for length in [0, 1, FIRST_TRY, FIRST_TRY + 100, 100_000, 5_000_000] {
            let raw = vec![7; length];
            let frame = compress(&raw, 1).expect("memory");
            assert_eq!(expand(&frame, length).as_deref(), Some(&raw[..]), "{length} bytes");
            assert_eq!(expand(&frame, length + 1), None);
            assert_eq!(length.checked_sub(1).and_then(|less| expand(&frame, less)), None);
        }
    }

    #[test]
    fn the_blocks_bound_what_a_frame_can_give() {
        for length in [0, 1, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 3_000_000] {
            let noise: Vec<u8> = (0..length).map(|at| (at * at / 7 % 251).to_le_bytes()[0]).collect();
            for (raw, level) in [(vec![0; length], 1), (noise, 9)] {
                let bound = most(&compress(&raw, level).expect("memory")).expect("a frame");
                assert!((length..=length + 2 * BLOCK).contains(&bound), "{length} bytes, {bound} bound");
            }
        }
        let frame = compress(&[7; 100], 1).expect("memory");
        assert_eq!(most(&frame[..frame.len() - 1]), None);
        assert_eq!(most(&[&frame[..], &frame].concat()), None);
    }

    #[test]
    fn damage_that_calls_every_room_too_small_is_bounded_by_its_blocks() {
        let raw: Vec<u8> = (0..3000_u32).flat_map(|n| (n * n / 3).to_le_bytes()).collect();
        let frame = compress(&raw, 1).expect("memory");
        for at in 0..frame.len() {
            let mut damaged = frame.clone();
            damaged[at] ^= 0xFF;
            let memory = allocation_counter::measure(|| drop(expand(&damaged, 16 << 20)));
            assert_eq!(memory.bytes_total, 0, "byte {at}");
        }
    }

    #[test]
    fn every_level_is_read_alike_and_contexts_do_not_mix() {
        let raw: Vec<u8> = (0..60_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for level in [1, 9, 1, 9] {
            let frame = compress(&raw, level).expect("memory");
            assert!(frame.len() < raw.len() / 2);
            assert_eq!(expand(&frame, raw.len()).as_deref(), Some(&raw[..]));
        }
    }
}
