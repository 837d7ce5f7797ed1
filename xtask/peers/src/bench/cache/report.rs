//! What was timed, as tables for people and as one JSON object for tools.
//!
//! A ratio is a time over that of `moka::future` get in the same workload: below 1 it is faster.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::lane::Name;
use super::waiters::Crowd;
use crate::Outcome;
use crate::version::version;

/// One workload.
pub(super) struct Row {
    pub(super) keys: u64,
    pub(super) kind: &'static str,
    /// Nanoseconds and allocations per hit, of those that took part.
    pub(super) cells: Vec<(Name, f64, Option<f64>)>,
}

/// Everything that was measured.
pub(super) struct Report {
    pub(super) names: Vec<Name>,
    pub(super) rows: Vec<Row>,
    pub(super) crowds: Vec<Crowd>,
}

impl Report {
    /// Prints one object on one line.
    pub(super) fn json(&self, out: &mut impl Write) -> Outcome {
        let workloads = self.rows.iter().map(|row| {
            let of = |cell: fn(&Row, Name) -> Option<f64>| -> Map<String, Value> {
                let cells = self.names.iter().filter_map(|&name| Some((name, cell(row, name)?)));
                cells.map(|(name, number)| (name.as_str().to_owned(), rounded(number))).collect()
            };
            json!({
                "name": row.name(),
                "ns": of(Row::time),
                "over_moka": of(Row::over_moka),
                "allocations": of(Row::allocations),
            })
        });
        let workloads: Vec<Value> = workloads.collect();
        let bounds = self.bounds();
        let bounds = bounds.iter().map(|it| {
            json!({
                "name": it.name.as_str(), "workload": it.workload, "over_moka": rounded(it.found),
                "at_most": it.most, "holds": it.found <= it.most,
            })
        });
        let bounds: Vec<Value> = bounds.collect();
        let crowd = |it: &Crowd| {
            let figures = json!({
                "waiters": it.waiters, "loads": it.loads, "woken": it.woken, "ns_each": rounded(it.ns_each),
            });
            (it.name.to_owned(), figures)
        };
        let crowds: Map<String, Value> = self.crowds.iter().map(crowd).collect();
        let versions =
            self.names.iter().map(|name| (name.as_str().to_owned(), version(name.package()).into()));
        let versions: Map<String, Value> = versions.collect();
        let report =
            json!({ "workloads": workloads, "bounds": bounds, "waiters": crowds, "versions": versions });
        writeln!(out, "{report}")?;
        Ok(())
    }

    /// Prints the times, their ratios to moka's, the allocations, and the crowds.
    pub(super) fn tables(&self, out: &mut impl Write) -> Outcome {
        let named = |name: &Name| format!("{} {}", name.package(), version(name.package()));
        let mut packages: Vec<String> = self.names.iter().map(named).collect();
        packages.dedup();
        writeln!(out, "{}", packages.join(", "))?;
        self.table("ns of processor time per hit", Row::time, 1, out)?;
        self.table("over moka::future get", Row::over_moka, 2, out)?;
        self.table("allocations per hit", Row::allocations, 2, out)?;
        for bound in self.bounds() {
            let Bound { name, workload, found, most } = bound;
            let holds = if found <= most { "holds" } else { "MISSED" };
            writeln!(
                out,
                "{:<18} {workload:<12} {found:>5.2} of moka, at most {most}: {holds}",
                name.as_str()
            )?;
        }
        if let Some(crowd) = self.crowds.first() {
            writeln!(out, "\n{} tasks ask for one key", crowd.waiters)?;
            writeln!(out, "{:<18} {:>8} {:>8} {:>14}", "", "loads", "woken", "ns for each")?;
        }
        for Crowd { name, loads, woken, ns_each, .. } in &self.crowds {
            writeln!(out, "{name:<18} {loads:>8} {woken:>8} {ns_each:>14.0}")?;
        }
        Ok(())
    }

    fn table(
        &self,
        title: &str,
        cell: fn(&Row, Name) -> Option<f64>,
        decimals: usize,
        out: &mut impl Write,
    ) -> Outcome {
        if self.rows.iter().all(|row| self.names.iter().all(|&name| cell(row, name).is_none())) {
            return Ok(());
        }
        write!(out, "\n{title}\n{:<18}", "")?;
        for row in &self.rows {
            write!(out, " {:>12}", row.name())?;
        }
        writeln!(out)?;
        for &name in &self.names {
            write!(out, "{:<18}", name.as_str())?;
            for row in &self.rows {
                match cell(row, name) {
                    Some(number) => write!(out, " {number:>12.decimals$}")?,
                    None => write!(out, " {:>12}", "-")?,
                }
            }
            writeln!(out, "  {}", name.does())?;
        }
        writeln!(out)?;
        Ok(())
    }

