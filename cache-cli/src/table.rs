//! Tables: columns as wide as what stands in them, and how figures are written for people.

use crate::error::Error;
use crate::output::{Out, Style};

/// A row of texts under each heading. Headings that begin with `>` are of figures, which stand to the right.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn write(&self, out: &mut Out) -> Result<(), Error> {
        let headings: Vec<String> =
            self.headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()).collect();
        let width = |at: usize| {
            let cells = self.rows.iter().chain([&headings]).filter_map(|row| row.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..headings.len()).map(width).collect();
        let heading = self.aligned(&headings, &widths);
        out.line(out.styled(Style::Bold, &heading))?;
        self.rows.iter().try_for_each(|row| out.line(self.aligned(row, &widths)))
    }

    fn aligned(&self, row: &[String], widths: &[usize]) -> String {
        let cell = |((heading, text), width): ((&&str, &String), &usize)| {
            if heading.starts_with('>') { format!("{text:>width$}") } else { format!("{text:<width$}") }
        };
        let cells: Vec<String> = self.headings.iter().zip(row).zip(widths).map(cell).collect();
        cells.join("  ").trim_end().to_owned()
    }
}

/// A share, in percent.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

/// A number of bytes.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let (mut shown, mut unit) = (bytes as f64, 0);
    while shown >= 1024.0 && unit + 1 < UNITS.len() {
        shown /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{shown:.1} {}", UNITS[unit]) }
}

/// A number of seconds, or for ever.
pub(crate) fn life(seconds: Option<f64>) -> String {
    match seconds {
        None => "forever".to_owned(),
        Some(seconds) if seconds < 60.0 => format!("{seconds:.1}s"),
        Some(seconds) => whole(seconds),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from float saturates")]
fn whole(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _) => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

/// A time in milliseconds.
pub(crate) fn millis(time: Option<f64>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{time:.2} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!([0, 1023, 1024, 1536 << 20].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.5 GiB"]);
        let lives = [None, Some(12.34), Some(61.0), Some(7260.0), Some(90_000.0)].map(life);
        assert_eq!(lives, ["forever", "12.3s", "1m01s", "2h01m", "1d01h"]);
        assert_eq!([percent(None), percent(Some(0.875))], ["-", "87.5 %"]);
    }

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let table = Table { headings: vec!["key", ">bytes"], rows: Vec::new() };
        let row = table.aligned(&["größe".into(), "7".into()], &[6, 5]);
        assert_eq!(row, "größe       7");
    }
}
