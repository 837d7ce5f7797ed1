//! Has the processor fetch from memory what will soon be looked at, and go on meanwhile.
//!
//! In a large cache an insert waits for memory longer than it computes. Who will leave is known some inserts before, so what has to be looked
//! at then is fetched in time. To look at it would do that as well, but the processor looks ahead no further than some hundred
//! instructions behind the oldest that is not done.
//!
//! Unsafe: it runs an instruction that Rust has no word of its own for. It changes nothing that a program could see, and an address where nothing
//! is, it ignores.

use std::mem::{MaybeUninit, needs_drop};
use std::ptr;

/// Begins to fetch the first line of this place, which need not be one.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is one instruction")]
pub(crate) fn fetch<T>(place: *const T) {
    begin(MaybeUninit::new(place.addr()));
}

/// Begins to fetch what this owns, if it is likely to be no more than a pointer to that: an `Arc` or a `Box`, thin or with a length.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is two instructions, or none")]
pub(crate) fn fetch_owned<T>(owner: &T) {
    let is_pointer = const {
        let words = size_of::<T>() / size_of::<usize>();
        needs_drop::<T>() && align_of::<T>() == align_of::<usize>() && (words == 1 || words == 2)
    };
    if is_pointer {
        // SAFETY: it has a word at least, as was asked above, and is aligned as one. Whether its bytes mean anything is not asked.
        begin(unsafe { ptr::from_ref(owner).cast::<MaybeUninit<usize>>().read() });
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it is one instruction")]
fn begin(address: MaybeUninit<usize>) {
    // SAFETY: the instruction is a hint that reads and writes nothing and never faults, whatever is in the register.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    unsafe {
        std::arch::asm!("prefetcht0 [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    // SAFETY: as above.
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    // Miri, under which those who use this may test, runs no instructions.
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _no_such_instruction = address;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn nothing_is_changed_whatever_stands_there() {
        let owners = [None, Some(Arc::<str>::from("a"))];
        for owner in &owners {
            fetch_owned(owner);
            fetch(owner);
        }
        fetch(ptr::null::<u8>());
        // Neither has a word that a pointer could be in; the second has one of which most bytes mean nothing.
        fetch_owned(&());
        fetch_owned(&Some(Box::new(1_u8)).map(|kept| (kept, 1_u8)));
        fetch_owned(&Odd::Small(1));
        fetch_owned(&Odd::Owned(Box::new([1])));
        assert_eq!(owners, [None, Some("a".into())]);
        assert_eq!(owners.iter().flatten().map(Arc::strong_count).collect::<Vec<_>>(), [1]);
    }

    /// Of two words, of which the first holds one byte.
    #[expect(dead_code, reason = "only its bytes count")]
    enum Odd {
        Small(u8),
        Owned(Box<[u8; 1]>),
    }
}
