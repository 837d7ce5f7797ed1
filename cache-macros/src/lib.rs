//! The attribute macros of Strata, for users of the feature `macros` of `strata`, where they are documented.
//!
//! ```text
//! attributes ──► what was asked for           each wrong one is an error at its own place
//! function   ──► what it is asked of          arguments, what they hold, what comes back
//! expand     ──► f, f::invalidate, f::refresh, f::uncached
//! invalidates ─► the function, and what it does after an Ok
//! ```
//!
//! Nothing here decides how a cache behaves: what is written is a key, options, and one call of `strata`.

mod attributes;
mod check;
mod expand;
mod function;
mod invalidates;
mod life;
mod template;
mod written;

use proc_macro::TokenStream;

/// Answers a function from a cache. See `strata::cached`.
#[proc_macro_attribute]
pub fn cached(attributes: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(attributes.into(), item.into()).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Invalidates what cached functions have answered, after a function has returned `Ok`. See `strata::invalidates`.
#[proc_macro_attribute]
pub fn invalidates(attributes: TokenStream, item: TokenStream) -> TokenStream {
    invalidates::expand(attributes.into(), item.into())
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
