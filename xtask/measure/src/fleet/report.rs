//! What was found of a fleet: tables to read, an object for machines, and whether it is as promised.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::judge::Verdict;
use super::loads::{Cold, Killed, WithCopy};
use crate::Outcome;

/// Everything. Its fields are the names in `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) processes: u32,
    pub(super) writes: Written,
    /// Not with a process that is deaf.
    pub(super) loads: Option<Loads>,
}

/// What was written and read, and the judgement.
#[derive(Debug, Default, Serialize)]
pub(super) struct Written {
    seconds: f64,
    writes: u64,
    removals: u64,
    reads: u64,
    loads: u64,
    bound_seconds: f64,
    doubts: u64,
    tier_errors: u64,
    errors: u64,
    /// All of the following.
    wrong: u64,
    forgot_own: u64,
    beyond_bound: u64,
    resurrected: u64,
    went_back: u64,
    nonsense: u64,
    /// Keys that all have written at once and that not all answer alike.
    diverged: u64,
    /// Reads that a complete write of another process had overtaken: how many, and by how much.
    late: u64,
    late_p99_seconds: f64,
    late_longest_seconds: f64,
    /// What the monitors say, until all had settled and after it.
    samples: u64,
    disagreed: u64,
    ended: u64,
    p50_seconds: f64,
    p99_seconds: f64,
    longest_seconds: f64,
    settled_seconds: Option<f64>,
    open: u64,
    examples: Vec<String>,
}

/// How often keys were loaded.
#[derive(Debug, Serialize)]
pub(super) struct Loads {
    pub(super) hold_seconds: f64,
    pub(super) cold: Cold,
    pub(super) killed: Killed,
    pub(super) stale: WithCopy,
}

/// What all have told together.
pub(super) fn sum(told: &[Value], field: &str) -> u64 {
    told.iter().filter_map(|told| told[field].as_u64()).sum()
}

fn most(told: &[Value], field: &str) -> f64 {
    let micros = told.iter().filter_map(|told| told[field].as_u64()).max().unwrap_or(0);
    Duration::from_micros(micros).as_secs_f64()
}

impl Written {
    pub(super) fn new(verdict: &Verdict, told: &[Value], contested: &[Value]) -> Self {
        let findings = told.iter().map(|told| &told["findings"]);
        let agreed = |of: &Value| of["agrees"].as_u64().unwrap_or(0) + of["alike"].as_u64().unwrap_or(0);
        let samples = sum(told, "samples");
        let late = verdict.late.len();
        let nanos = |at: Option<&u64>| Duration::from_nanos(at.copied().unwrap_or(0)).as_secs_f64();
        let words = told.iter().filter_map(|told| told["example"].as_str().map(ToOwned::to_owned));
        let open = told.iter().flat_map(|told| told["open_keys"].as_array().into_iter().flatten());
        let open = open.filter_map(|key| key.as_str().map(|key| format!("still disagrees: {key}")));
        Self {
            writes: verdict.writes,
            removals: verdict.removals,
            reads: verdict.reads,
            loads: sum(told, "loads"),
            tier_errors: sum(told, "tier_errors"),
            errors: sum(told, "errors"),
            wrong: verdict.wrong() + diverged(contested),
            forgot_own: verdict.forgot_own,
            beyond_bound: verdict.beyond_bound,
            resurrected: verdict.resurrected,
            went_back: verdict.went_back,
            nonsense: verdict.nonsense,
            diverged: diverged(contested),
            late: late as u64,
            late_p99_seconds: nanos(verdict.late.get(late * 99 / 100)),
            late_longest_seconds: nanos(verdict.late.last()),
            samples,
            disagreed: samples - findings.map(agreed).sum::<u64>(),
            ended: sum(told, "ended"),
            p50_seconds: most(told, "p50_us"),
            p99_seconds: most(told, "p99_us"),
            longest_seconds: most(told, "longest_us"),
            open: sum(told, "open"),
            examples: verdict.examples.iter().cloned().chain(words).chain(open).collect(),
            ..Self::default()
        }
    }

    pub(super) fn lasted(
        self,
        took: Duration,
        bound: Duration,
        (doubts, settled): (u64, Option<Duration>),
    ) -> Self {
        let settled_seconds = settled.map(|settled| settled.as_secs_f64());
        Self {
            seconds: took.as_secs_f64(),
            bound_seconds: bound.as_secs_f64(),
            doubts,
            settled_seconds,
            ..self
        }
    }
}

/// The keys of which not all processes answer the same.
fn diverged(contested: &[Value]) -> u64 {
    let values = |told: &Value| told["values"].as_array().cloned().unwrap_or_default();
    let all: Vec<Vec<Value>> = contested.iter().map(values).collect();
    let keys = all.iter().map(Vec::len).max().unwrap_or(0);
    let differs = |key: &usize| {
        let answers = all.iter().map(|of| of.get(*key).map(Value::to_string));
        answers.collect::<BTreeSet<_>>().len() > 1
    };
    (0..keys).filter(differs).count() as u64
}

