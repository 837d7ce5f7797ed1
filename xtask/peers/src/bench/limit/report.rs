//! What was measured, as tables for people and as one JSON object for tools.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::flood::Flood;
use crate::Outcome;
use crate::version::version;

/// One race: the nanoseconds of a decision by limiter.
pub(super) struct Row {
    pub(super) keys: u64,
    pub(super) threads: u64,
    pub(super) mix: &'static str,
    pub(super) cells: Vec<(&'static str, f64)>,
}

/// Over Redis: calls per second, and how many commands a decision is.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    pub(super) reads: f64,
    pub(super) decisions: f64,
    pub(super) commands: f64,
}

pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    pub(super) flood: Flood,
    pub(super) shared: Option<Shared>,
}

/// What a limiter has to keep to.
const MOST_OF_GOVERNOR: f64 = 1.5;
const MOST_BYTES: f64 = 200.0;
const MOST_OWN_MICROS: u128 = 1000;
const LEAST_OF_READS: f64 = 0.10;
const WHOSE: &str = "governor";

impl Row {
    fn of(&self, name: &str) -> Option<f64> {
        self.cells.iter().find(|(other, _)| *other == name).map(|(_, ns)| *ns)
    }

    /// Ours over theirs, if they took part.
    fn ratio(&self, name: &str) -> Option<f64> {
        Some(self.of(name)? / self.of(WHOSE)?)
    }
}

impl Report {
    pub(super) fn tables(&self, out: &mut impl Write) -> Outcome {
        let peer = version(WHOSE);
        writeln!(out, "nanoseconds of processor time per decision; {WHOSE} {peer}")?;
        write!(out, "{:<10} {:>7} {:<9}", "keys", "threads", "mix")?;
        let names: Vec<&str> =
            self.rows.first().map(|row| row.cells.iter().map(|it| it.0).collect()).unwrap_or_default();
        names.iter().try_for_each(|name| write!(out, " {name:>9}"))?;
        writeln!(out, " window/{WHOSE}")?;
        for row in &self.rows {
            write!(out, "{:<10} {:>7} {:<9}", row.keys, row.threads, row.mix)?;
            row.cells.iter().try_for_each(|(_, ns)| write!(out, " {ns:>9.1}"))?;
            writeln!(
                out,
                "{}",
                row.ratio("window").map_or(String::new(), |ratio| format!(" {ratio:>15.2}"))
            )?;
        }
        let flood = &self.flood;
        writeln!(out, "\na flood of {} keys, each once, against room for {}", flood.come, flood.bound)?;
        writeln!(out, "  held              {}", flood.held)?;
        for (limit, bytes) in flood.bytes_per_key {
            writeln!(out, "  bytes per key     {bytes:.0} (at most {MOST_BYTES}), limit {limit}")?;
        }
        writeln!(
            out,
            "  longest decision  {:.3?} own, {:.3?} on the wall",
            flood.longest_own, flood.longest_wall
        )?;
        if let Some(Shared { reads, decisions, commands }) = self.shared {
            writeln!(out, "\nover Redis, 256 callers on one connection")?;
            writeln!(out, "  reads             {reads:.0} per second")?;
            let ratio = decisions / reads;
            writeln!(
                out,
                "  decisions         {decisions:.0} per second, {ratio:.2} of the reads (at least {LEAST_OF_READS})"
            )?;
            writeln!(out, "  commands          {commands:.3} per decision")?;
        }
        for (what, holds) in self.bounds() {
            writeln!(out, "{what}: {}", if holds { "holds" } else { "MISSED" })?;
        }
        Ok(())
    }

    pub(super) fn json(&self, out: &mut impl Write) -> Outcome {
        let rows = self.rows.iter().map(|row| {
            let ns: Map<String, Value> = row.cells.iter().map(|(name, ns)| ((*name).to_owned(), json!(ns))).collect();
            json!({ "keys": row.keys, "threads": row.threads, "mix": row.mix, "ns": ns, "ratio": row.ratio("window") })
        });
        let flood = &self.flood;
        let bytes: Map<String, Value> =
            flood.bytes_per_key.iter().map(|(limit, bytes)| (limit.to_string(), json!(bytes))).collect();
        let shared = self
            .shared
            .map(|it| json!({ "reads": it.reads, "decisions": it.decisions, "commands": it.commands }));
        let bounds = self.bounds().into_iter().map(|(what, holds)| json!({ "bound": what, "holds": holds }));
        let object = json!({
            "peer": { "name": WHOSE, "version": version(WHOSE) },
            "decisions": rows.collect::<Vec<_>>(),
            "flood": {
                "come": flood.come,
                "bound": flood.bound,
                "held": flood.held,
                "bytes_per_key": bytes,
                "longest_own_us": flood.longest_own.as_secs_f64() * 1e6,
                "longest_wall_us": flood.longest_wall.as_secs_f64() * 1e6,
            },
            "redis": shared,
            "bounds": bounds.collect::<Vec<_>>(),
        });
        writeln!(out, "{object}")?;
        Ok(())
    }

    /// What has to hold, and whether it does.
    fn bounds(&self) -> Vec<(String, bool)> {
        let flood = &self.flood;
        let mut bounds = vec![
            (format!("at most {} keys", flood.bound), flood.held <= flood.bound),
            (
                format!("at most {MOST_BYTES} bytes per key"),
                flood.bytes_per_key.iter().all(|it| it.1 <= MOST_BYTES),
            ),
            (
                format!("no decision over {MOST_OWN_MICROS} us"),
                flood.longest_own.as_micros() <= MOST_OWN_MICROS,
            ),
        ];
        for row in &self.rows {
            if let Some(ratio) = row.ratio("window") {
                let race = format!("{} keys, {} thread(s), {}", row.keys, row.threads, row.mix);
                bounds.push((
                    format!("{race}: {ratio:.2} of {WHOSE}, at most {MOST_OF_GOVERNOR}"),
                    ratio <= MOST_OF_GOVERNOR,
                ));
            }
        }
        if let Some(Shared { reads, decisions, commands }) = self.shared {
            let ratio = decisions / reads;
            bounds.push((
                format!("{ratio:.2} of the reads over Redis, at least {LEAST_OF_READS}"),
                ratio >= LEAST_OF_READS,
            ));
            bounds.push(("one command per decision".to_owned(), (commands - 1.0).abs() < 0.01));
        }
        bounds
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(governor: f64, bytes: f64) -> Report {
        let cells = vec![("window", 60.0), ("smooth", 50.0), (WHOSE, governor)];
        let flood = Flood {
            come: 100,
            bound: 10,
            held: 10,
            bytes_per_key: [(60, bytes), (1000, 10.0)],
            longest_wall: Duration::from_millis(3),
            longest_own: Duration::from_micros(30),
        };
        let shared = Some(Shared { reads: 100.0, decisions: 20.0, commands: 1.0 });
        Report { rows: vec![Row { keys: 1, threads: 2, mix: "admitted", cells }], flood, shared }
    }

    #[test]
    fn what_is_missed_is_said() {
        let said = |report: Report| {
            let mut out = Vec::new();
            report.tables(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(!said(report(50.0, 150.0)).contains("MISSED"));
        let text = said(report(30.0, 201.0));
        assert!(text.contains("2.00 of governor, at most 1.5: MISSED"), "{text}");
        assert!(text.contains("at most 200 bytes per key: MISSED"), "{text}");
    }
}
