//! What was timed, as tables for people and as one JSON object for tools.
//!
//! A ratio is our time over another's: below 1 we are faster. The mean of ratios is the geometric one, because it does
//! not depend on whose time is the unit.

use std::io::Write;

use serde::Serialize;
use serde_json::{Map, Value};

use super::engine::Name;
use super::footprint::Measured;
use super::kind::{Integers, Kind, Strings};
use crate::Outcome;
use crate::version::version;

/// One workload.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) threads: usize,
    pub(super) keys: &'static str,
    /// Nanoseconds per operation, of those that took part.
    pub(super) times: Vec<(Name, f64)>,
}

/// Everything that was measured.
pub(super) struct Report {
    engines: Vec<Name>,
    rows: Vec<Row>,
    footprints: Vec<Measured>,
}

#[derive(Serialize)]
struct Json<'a> {
    workloads: Vec<JsonRow<'a>>,
    geomean: Map<String, Value>,
    geomean_strings: Map<String, Value>,
    bytes_per_entry: Map<String, Value>,
    versions: Map<String, Value>,
}

#[derive(Serialize)]
struct JsonRow<'a> {
    name: &'a str,
    threads: usize,
    keys: &'static str,
    ns: Map<String, Value>,
}

impl Report {
    pub(super) fn new(engines: Vec<Name>, rows: Vec<Row>, footprints: Vec<Measured>) -> Self {
        Self { engines, rows, footprints }
    }

    /// Prints one object on one line.
    pub(super) fn json(&self, out: &mut impl Write) -> Outcome {
        let row = |row: &'_ Row| {
            let ns = object(row.times.iter().map(|(name, time)| (name.as_str(), rounded(*time))));
            (row.threads, row.keys, ns)
        };
        let workloads = self.rows.iter().map(|it| {
            let (threads, keys, ns) = row(it);
            JsonRow { name: &it.name, threads, keys, ns }
        });
        let means =
            |keys| object(self.means(keys).into_iter().map(|(name, mean)| (name.as_str(), rounded(mean))));
        let kinds = self.footprints.iter();
        let report = Json {
            workloads: workloads.collect(),
            geomean: means(INTEGER),
            geomean_strings: means(STRING),
            bytes_per_entry: object(kinds.map(|it| {
                (it.kind, Value::Object(object(it.bytes.iter().map(|&(name, bytes)| (name, rounded(bytes))))))
            })),
            versions: object(self.engines.iter().map(|name| (name.as_str(), version(name.package()).into()))),
        };
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        Ok(())
    }

    /// Prints a table for each kind of key, the means, and the bytes.
    pub(super) fn tables(&self, out: &mut impl Write) -> Outcome {
        let named = |name: &&Name| format!("{} {}", name.package(), version(name.package()));
        let mut packages: Vec<String> = self.engines.iter().map(|name| named(&name)).collect();
        packages.dedup();
        writeln!(out, "{}", packages.join(", "))?;
        for (keys, title) in
            [(INTEGER, "8-byte keys, 8-byte values"), (STRING, "32-byte keys, 100-byte values")]
        {
            self.table(keys, title, out)?;
        }
        for Measured { kind, bytes } in &self.footprints {
            writeln!(out, "\nbytes per entry, {kind} bytes of key and value")?;
            for (name, bytes) in bytes {
                writeln!(out, "{name:<22} {bytes:>8.1}")?;
            }
        }
        Ok(())
    }

    fn table(&self, keys: &str, title: &str, out: &mut impl Write) -> Outcome {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.keys == keys).collect();
        if rows.is_empty() {
            return Ok(());
        }
        write!(out, "\n{title}: ns of processor time per operation\n{:<26} threads", "workload")?;
        for name in &self.engines {
            write!(out, " {:>12}", name.as_str())?;
        }
        writeln!(out, "  strata/quick_cache  strata/table")?;
        for row in rows {
            write!(out, "{:<26} {:>7}", row.name, row.threads)?;
            for name in &self.engines {
                match row.time(*name) {
                    Some(time) => write!(out, " {time:>12.1}")?,
                    None => write!(out, " {:>12}", "-")?,
                }
            }
            for (peer, width) in [(Name::QuickCache, 20), (Name::Table, 14)] {
                match row.ratio(peer) {
                    Some(ratio) => write!(out, "{ratio:>width$.2}")?,
                    None => write!(out, "{:>width$}", "-")?,
                }
            }
            writeln!(out)?;
        }
        write!(out, "{:<34}", "geometric mean of strata/peer")?;
        let means = self.means(keys);
        for name in &self.engines {
            match means.iter().find(|(peer, _)| peer == name) {
                Some((_, mean)) => write!(out, " {mean:>12.2}")?,
                None => write!(out, " {:>12}", "-")?,
            }
        }
        writeln!(out)?;
        Ok(())
    }

    /// Our time over each peer's, in the geometric mean over the workloads that both took part in.
    fn means(&self, keys: &str) -> Vec<(Name, f64)> {
        let peers = self.engines.iter().filter(|name| !name.is_ours());
        let mean = |&name: &Name| {
            let rows = self.rows.iter().filter(|row| row.keys == keys);
            let logs: Vec<f64> = rows.filter_map(|row| row.ratio(name)).map(f64::ln).collect();
            #[expect(clippy::cast_precision_loss, reason = "some dozens of workloads")]
            let count = logs.len() as f64;
            (count > 0.0).then(|| (name, (logs.iter().sum::<f64>() / count).exp()))
        };
        peers.filter_map(mean).collect()
    }
}

