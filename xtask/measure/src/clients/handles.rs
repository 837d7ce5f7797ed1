//! File handles: each connection takes one on either side, and most shells allow a thousand.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Outcome;

/// Lets this process and those that it starts open so many files, or says how that can be had.
pub(super) fn ensure(needed: u64) -> Outcome {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|soft| soft >= needed) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|hard| hard < needed) {
        let hard = limit.maximum.unwrap_or_default();
        return Err(format!(
            "this takes {needed} open files, and this shell may allow {hard} at most; as root, run: ulimit -n {needed} \
             && cargo xtask clients (or ask for fewer with --idle)"
        )
        .into());
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum })?;
    Ok(())
}
