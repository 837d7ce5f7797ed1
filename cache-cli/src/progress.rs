//! Progress of what takes long, on standard error, and only where a person looks.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar to a known end, or a count without one.
pub(crate) fn bar(total: Option<u64>, is_bytes: bool) -> ProgressBar {
    let template = match (total.is_some(), is_bytes) {
        (true, true) => "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {msg}",
        (true, false) => "{bar:40} {pos}/{len} {per_sec} {msg}",
        (false, true) => "{spinner} {bytes} {bytes_per_sec} {msg}",
        (false, false) => "{spinner} {pos} {per_sec} {msg}",
    };
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    // It hides by itself where standard error is no terminal.
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
