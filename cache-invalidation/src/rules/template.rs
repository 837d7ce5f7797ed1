//! Templates: texts with the fields of an event in braces, filled in so that a field never means more than itself.

use cache_core::{KeyWriter, Namespace};

use super::list;
use crate::Target;

/// What a template makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Key,
    Tag,
    Prefix,
    Pattern,
    All,
}

impl Kind {
    /// The field of a rule that holds such templates.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Key => "keys",
            Self::Tag => "tags",
            Self::Prefix => "prefixes",
            Self::Pattern => "patterns",
            Self::All => "all",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Template {
    kind: Kind,
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Field(String),
}

impl Template {
    /// Reads a template whose fields have to be among the known ones, if those are known. The error says what would be right.
    pub(super) fn new(kind: Kind, text: &str, known: Option<&[String]>) -> Result<Self, String> {
        let template = Self { kind, text: text.to_owned(), pieces: pieces(text)? };
        for piece in &template.pieces {
            if let (Piece::Field(name), Some(known)) = (piece, known)
                && !known.contains(name)
            {
                let known = list(known.iter().map(String::as_str));
                return Err(format!(
                    "without `{{{name}}}`, which is no field of the event; those are {known}"
                ));
            }
        }
        Ok(template)
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Of a key or prefix, the namespace that it begins with, or what would be right; nothing of the others.
    pub(super) fn namespace(&self) -> Option<Result<&str, String>> {
        if !matches!(self.kind, Kind::Key | Kind::Prefix) {
            return None;
        }
        let name = match self.pieces.first() {
            Some(Piece::Literal(literal)) => literal.split_once(':').map(|(name, _)| name),
            _ => None,
        };
        let bare = |name: &&str| Namespace::new(name.split('@').next().unwrap_or(name)).is_ok();
        let right = "begun with the name of a cache and a colon, such as `prices:quote:{symbol}`";
        Some(name.filter(bare).ok_or_else(|| right.to_owned()))
    }

    /// The target for these fields, or the name of the one that is missing.
    pub(super) fn fill(&self, fields: &[(&str, &str)]) -> Result<Target, &str> {
        let mut text = String::with_capacity(self.text.len() + 16);
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Field(name) => {
                    let value = fields.iter().find(|(field, _)| field == name);
                    self.push(&mut text, value.ok_or(name.as_str())?.1);
                }
            }
        }
        Ok(match self.kind {
            Kind::Key => Target::Key(text),
            Kind::Tag => Target::Tag(text),
            Kind::Prefix => Target::Prefix(text),
            Kind::Pattern => Target::Pattern(text),
            Kind::All => Target::All,
        })
    }

    /// Appends a value so that it means itself and nothing else.
    fn push(&self, text: &mut String, value: &str) {
        match self.kind {
            Kind::Key | Kind::Prefix => text.push_str(&as_part(value)),
            Kind::Pattern => {
                for c in value.chars() {
                    if "*?[]^\\".contains(c) {
                        text.push('\\');
                    }
                    text.push(c);
                }
            }
            Kind::Tag | Kind::All => text.push_str(value),
        }
    }
}

/// A value as it stands in a key.
fn as_part(value: &str) -> String {
    let writer = Namespace::new("n").map(|namespace| namespace.key().part(value));
    let part = writer.as_ref().ok().and_then(|writer: &KeyWriter| writer.as_str().strip_prefix("n:"));
    part.unwrap_or_default().to_owned()
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut literal) = (Vec::new(), String::new());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let brace = &rest[at..];
        if brace.starts_with("{{") || brace.starts_with("}}") {
            literal.push_str(&brace[..1]);
            rest = &brace[2..];
            continue;
        }
        let name = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let Some((name, after)) = name else {
            let at = text.len() - brace.len();
            return Err(format!(
                "closed: at byte {at} stands a brace alone; a field is `{{name}}`, a brace `{{{{`"
            ));
        };
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)) {
            let rule = "it needs letters, digits, `_`, `-` or `.`";
            return Err(format!("a text with legal fields; `{{{name}}}` is none: {rule}"));
        }
        pieces.extend((!literal.is_empty()).then(|| Piece::Literal(std::mem::take(&mut literal))));
        pieces.push(Piece::Field(name.to_owned()));
        rest = after;
    }
    literal.push_str(rest);
    pieces.extend((!literal.is_empty()).then_some(Piece::Literal(literal)));
    Ok(pieces)
}
