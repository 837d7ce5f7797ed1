//! Instructions of a call, counted by callgrind: what a busy machine cannot blur. One caller, on a runtime of one thread.

use cache_testkit::redis::Server;
use tokio::runtime;

use super::report::Report;
use super::side::{Name, Sides};
use super::{Act, median};
use crate::Outcome;
use crate::bench::instructions;

pub(super) fn count(report: &mut Report) -> Outcome {
    for act in [Act::Get, Act::Set] {
        for name in Name::ALL {
            let path = ["bench", "redis", "--only", name.as_str(), "--act", act.as_str()];
            let mut counts = Vec::new();
            for _ in 0..ROUNDS {
                counts.push(f64::from(u32::try_from(instructions::per_hit(&path, CALLS)?)?));
            }
            report.told(
                format!("{}, 1 caller: {}", act.as_str(), name.as_str()),
                median(counts),
                "instructions",
            );
        }
    }
    Ok(())
}

/// Makes so many calls, one after another.
pub(super) fn make(name: Name, act: Act, calls: u64) -> Outcome {
    let server = Server::start();
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let sides = Sides::only(name, &server).await?;
        sides.fill(KEYS).await?;
        let [(_, side)] = sides.all() else { return Err("there is one side".into()) };
        let mut side = side.clone();
        for call in 0..usize::try_from(calls)? {
            side.make(act, call % KEYS).await?;
        }
        Ok(())
    })
}

const CALLS: u64 = 5_000;
const ROUNDS: usize = 3;
const KEYS: usize = 64;
