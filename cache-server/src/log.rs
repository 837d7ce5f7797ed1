//! Log lines: where they go, and how a key is shown in them.
//!
//! They never hold a value or a token. A key is escaped and cut, so that one event stays one line whatever it is named.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Settings};

/// Sends the log lines of this process to the standard error stream, as the settings say.
///
/// # Errors
/// They are already being sent somewhere.
pub fn start(settings: &Settings) -> Result<(), SetGlobalDefaultError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&settings.log))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match settings.log_format {
        LogFormat::Text => tracing::subscriber::set_global_default(lines.finish()),
        LogFormat::Json => tracing::subscriber::set_global_default(lines.json().finish()),
    }
}

/// As [`start`], and sends spans of requests where the variables of OpenTelemetry say.
///
/// # Errors
/// As [`start`].
#[cfg(feature = "otel")]
pub fn start_with(settings: &Settings, traces: &crate::Traces) -> Result<(), SetGlobalDefaultError> {
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::{FilterExt, filter_fn};
    use tracing_subscriber::layer::SubscriberExt;

    let lines =
        tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let lines = match settings.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    // A span of a request is none of the log's: its lines are the same with and without.
    let is_of_the_log = filter_fn(|about| about.target() != crate::traces::TARGET);
    let lines = lines.with_filter(EnvFilter::new(&settings.log).and(is_of_the_log));
    let all = tracing_subscriber::registry().with(lines).with(traces.layer());
    tracing::subscriber::set_global_default(all)
}

/// A text from outside, as it may stand in a log line or an error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a>(pub(crate) &'a str);

const SHOWN_CHARS: usize = 64;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars().take(SHOWN_CHARS) {
            write!(f, "{}", c.escape_debug())?;
        }
        if self.0.chars().nth(SHOWN_CHARS).is_some() {
            f.write_str("…")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_on_one_line_and_cut() {
        assert_eq!(Shown("größe").to_string(), "größe");
        assert_eq!(Shown("a\n\u{1b}[31m\"\u{202e}").to_string(), r#"a\n\u{1b}[31m\"\u{202e}"#);
        assert_eq!(Shown(&"x".repeat(65)).to_string(), format!("{}…", "x".repeat(64)));
    }
}
