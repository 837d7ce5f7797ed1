//! Zstandard frames in one call each way, with one context per thread.
//!
//! Compressed bytes may expand to thirty thousand times their size, and only expanding them tells. So the first try has
//! room for little more than they take themselves, and each further one twice as much, up to what the frame declares:
//! what is allocated has been proven by the try before. Values up to 100 KiB, and larger ones that compress to a half,
//! need one or two tries.
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
    fn every_level_is_read_alike_and_contexts_do_not_mix() {
        let raw: Vec<u8> = (0..60_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for level in [1, 9, 1, 9] {
            let frame = compress(&raw, level).expect("memory");
            assert!(frame.len() < raw.len() / 2);
            assert_eq!(expand(&frame, raw.len()).as_deref(), Some(&raw[..]));
        }
    }
}
