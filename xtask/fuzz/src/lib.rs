//! What no bytes may do to the codecs of `strata`: millions of them, and values that nest, on a small stack.
//!
//! A package of its own, for its code to be optimised a little: unoptimised, a level of a value takes up to 6 KiB of stack, and the
//! 128 levels that are allowed do not fit where they have to.

#![cfg(test)]
#![expect(clippy::option_option, reason = "an Option in an Option is what has to come back")]

mod bytes;
#[path = "../../../strata/tests/it/codec/made.rs"]
mod made;
mod nesting;

/// As small as any thread has that a service would read a cache on.
const SMALL_STACK: usize = 512 << 10;

fn on_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(SMALL_STACK).spawn(run).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
#[should_panic(expected = "what went wrong")]
fn what_goes_wrong_on_a_small_stack_is_told() {
    on_small_stack(|| panic!("what went wrong"));
}
