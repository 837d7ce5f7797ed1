//! Figures: one row for each, with what was asked of it and what another has published, where there is such a thing.

use std::io::Write;

use serde::Serialize;

use crate::Outcome;

/// Everything that was measured, in the order in which it was.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Row>);

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
    #[serde(skip_serializing_if = "Option::is_none")]
    theirs: Option<&'static str>,
}

/// What a figure has to be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Asked {
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

impl Figures {
    /// Adds a figure that nothing is asked of.
    pub(crate) fn told(&mut self, what: impl Into<String>, found: f64, unit: &'static str) {
        self.add(what.into(), (found, unit), None, None);
    }

    /// Adds a figure that something is asked of.
    pub(crate) fn asked(&mut self, what: impl Into<String>, found: f64, unit: &'static str, asked: Asked) {
        self.add(what.into(), (found, unit), Some(asked), None);
    }

    /// Adds a figure, with what is asked of it and what others have published.
    pub(crate) fn add(
        &mut self,
        what: String,
        (found, unit): (f64, &'static str),
        asked: Option<Asked>,
        theirs: Option<&'static str>,
    ) {
        // What is nearly reached is not.
        let holds = asked.map(|asked| asked.holds(found));
        let found = (found * 1e4).round() / 1e4;
        self.0.push(Row { what, found, unit, asked, holds, theirs });
    }

    /// Prints a table, or one object on one line.
    pub(crate) fn print(&self, json: bool, out: &mut impl Write) -> Outcome {
        if json {
            writeln!(out, "{}", serde_json::json!({ "rows": self.0 }))?;
            return Ok(());
        }
        let has_theirs = self.0.iter().any(|row| row.theirs.is_some());
        let theirs = if has_theirs { "  theirs" } else { "" };
        writeln!(out, "{:<64} {:>10} {:<9}  {:<14}  reached{theirs}", "", "found", "", "asked")?;
        for Row { what, found, unit, asked, holds, theirs } in &self.0 {
            let asked = asked.map_or_else(|| "-".to_owned(), Asked::text);
            let reached = holds.map_or("-", |holds| if holds { "yes" } else { "NO" });
            let decimals = if *found >= 1e3 { 0 } else { 2 };
            let line = format!("{what:<64} {found:>10.decimals$} {unit:<9}  {asked:<14}  {reached:<7}");
            writeln!(out, "{}", format!("{line}  {}", theirs.unwrap_or_default()).trim_end())?;
        }
        Ok(())
    }
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_told_in_both_forms() {
        let mut figures = Figures::default();
        figures.told("calls", 12_345.6, "a second");
        figures.asked("ratio", 0.899_96, "times", Asked::AtLeast(0.9));
        figures.add("errors".into(), (0.0, ""), Some(Asked::AtMost(0.0)), Some("none"));
        let printed = |json| {
            let mut out = Vec::new();
            figures.print(json, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let json: serde_json::Value = serde_json::from_str(&printed(true)).unwrap();
        assert_eq!(json["rows"][0].get("holds"), None);
        assert_eq!((&json["rows"][1]["at_least"], &json["rows"][1]["holds"]), (&0.9.into(), &false.into()));
        assert_eq!((&json["rows"][2]["theirs"], &json["rows"][2]["holds"]), (&"none".into(), &true.into()));
        let table = printed(false);
        let row = |at| table.lines().nth(at).unwrap().split_whitespace().collect::<Vec<_>>();
        assert!(row(2).ends_with(&["0.9", "NO"]) && row(3).ends_with(&["yes", "none"]), "{table}");
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((median(vec![9.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON && median(vec![]) < f64::EPSILON);
    }
}
