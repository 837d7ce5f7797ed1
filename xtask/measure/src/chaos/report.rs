//! What the callers of each fleet noticed: a table to read, an object for machines.

use std::fmt;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde::Serialize;

use super::book::Book;
use super::fault::Fault;
use super::fleet::{Pace, Tally};
use crate::Outcome;

/// All faults. Its fields are the names in `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    bound_seconds: f64,
    faults: Vec<Row>,
}

/// One fault, and what was noticed from its beginning on.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    fault: &'static str,
    lasted_seconds: f64,
    /// Over all of the trial.
    reads: u64,
    changes: u64,
    /// Since the fault began.
    loads: u64,
    errors: u64,
    wrong: u64,
    /// Answers of other nodes that had been overtaken and were allowed or not, and the oldest: since its successor was told.
    overtaken: u64,
    longest_overtaken_seconds: f64,
    longest_read_seconds: f64,
    longest_change_seconds: f64,
    /// From the end of the fault until every tier takes writes and owes nothing, and every bus is whole.
    recovered_seconds: Option<f64>,
    tier_errors: u64,
    tier_writes: u64,
    repaired: u64,
    doubts: u64,
    examples: Vec<String>,
}

impl Row {
    pub(super) fn new(
        fault: Fault,
        lasted: Duration,
        recovered: Option<Duration>,
        book: &Book,
        tally: &Tally,
    ) -> Self {
        let of = |count: &std::sync::atomic::AtomicU64| count.load(SeqCst);
        let seconds = |micros| Duration::from_micros(of(micros)).as_secs_f64();
        let counts = &book.counts;
        Self {
            fault: fault.name(),
            lasted_seconds: lasted.as_secs_f64(),
            reads: of(&counts.reads),
            changes: of(&counts.changes),
            loads: tally.loads,
            errors: of(&counts.errors),
            wrong: of(&counts.wrong),
            overtaken: of(&counts.overtaken),
            longest_overtaken_seconds: seconds(&counts.longest_overtaken),
            longest_read_seconds: seconds(&counts.longest_read),
            longest_change_seconds: seconds(&counts.longest_change),
            recovered_seconds: recovered.map(|time| time.as_secs_f64()),
            tier_errors: tally.tier_errors,
            tier_writes: tally.tier_writes,
            repaired: tally.repaired,
            doubts: tally.doubts,
            examples: book.examples(),
        }
    }

    fn is_bad(&self) -> bool {
        self.errors > 0 || self.wrong > 0 || self.recovered_seconds.is_none()
    }
}

impl Report {
    pub(super) fn new(faults: Vec<Row>, pace: Pace) -> Self {
        Self { bound_seconds: pace.bound().as_secs_f64(), faults }
    }

    /// An error that names every fault that somebody noticed who may not.
    pub(super) fn verdict(&self) -> Outcome {
        let bad = self.faults.iter().filter(|row| row.is_bad());
        let told: Vec<String> =
            bad.map(|row| format!("{} ({})", row.fault, row.examples.join("; "))).collect();
        if told.is_empty() { Ok(()) } else { Err(format!("not as promised: {}", told.join(", ")).into()) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<16}{:>7}{:>9}{:>9}{:>8}{:>7}{:>8}{:>9}{:>9}{:>9}{:>11}{:>8}{:>8}",
            "fault",
            "lasted",
            "reads",
            "changes",
            "errors",
            "wrong",
            "late",
            "by s",
            "read s",
            "change s",
            "recovered s",
            "tier e.",
            "doubts"
        )?;
        for row in &self.faults {
            let recovered = row.recovered_seconds.map_or("never".into(), |it| format!("{it:.2}"));
            writeln!(
                f,
                "{:<16}{:>7.1}{:>9}{:>9}{:>8}{:>7}{:>8}{:>9.2}{:>9.2}{:>9.2}{:>11}{:>8}{:>8}",
                row.fault,
                row.lasted_seconds,
                row.reads,
                row.changes,
                row.errors,
                row.wrong,
                row.overtaken,
                row.longest_overtaken_seconds,
                row.longest_read_seconds,
                row.longest_change_seconds,
                recovered,
                row.tier_errors,
                row.doubts
            )?;
        }
        writeln!(
            f,
            "\nlate: overtaken by a change of another node. Forbidden, and wrong, after {} s",
            self.bound_seconds
        )
    }
}
