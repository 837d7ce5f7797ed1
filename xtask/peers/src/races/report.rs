//! What became of the races, as a table for people and as one JSON object for tools.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::scenario::{SCENARIOS, Verdict};
use crate::Outcome;
use crate::version::version;

/// One cache in all races.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    /// In the order of the scenarios.
    pub(super) verdicts: Vec<Verdict>,
}

/// All caches in all races.
pub(super) struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(rows: Vec<Row>) -> Self {
        Self { rows }
    }

    /// Prints one object on one line: by scenario and cache `"passes"`, `{"fails": …}` or `{"not_offered": …}`.
    pub(super) fn json(&self, out: &mut impl Write) -> Outcome {
        let value = |verdict: &Verdict| match verdict {
            Verdict::Passes => json!("passes"),
            Verdict::Fails(what) => json!({ "fails": what }),
            Verdict::Lacks(what) => json!({ "not_offered": what }),
        };
        let scenarios = SCENARIOS.iter().enumerate().map(|(at, scenario)| {
            let cells = self.rows.iter().map(|row| (row.name.to_owned(), value(&row.verdicts[at])));
            (scenario.id.to_owned(), Value::Object(cells.collect()))
        });
        let scenarios: Map<String, Value> = scenarios.collect();
        let versions = self.rows.iter().map(|row| (row.name.to_owned(), version(row.package).into()));
        let versions: Map<String, Value> = versions.collect();
        writeln!(out, "{}", json!({ "scenarios": scenarios, "versions": versions }))?;
        Ok(())
    }

    /// Prints a table of Markdown, a line for each scenario.
    pub(super) fn table(&self, out: &mut impl Write) -> Outcome {
        write!(out, "| scenario |")?;
        for row in &self.rows {
            write!(out, " {} {} |", row.name, version(row.package))?;
        }
        writeln!(out, "\n|---|{}", "---|".repeat(self.rows.len()))?;
        for (at, scenario) in SCENARIOS.iter().enumerate() {
            write!(out, "| **{}** {} |", scenario.id, scenario.wanted)?;
            for row in &self.rows {
                match &row.verdicts[at] {
                    Verdict::Passes => write!(out, " passes |")?,
                    Verdict::Fails(what) => write!(out, " **fails**: {what} |")?,
                    Verdict::Lacks(what) => write!(out, " not offered: {what} |")?,
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut verdicts = vec![Verdict::Passes; SCENARIOS.len()];
        verdicts[1] = Verdict::Fails("21 runs".to_owned());
        verdicts[2] = Verdict::Lacks("no tags");
        Report::new(vec![Row { name: "moka", package: "moka", verdicts }])
    }

    #[test]
    fn json_tells_the_three_verdicts_apart() {
        let mut out = Vec::new();
        report().json(&mut out).unwrap();
        let json: Value = serde_json::from_slice(&out).unwrap();
        let of = |id: &str| json["scenarios"][id]["moka"].clone();
        assert_eq!(of("C03"), "passes");
        assert_eq!(of("C04"), json!({ "fails": "21 runs" }));
        assert_eq!(of("C05"), json!({ "not_offered": "no tags" }));
        assert_eq!(json["versions"]["moka"], version("moka"));
    }

    #[test]
    fn every_line_of_the_table_has_as_many_cells() {
        let mut out = Vec::new();
        report().table(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.matches('|').count() == 3), "{text}");
        assert_eq!(text.lines().count(), 2 + SCENARIOS.len());
    }
}
