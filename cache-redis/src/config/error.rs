//! Why settings cannot be used.

use thiserror::Error;

/// Why settings cannot be used. Says what is wrong and what would be right, and no secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A text that is not a URL of Redis.
    #[error("the URL's {part} {problem}; write redis://[[user]:password@]host[:port][/database]")]
    Url {
        /// Which part of it.
        part: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A setting out of its range, or at odds with another.
    #[error("`{field}` is {value}; use {use_}")]
    Field {
        /// Which setting.
        field: &'static str,
        /// What it is set to.
        value: String,
        /// What it may be set to.
        use_: &'static str,
    },
    /// Certificates or keys that cannot be used.
    #[error("`tls` has {what} that cannot be used ({reason}); use PEM")]
    Tls {
        /// Which of them.
        what: &'static str,
        /// Why not.
        reason: String,
    },
}
