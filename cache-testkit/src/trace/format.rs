//! The formats that a trace file may have, and how its name says which.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use thiserror::Error;

/// A format of trace files. Each may be compressed with zstd; the name then ends in `.zst`.
///
/// In the texts a carriage return at the end of a line is ignored, and so is a line without anything else.
///
/// ```
/// use cache_testkit::trace::Format;
///
/// assert_eq!(Format::of("traces/P3.lis.zst"), Some(Format::Arc));
/// assert_eq!(Format::of("notes.md"), None);
/// assert_eq!("csv".parse(), Ok(Format::Csv));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The columns that [`Trace::write`](super::Trace::write) writes. Ending: `.ctr`.
    Ctr,
    /// What the authors of ARC published: lines of four numbers, `start count ignored request`, each of which asks for
    /// the `count` blocks from `start` on. Ending: `.lis`.
    Arc,
    /// One key per line, which may be any bytes. Endings: `.txt`, `.keys`.
    Keys,
    /// A first line that names the columns, in any order: `key`, and none or more of `size` (bytes), `ttl` (seconds, 0
    /// for none), `cost` (microseconds) and `time` (seconds, counted from the first request on). Commas separate;
    /// quotes have no meaning and are refused. Ending: `.csv`.
    Csv,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Ctr, Self::Arc, Self::Keys, Self::Csv];

    /// The format that the file's name says by its ending, before `.zst` if it ends so; `None` if it says none.
    pub fn of(path: impl AsRef<Path>) -> Option<Self> {
        let name = path.as_ref().file_name()?.to_str()?.to_ascii_lowercase();
        let name = name.strip_suffix(".zst").unwrap_or(&name);
        Self::ALL.into_iter().find(|format| format.endings().iter().any(|ending| name.ends_with(ending)))
    }

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ctr => "ctr",
            Self::Arc => "arc",
            Self::Keys => "keys",
            Self::Csv => "csv",
        }
    }

    /// How the names of its files end.
    pub const fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Ctr => &[".ctr"],
            Self::Arc => &[".lis"],
            Self::Keys => &[".txt", ".keys"],
            Self::Csv => &[".csv"],
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let named = |format: &Self| format.as_str() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

/// A name that is not one of a format.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a trace format, expected one of ctr, arc, keys, csv")]
pub struct UnknownFormat(String);