impl Loads {
    fn faults(&self, processes: u32) -> Vec<String> {
        let Self { cold, killed, stale, .. } = self;
        let mut faults = Vec::new();
        let mut demand = |is_so: bool, what: &str| {
            if !is_so {
                faults.push(what.to_owned());
            }
        };
        demand(
            cold.most == 1 && cold.loads == u64::from(cold.keys),
            "a cold key was not loaded exactly once",
        );
        demand(
            killed.loads == killed.kills + 1,
            "a key was loaded more than once for each process that was killed",
        );
        demand(killed.answered > 0, "who was left was not answered");
        demand(stale.fresh == 0 && stale.stale > 0, "a copy did not stand in while its key was loaded");
        demand(
            stale.loads_meanwhile == 1 && stale.loads == 2,
            "a key with copies was not loaded once, and again after the kill",
        );
        demand(killed.kills + 1 == u64::from(processes), "not all processes loaded");
        faults
    }
}

impl Report {
    /// An error that says everything that is not as promised.
    pub(super) fn verdict(&self) -> Outcome {
        let writes = &self.writes;
        let mut faults = Vec::new();
        if writes.wrong > 0 {
            faults.push(format!("{} answers are wrong", writes.wrong));
        }
        if writes.errors > 0 {
            faults.push(format!("{} calls failed", writes.errors));
        }
        if writes.settled_seconds.is_none() || writes.open > 0 {
            faults.push(format!("memory and tier disagree of {} keys in the end", writes.open));
        }
        faults.extend(self.loads.iter().flat_map(|loads| loads.faults(self.processes)));
        if faults.is_empty() {
            return Ok(());
        }
        faults.extend(writes.examples.iter().cloned());
        Err(format!("not as promised: {}", faults.join("; ")).into())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Written { seconds, writes, removals, reads, loads, bound_seconds, doubts, tier_errors, .. } =
            &self.writes;
        let it = &self.writes;
        let settled = it.settled_seconds.map_or("never".to_owned(), |settled| format!("{settled:.2} s"));
        writeln!(f, "{} processes, {seconds:.1} s", self.processes)?;
        writeln!(f, "  writes         {writes}, of which {removals} removals")?;
        writeln!(f, "  reads          {reads}, loads {loads}, calls that failed {}", it.errors)?;
        writeln!(f, "  doubts         {doubts}, errors of the tier {tier_errors}")?;
        writeln!(f, "  wrong          {}", it.wrong)?;
        writeln!(f, "    older than its own        {}", it.forgot_own)?;
        writeln!(f, "    older than the bound      {} (that is {bound_seconds:.1} s)", it.beyond_bound)?;
        writeln!(f, "    back after a removal      {}", it.resurrected)?;
        writeln!(f, "    older than answered once  {}", it.went_back)?;
        writeln!(f, "    never there               {}", it.nonsense)?;
        writeln!(f, "    not alike in the end      {}", it.diverged)?;
        writeln!(
            f,
            "  late           {} reads, 99 of 100 by less than {:.1} ms, the latest by {:.1} ms",
            it.late,
            it.late_p99_seconds * 1000.0,
            it.late_longest_seconds * 1000.0
        )?;
        writeln!(
            f,
            "  monitors       {} samples, {} disagreed; {} ended, half within {:.2} s, the longest {:.2} s",
            it.samples, it.disagreed, it.ended, it.p50_seconds, it.longest_seconds
        )?;
        writeln!(f, "  in the end     {} disagree, all settled after {settled}", it.open)?;
        let Some(Loads { hold_seconds, cold, killed, stale }) = &self.loads else { return Ok(()) };
        let waited: Vec<String> = killed.waited_seconds.iter().map(|it| format!("{it:.2} s")).collect();
        writeln!(f, "loads, with leases of {hold_seconds:.1} s")?;
        writeln!(
            f,
            "  cold           {} keys, {} callers of each: {} loads, at most {} of a key",
            cold.keys, cold.callers, cold.loads, cold.most
        )?;
        writeln!(
            f,
            "  loader killed  {} times: {} loads, the next one after {}",
            killed.kills,
            killed.loads,
            waited.join(", ")
        )?;
        writeln!(
            f,
            "  with a copy    {} answered at once with it and {} not, {} load meanwhile; the next one {:.2} s after the kill",
            stale.stale, stale.fresh, stale.loads_meanwhile, stale.waited_seconds
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_that_are_not_answered_alike_are_counted() {
        let told = |values: Value| json!({ "values": values });
        assert_eq!(diverged(&[told(json!(["a", null, "c"])), told(json!(["a", null, "c"]))]), 0);
        assert_eq!(diverged(&[told(json!(["a", null, "c"])), told(json!(["b", "x", "c"]))]), 2);
        assert_eq!(diverged(&[told(json!(["a"])), told(json!([]))]), 1);
    }
}
