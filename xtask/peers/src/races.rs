//! The races: what becomes of a load when something else happens to its key meanwhile, with us and with others.
//!
//! ```text
//! scenario ──► load begins ──► gate ──► what happens meanwhile ──► gate opens ──► what is cached, who was answered?
//! ```
//!
//! Loaders wait at gates, so every race has one order and the same result each time. Only who never comes is given up after a
//! while: [`PATIENCE`].

mod report;
mod scenario;

use std::io::{self, Write};
use std::time::Duration;

use tokio::runtime;

use self::report::{Report, Row};
use self::scenario::{SCENARIOS, Verdict};
use crate::Outcome;
use crate::peer::{self, Entrant};

/// The command line of `races`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Prints one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs every scenario against every cache and prints what came of it.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let rows = peer::ALL.iter().map(row).collect::<Outcome<Vec<_>>>()?;
    let report = Report::new(rows);
    if args.json { report.json(out) } else { report.table(out) }
}

/// All scenarios against one cache.
fn row(entrant: &Entrant) -> Outcome<Row> {
    writeln!(io::stderr(), "{}", entrant.name)?;
    let verdict = |scenario: &scenario::Scenario| -> Outcome<Verdict> {
        // A runtime of its own, so that what hangs is gone with it.
        let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
        let verdict = runtime.block_on((scenario.run)(*entrant));
        runtime.shutdown_background();
        verdict
    };
    let verdicts = SCENARIOS.iter().map(verdict).collect::<Outcome<Vec<_>>>()?;
    Ok(Row { name: entrant.name, package: entrant.package, verdicts })
}

/// After so long nobody is expected to come any more.
const PATIENCE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::planted;

    /// What became of each scenario, by its name.
    fn verdicts(entrant: &Entrant) -> Vec<(&'static str, Verdict)> {
        let row = row(entrant).unwrap();
        SCENARIOS.iter().map(|scenario| scenario.id).zip(row.verdicts).collect()
    }

    #[track_caller]
    fn check(entrant: &Entrant, failing: &[&str]) {
        let verdicts = verdicts(entrant);
        for (id, verdict) in &verdicts {
            let fails = matches!(verdict, Verdict::Fails(_));
            assert_eq!(fails, failing.contains(id), "{} in {id}: {verdict:?}", entrant.name);
        }
    }

    #[test]
    fn a_cache_that_joins_every_load_and_stores_its_result_fails_where_it_should() {
        check(&planted::JOINING, &["C03", "C04", "C05", "C06", "C07", "C27", "C34"]);
    }

    #[test]
    fn a_cache_in_which_everybody_loads_fails_where_it_should() {
        check(&planted::CARELESS, &["C03", "C05", "C06", "C07", "C27", "C28", "C34"]);
    }

    #[test]
    fn a_cache_that_a_panic_leaves_locked_fails_there() {
        let of = |verdicts: Vec<(&'static str, Verdict)>| verdicts.into_iter().find(|(id, _)| *id == "C28");
        let (_, verdict) = of(verdicts(&planted::POISONED)).unwrap();
        assert!(matches!(&verdict, Verdict::Fails(what) if what.contains("hang")), "{verdict:?}");
    }

    #[test]
    fn a_node_that_fills_from_an_old_read_fails_there() {
        let (_, verdict) = verdicts(&planted::JOINING).into_iter().find(|(id, _)| *id == "C08").unwrap();
        assert!(matches!(verdict, Verdict::Lacks(_)), "{verdict:?}");
        let (_, verdict) = verdicts(&planted::TWO_NODES).into_iter().find(|(id, _)| *id == "C08").unwrap();
        assert!(matches!(&verdict, Verdict::Fails(_)), "{verdict:?}");
    }

    #[test]
    fn ours_fails_none() {
        let ours = peer::ALL.iter().find(|entrant| entrant.name == "strata").unwrap();
        for (id, verdict) in verdicts(ours) {
            assert_eq!(verdict, Verdict::Passes, "{id}");
        }
    }
}
