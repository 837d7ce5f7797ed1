//! What was measured: one row for each figure, with what was asked of it where something was.

use std::io::Write;

use serde::Serialize;

use crate::Outcome;
use crate::version::version;

/// Everything that was measured, in the order in which it was.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Row>);

#[derive(Debug, Serialize)]
struct Row {
    what: String,
    found: f64,
    unit: &'static str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    asked: Option<Asked>,
    /// Whether it is as asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<bool>,
}

/// What a figure has to be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Asked {
    AtLeast(f64),
    AtMost(f64),
}

impl Asked {
    fn holds(self, found: f64) -> bool {
        match self {
            Self::AtLeast(least) => found >= least,
            Self::AtMost(most) => found <= most,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("at least {least}"),
            Self::AtMost(most) => format!("at most {most}"),
        }
    }
}

impl Report {
    /// Adds a figure that nothing is asked of.
    pub(super) fn told(&mut self, what: String, found: f64, unit: &'static str) {
        self.measured(what, found, unit, None);
    }

    pub(super) fn measured(&mut self, what: String, found: f64, unit: &'static str, asked: Option<Asked>) {
        // What is nearly reached is not.
        let holds = asked.map(|asked| asked.holds(found));
        let found = (found * 1e3).round() / 1e3;
        self.0.push(Row { what, found, unit, asked, holds });
    }

    /// Prints one object on one line.
    pub(super) fn json(&self, out: &mut impl Write) -> Outcome {
        let packages = PACKAGES.map(|package| (package.to_owned(), version(package).into()));
        let versions: serde_json::Map<String, serde_json::Value> = packages.into_iter().collect();
        writeln!(out, "{}", serde_json::json!({ "rows": self.0, "versions": versions }))?;
        Ok(())
    }

    pub(super) fn table(&self, out: &mut impl Write) -> Outcome {
        let packages = PACKAGES.map(|package| format!("{package} {}", version(package)));
        writeln!(out, "{}\n", packages.join(", "))?;
        writeln!(out, "{:<62} {:>10} {:<12}  {:<13}  reached", "", "found", "", "asked")?;
        for Row { what, found, unit, asked, holds } in &self.0 {
            let asked = asked.map_or_else(|| "-".to_owned(), Asked::text);
            let reached = holds.map_or("-", |holds| if holds { "yes" } else { "NO" });
            let decimals = if *found >= 1e3 { 0 } else { 2 };
            writeln!(out, "{what:<62} {found:>10.decimals$} {unit:<12}  {asked:<13}  {reached}")?;
        }
        Ok(())
    }
}

const PACKAGES: [&str; 2] = ["redis", "fred"];

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.told("calls".into(), 12_345.6, "a second");
        report.measured("ratio".into(), 0.8496, "times", Some(Asked::AtLeast(0.85)));
        report.measured("more".into(), 2.0, "us", Some(Asked::AtMost(2.0)));
        report
    }

    #[test]
    fn what_is_missed_is_told_in_both_forms() {
        let mut out = Vec::new();
        report().json(&mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["rows"][0].get("holds"), None);
        assert_eq!((&json["rows"][1]["at_least"], &json["rows"][1]["holds"]), (&0.85.into(), &false.into()));
        assert_eq!((&json["rows"][2]["at_most"], &json["rows"][2]["holds"]), (&2.0.into(), &true.into()));
        assert!(json["versions"]["redis"].as_str().unwrap().starts_with("1."));
        let mut out = Vec::new();
        report().table(&mut out).unwrap();
        let lines = String::from_utf8(out).unwrap();
        let ends = |what: &str| {
            lines
                .lines()
                .find(|line| line.starts_with(what))
                .unwrap()
                .split_whitespace()
                .last()
                .unwrap()
                .to_owned()
        };
        assert_eq!([ends("calls"), ends("ratio"), ends("more")], ["-", "NO", "yes"]);
    }
}
