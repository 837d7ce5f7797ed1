//! Errors: what went wrong, what can be done about it, and the code that the process exits with.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a command did not do what it should.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Usage(String),
    /// No whole answer came.
    #[error("{what}")]
    Unreachable { what: String, hint: &'static str },
    /// An answer came, and says that it was not done.
    #[error("the server answered {status}: {detail}")]
    Refused { status: u16, detail: String },
    /// The server says of itself that it is not well.
    #[error("the server is {0}")]
    Unwell(String),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |error| Self::File { path: path.to_owned(), error }
    }

    /// What the process exits with; [`run`](crate::run) has the table.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::NotFound(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } | Self::Unwell(_) | Self::Refused { status: 500.., .. } => 3,
            Self::Refused { .. } => 4,
            Self::File { .. } | Self::Output(_) => 5,
        }
    }

    /// What to do about it, where more can be said than is said already.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { hint, .. } => Some(hint),
            Self::Refused { status, detail } => match status {
                401 => Some(
                    "put the token into STRATA_TOKEN, or its file into STRATA_TOKEN_FILE or --token-file",
                ),
                403 => Some("use a token of the role that is named, or ask whoever runs the server"),
                404 if detail.contains("region") => {
                    Some("`strata regions` lists those there are, `strata regions add NAME` makes one")
                }
                404 => Some("is this a cache-server, and of this version? `strata health` asks it"),
                408 => Some("the way to it is slow or was interrupted; try again"),
                413 => Some("store less at once, or raise the limit that is named in the server's settings"),
                429 | 503 => Some("try again in a moment"),
                500.. => Some("look at the server's log: each of its errors is a line of level error"),
                _ => None,
            },
            Self::Unwell(_) => Some("`strata stats` tells what is wrong"),
            Self::NotFound(_) | Self::Usage(_) | Self::File { .. } | Self::Output(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_a_refusal_from_a_failure() {
        let refused = |status| Error::Refused { status, detail: String::new() };
        assert_eq!(
            [400, 401, 409, 413, 429, 500, 503].map(|status| refused(status).code()),
            [4, 4, 4, 4, 4, 3, 3]
        );
        assert_eq!(Error::NotFound(String::new()).code(), 1);
        assert!(refused(401).hint().is_some_and(|hint| hint.contains("STRATA_TOKEN")));
    }
}
