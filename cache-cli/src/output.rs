//! Output: the one place that writes. Answers go to standard output, whatever else is to be said to standard error.
//!
//! Colours are for a person who looks: on a terminal, unless `NO_COLOR` is set. What comes from outside is escaped on a terminal, which
//! otherwise obeys it.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use serde::Serialize;
use serde_json::json;

use crate::args::When;
use crate::error::Error;

/// Standard output, and how to write there.
pub(crate) struct Out {
    to: BufWriter<Stdout>,
    pub(crate) is_json: bool,
    /// Whether a person looks.
    pub(crate) is_terminal: bool,
    colors: Colors,
}

/// Which streams show colours.
struct Colors {
    out: bool,
    err: bool,
}

/// How a text looks, in the eight colours that every terminal has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Warning,
    Bad,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Bad => "31",
        }
    }

    /// As the server names how well something is.
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "healthy" => Self::Good,
            "degraded" | "warning" => Self::Warning,
            "unhealthy" | "critical" => Self::Bad,
            _ => Self::Plain,
        }
    }
}

impl Out {
    pub(crate) fn new(is_json: bool, color: When, variables: &BTreeMap<String, String>) -> Self {
        let has = |name: &str| variables.get(name).is_some_and(|text| !text.is_empty());
        let is_dumb = variables.get("TERM").is_some_and(|term| term == "dumb");
        let wanted = |is_terminal: bool| match color {
            When::Auto => is_terminal && !has("NO_COLOR") && !is_dumb,
            When::Always => true,
            When::Never => false,
        };
        let (out, err) = (io::stdout(), io::stderr());
        Self {
            is_json,
            is_terminal: out.is_terminal(),
            colors: Colors { out: wanted(out.is_terminal()) && !is_json, err: wanted(err.is_terminal()) },
            to: BufWriter::new(out),
        }
    }

    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> Result<(), Error> {
        Ok(writeln!(self.to, "{}", text.as_ref())?)
    }

    /// One line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Error> {
        serde_json::to_writer(&mut self.to, value).map_err(io::Error::from)?;
        Ok(self.to.write_all(b"\n")?)
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.to.write_all(bytes)?)
    }

    /// Hands on all that was written.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        Ok(self.to.flush()?)
    }

    /// Begins at the top of an empty screen.
    pub(crate) fn clear_screen(&mut self) -> Result<(), Error> {
        self.bytes(b"\x1b[H\x1b[2J")
    }

    pub(crate) fn styled(&self, style: Style, text: &str) -> String {
        paint(self.colors.out, style, text)
    }

    /// A text from outside, for a person to read.
    pub(crate) fn shown(&self, text: &str) -> String {
        if self.is_terminal { escaped(text) } else { text.to_owned() }
    }

    /// Says something beside the answer.
    #[expect(clippy::unused_self, reason = "whoever says something has the output in hand")]
    pub(crate) fn note(&self, text: &str) {
        // If it cannot be written, nobody reads it.
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Says what went wrong and what can be done.
    pub(crate) fn complain(&mut self, error: &Error) {
        // What was written so far comes first.
        let _ = self.to.flush();
        let mut err = io::stderr();
        if self.is_json {
            let told = json!({"error": error.to_string(), "hint": error.hint(), "exit_code": error.code()});
            let _ = writeln!(err, "{told}");
            return;
        }
        let (color, text) = (self.colors.err, escaped(&error.to_string()));
        let _ = writeln!(err, "{} {text}", paint(color, Style::Bad, "error:"));
        if let Some(hint) = error.hint() {
            let _ = writeln!(err, "{} {hint}", paint(color, Style::Dim, "hint:"));
        }
    }
}

fn paint(is_colored: bool, style: Style, text: &str) -> String {
    match style.code() {
        code if is_colored && !code.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
        _ => text.to_owned(),
    }
}

/// Escapes what a terminal would obey, or show as something else.
pub(crate) fn escaped(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(escaped("größe \"a\""), "größe \"a\"");
        assert_eq!(escaped("a\u{1b}[31m\n\u{202e}"), "a\\u{1b}[31m\\n\\u{202e}");
    }

    #[test]
    fn a_colour_is_asked_for_or_fits() {
        let out = |color, no_color: &str| {
            Out::new(false, color, &BTreeMap::from([("NO_COLOR".to_owned(), no_color.to_owned())]))
        };
        assert_eq!(out(When::Always, "1").styled(Style::Bad, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(out(When::Never, "").styled(Style::Bad, "x"), "x");
        assert_eq!(out(When::Auto, "1").styled(Style::Bad, "x"), "x");
    }
}
