//! Layers: what was said, by name, and where. A later layer covers an earlier one.

use std::collections::BTreeMap;
use std::fmt;

/// What is said about each setting: `listen`, `region.token.ttl`, `ttl.hot`.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers(BTreeMap<String, Given>);

/// A setting's text, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) source: Source,
}

/// Where something was said. The order is that of precedence: what is greater wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Default,
    Profile(String),
    File { path: String, line: usize },
    Variable(String),
    Flag(String),
}

impl Source {
    /// Tells whether both are of the same layer, so that neither covers the other.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// On one line, whatever a path or a variable is named.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("defaults"),
            Self::Profile(name) => write!(f, "profile {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.escape_debug()),
            Self::Variable(name) | Self::Flag(name) => write!(f, "{}", name.escape_debug()),
        }
    }
}

impl Layers {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn set(&mut self, name: impl Into<String>, text: impl Into<String>, source: Source) {
        self.0.insert(name.into(), Given { text: text.into(), source });
    }

    pub(super) fn overlay(&mut self, above: Self) {
        self.0.extend(above.0);
    }

    pub(super) fn get(&self, name: &str) -> Option<&Given> {
        self.0.get(name)
    }

    /// All of it, in the order of names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Given)> {
        self.0.iter().map(|(name, given)| (name.as_str(), given))
    }

    /// What is said below a name such as `region`: the rest of the names, in order.
    pub(super) fn below<'a>(&'a self, group: &str) -> impl Iterator<Item = (&'a str, &'a Given)> {
        let group = format!("{group}.");
        self.0.iter().filter_map(move |(name, given)| Some((name.strip_prefix(&group)?, given)))
    }
}