    /// What we set out for, and what came of it.
    fn bounds(&self) -> Vec<Bound> {
        let aims = [(Name::Strata, 0.5), (Name::StrataTags, 0.7), (Name::StrataTagsAsked, 0.7)];
        let each = aims.iter().flat_map(|&(name, most)| {
            let of = move |row: &Row| {
                Some(Bound { name, workload: row.name(), found: row.over_moka(name)?, most })
            };
            self.rows.iter().filter_map(of)
        });
        each.collect()
    }
}

struct Bound {
    name: Name,
    workload: String,
    found: f64,
    most: f64,
}

impl Row {
    /// As `u64-16384`.
    fn name(&self) -> String {
        format!("{}-{}", self.kind, self.keys)
    }

    fn time(&self, name: Name) -> Option<f64> {
        self.cells.iter().find(|(other, ..)| *other == name).map(|(_, time, _)| *time)
    }

    fn allocations(&self, name: Name) -> Option<f64> {
        self.cells.iter().find(|(other, ..)| *other == name)?.2
    }

    fn over_moka(&self, name: Name) -> Option<f64> {
        Some(self.time(name)? / self.time(Name::Moka).filter(|time| *time > 0.0)?)
    }
}

/// Prints instructions per hit as one object on one line.
pub(super) fn instructions_json(counts: &[(Name, u64)], out: &mut impl Write) -> Outcome {
    let each = counts.iter().map(|(name, count)| (name.as_str().to_owned(), Value::from(*count)));
    let each: Map<String, Value> = each.collect();
    let bound = over_memory(counts).map(|found| {
        json!({ "over_memory": rounded(found), "at_most": OVER_MEMORY, "holds": found <= OVER_MEMORY })
    });
    writeln!(out, "{}", json!({ "instructions": each, "bound": bound }))?;
    Ok(())
}

/// Prints whether our instructions are what we set out for, if they were counted.
pub(super) fn instructions_bound(counts: &[(Name, u64)], out: &mut impl Write) -> Outcome {
    if let Some(found) = over_memory(counts) {
        let holds = if found <= OVER_MEMORY { "holds" } else { "MISSED" };
        writeln!(out, "strata {found:.2} of memory, at most {OVER_MEMORY}: {holds}")?;
    }
    Ok(())
}

/// The instructions of our whole hit over those of the memory tier alone.
fn over_memory(counts: &[(Name, u64)]) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "some hundred instructions")]
    let of = |wanted| counts.iter().find(|(name, _)| *name == wanted).map(|(_, count)| *count as f64);
    Some(of(Name::Strata)? / of(Name::Memory).filter(|count| *count > 0.0)?)
}

/// Three decimals are more than repeat.
fn rounded(number: f64) -> Value {
    Value::from((number * 1_000.0).round() / 1_000.0)
}

/// The most that a hit may run beyond that of the memory tier.
const OVER_MEMORY: f64 = 1.15;

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let cells = vec![(Name::Strata, 30.0, Some(0.0)), (Name::Moka, 50.0, Some(0.08))];
        let crowds = vec![Crowd { name: "strata", waiters: 10, loads: 1, woken: 10, ns_each: 500.0 }];
        Report {
            names: vec![Name::Strata, Name::Moka, Name::Foyer],
            rows: vec![Row { keys: 64, kind: "u64", cells }],
            crowds,
        }
    }

    #[test]
    fn json_is_one_object_and_tells_what_was_missed() {
        let mut out = Vec::new();
        report().json(&mut out).unwrap();
        let json: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["workloads"][0]["name"], "u64-64");
        assert_eq!(json["workloads"][0]["over_moka"]["strata"], 0.6);
        assert_eq!(json["workloads"][0]["allocations"]["moka"], 0.08);
        assert!(json["workloads"][0]["ns"].get("foyer").is_none(), "it took no part: {json}");
        assert_eq!(json["bounds"][0]["holds"], false);
        assert_eq!(json["waiters"]["strata"]["woken"], 10);
    }

    #[test]
    fn instructions_are_compared_with_the_memory_tier() {
        let said = |ours| {
            let mut out = Vec::new();
            instructions_bound(&[(Name::Strata, ours), (Name::Memory, 100)], &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(said(115), "strata 1.15 of memory, at most 1.15: holds\n");
        assert_eq!(said(300), "strata 3.00 of memory, at most 1.15: MISSED\n");
        let mut out = Vec::new();
        instructions_json(&[(Name::Strata, 300)], &mut out).unwrap();
        let json: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&json["instructions"]["strata"], &json["bound"]), (&json!(300), &Value::Null));
    }

    #[test]
    fn tables_show_who_took_no_part() {
        let mut out = Vec::new();
        report().tables(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("0.60 of moka, at most 0.5: MISSED"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("foyer") && line.contains(" - ")), "{text}");
    }
}
