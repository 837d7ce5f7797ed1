//! Whether the attributes suit the function: an error is at the attribute, or at what of the function it lacks.

use quote::quote;
use syn::spanned::Spanned;
use syn::{Error, Result};

use crate::attributes::Attributes;
use crate::function::{Function, mentions, root};

/// What a sync function has nobody to do.
const NEED_A_TASK: [&str; 6] =
    ["stale_for", "fail_safe_for", "fail_safe_throttle", "soft_timeout", "hard_timeout", "cache_errors_for"];

/// Checks what attributes say of the function.
pub(crate) fn check(attributes: &Attributes, function: &Function) -> Result<()> {
    for skipped in &attributes.skip {
        let known = if skipped == "self" {
            function.receiver.is_some()
        } else {
            function.has_argument(&skipped.to_string())
        };
        if !known {
            let message =
                format!("`{skipped}` is no argument of this function; {}", function.argument_list());
            return Err(Error::new(skipped.span(), message));
        }
    }
    for tag in &attributes.tags {
        if let Some(name) = tag.names.iter().find(|name| !function.has_argument(name)) {
            let message =
                format!("the tag names `{name}`, which is no argument; {}", function.argument_list());
            return Err(Error::new(tag.template.span(), message));
        }
    }
    check_kind(attributes, function)?;
    check_key(attributes, function)?;
    check_own_cache(attributes, function)
}

fn check_kind(attributes: &Attributes, function: &Function) -> Result<()> {
    let mut needs_a_task = NEED_A_TASK.iter().filter_map(|name| attributes.life(name));
    let needs_a_task = needs_a_task.next().or(attributes.eager_at.as_ref().map(|(name, _)| name));
    if let Some(name) = needs_a_task.filter(|_| !function.is_async()) {
        let message = format!(
            "`{name}` needs a load that is a task of its own, which a sync function has not: make the function async, \
             or leave `{name}` out"
        );
        return Err(Error::new(name.span(), message));
    }
    if let Some(name) = attributes.life("negative_ttl").filter(|_| !function.answer.is_option) {
        let message = "`negative_ttl` is for None, and this function returns no Option; leave it out";
        return Err(Error::new(name.span(), message));
    }
    Ok(())
}

/// Checks that two functions, or two objects, never share a key.
fn check_key(attributes: &Attributes, function: &Function) -> Result<()> {
    if attributes.key.is_some() {
        return Ok(());
    }
    if let Some(at) = function.type_parameter() {
        let message = "the keys would not tell this function's types apart; say with `key` what the key is";
        return Err(Error::new(at, message));
    }
    let of_self = attributes.cache.as_ref().and_then(root).is_some_and(|root| root == "self");
    let skips_self = attributes.skip.iter().any(|skipped| skipped == "self");
    if let Some(receiver) = function.receiver.as_ref().filter(|_| !of_self && !skips_self) {
        let message = "two objects would share their answers: take the cache from `self`, say with `key` what tells \
            them apart, or that nothing does with skip(self)";
        return Err(Error::new(receiver.tokens.self_token.span(), message));
    }
    Ok(())
}

/// Checks that a function without a `cache` can have one of its own.
fn check_own_cache(attributes: &Attributes, function: &Function) -> Result<()> {
    let value = &function.answer.value;
    if attributes.cache.is_none() && mentions(quote!(#value), "Self") {
        let message =
            "a cache of the function's own cannot hold `Self`; write the type's name, or give a `cache`";
        return Err(Error::new(value.span(), message));
    }
    Ok(())
}
