//! Writers that cannot say what goes, or whether it should.

use strata::invalidates;

#[invalidates]
fn nothing_goes() -> Result<(), String> {
    Ok(())
}

#[invalidates(user)]
fn no_call() -> Result<(), String> {
    Ok(())
}

#[invalidates(user(7))]
fn cannot_fail() -> u64 {
    7
}

#[invalidates(user(7))]
struct NoFunction;

fn main() {}