impl Row {
    fn time(&self, name: Name) -> Option<f64> {
        self.times.iter().find(|(other, _)| *other == name).map(|(_, time)| *time)
    }

    /// Our time over this one's.
    fn ratio(&self, peer: Name) -> Option<f64> {
        Some(self.time(Name::Strata)? / self.time(peer).filter(|time| *time > 0.0)?)
    }
}

fn object<'a>(fields: impl Iterator<Item = (&'a str, Value)>) -> Map<String, Value> {
    fields.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Three decimals are more than repeat.
fn rounded(number: f64) -> Value {
    Value::from((number * 1_000.0).round() / 1_000.0)
}

const INTEGER: &str = Integers::NAME;
const STRING: &str = Strings::NAME;

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let row = |name: &str, keys, ours, theirs| Row {
            name: name.to_owned(),
            threads: 1,
            keys,
            times: vec![(Name::Strata, ours), (Name::Moka, theirs)],
        };
        let rows =
            vec![row("a", INTEGER, 10.0, 20.0), row("b", INTEGER, 40.0, 20.0), row("a", STRING, 5.0, 20.0)];
        let footprints = vec![Measured { kind: "8+8", bytes: vec![("moka", 99.5)] }];
        Report::new(vec![Name::Strata, Name::Moka, Name::Table], rows, footprints)
    }

    #[test]
    fn json_is_one_object_with_ratios_by_peer() {
        let mut out = Vec::new();
        report().json(&mut out).unwrap();
        let json: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["workloads"][1]["ns"]["strata"], 40.0);
        assert_eq!(json["geomean"]["moka"], 1.0);
        assert_eq!(json["geomean_strings"]["moka"], 0.25);
        assert_eq!(json["bytes_per_entry"]["8+8"]["moka"], 99.5);
        assert!(json["geomean"].get("table").is_none(), "it took no part: {json}");
    }

    #[test]
    fn tables_line_up_and_name_the_versions() {
        let mut out = Vec::new();
        report().tables(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(&format!("cache-memory {}, moka 0.", version("cache-memory"))), "{text}");
        let rows: Vec<usize> =
            text.lines().filter(|line| line.starts_with(['a', 'b'])).map(str::len).collect();
        assert_eq!(rows[..3], [rows[0]; 3], "{text}");
    }
}
