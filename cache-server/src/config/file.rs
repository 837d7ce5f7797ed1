//! The configuration file: TOML, every name known, every value with its line.
//!
//! Numbers, truths and texts are alike: `ttl = 300` and `ttl = "5m"` are both read by the setting itself.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::SettingsError;
use super::layers::{Layers, Source};
use super::{names, text};

/// No configuration is this large.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads a file that `named_by` (a flag or variable) pointed at.
pub(super) fn read(path: &Path, named_by: &str) -> Result<Layers, SettingsError> {
    let shown = path.display().to_string();
    let text = text::read(path, MAX_FILE_BYTES).map_err(|why| {
        SettingsError::new(&named_by.escape_debug(), format!("{}: {why}", shown.escape_debug()))
    })?;
    parse(&text, &shown)
}

/// Reads the text of a file; `path` is what errors call it.
pub(super) fn parse(text: &str, path: &str) -> Result<Layers, SettingsError> {
    let file = File { text, path };
    let table = DeTable::parse(text).map_err(|error| {
        let place = file.place(error.span().map_or(0, |span| span.start));
        SettingsError::new(&place, format!("not TOML: {}", error.message().replace('\n', " ")))
    })?;
    let mut layers = Layers::new();
    for (name, value) in table.get_ref() {
        file.top_level(&mut layers, name, value)?;
    }
    Ok(layers)
}

struct File<'a> {
    text: &'a str,
    path: &'a str,
}

type Name<'a> = Spanned<std::borrow::Cow<'a, str>>;
type Value<'a> = Spanned<DeValue<'a>>;

impl File<'_> {
    fn top_level(&self, layers: &mut Layers, name: &Name, value: &Value) -> Result<(), SettingsError> {
        match name.get_ref().as_ref() {
            "region" => self.regions(layers, value),
            "tokens" => self.tokens(layers, value),
            "ttl" => self.presets(layers, value),
            "warmer" => self.warmers(layers, value),
            "budget" => self.budgets(layers, value),
            known if names::top_level().contains(&known) => self.scalar(layers, known, value),
            unknown => Err(self.unknown(unknown, name, &names::top_level())),
        }
    }

    fn regions(&self, layers: &mut Layers, value: &Value) -> Result<(), SettingsError> {
        let fields = ("max_entries, max_bytes, ttl or policy", names::REGION_FIELDS);
        self.named(layers, ("region", "tables such as [region.users]"), fields, value)
    }

    fn tokens(&self, layers: &mut Layers, value: &Value) -> Result<(), SettingsError> {
        let fields = ("role, sha256 and class", names::TOKEN_FIELDS);
        self.named(layers, ("tokens", "tables such as [tokens.ci]"), fields, value)
    }

    fn warmers(&self, layers: &mut Layers, value: &Value) -> Result<(), SettingsError> {
        let fields =
            ("file or url, and region, interval, token_file, ca_file or budget", names::WARMER_FIELDS);
        self.named(layers, ("warmer", "tables such as [warmer.products]"), fields, value)
    }

    fn budgets(&self, layers: &mut Layers, value: &Value) -> Result<(), SettingsError> {
        let fields = ("limit, window, burst_limit or burst_window", names::BUDGET_FIELDS);
        self.named(layers, ("budget", "tables such as [budget.supplier]"), fields, value)
    }

    /// Tables with names of the operator's own, each with the same fields.
    fn named(
        &self,
        layers: &mut Layers,
        (group, expected): (&str, &str),
        (shown, known): (&str, &[&str]),
        value: &Value,
    ) -> Result<(), SettingsError> {
        for (name, fields) in self.table(group, value, expected)? {
            let table = format!("{group}.{}", name.get_ref());
            for (field, value) in self.table(&table, fields, &format!("a table with {shown}"))? {
                if !known.contains(&field.get_ref().as_ref()) {
                    return Err(self.unknown(field.get_ref(), field, known));
                }
                self.scalar(layers, &format!("{table}.{}", field.get_ref()), value)?;
            }
            // A field without a name makes it exist, even if its table is empty, and changes nothing of it.
            layers.set(format!("{table}."), "", self.place(name.span().start));
        }
        Ok(())
    }

    fn presets(&self, layers: &mut Layers, value: &Value) -> Result<(), SettingsError> {
        for (preset, ttl) in self.table("ttl", value, "a table such as [ttl] with tick = \"5s\"")? {
            self.scalar(layers, &format!("ttl.{}", preset.get_ref()), ttl)?;
        }
        Ok(())
    }

    fn table<'v, 'i>(
        &self,
        name: &str,
        value: &'v Value<'i>,
        expected: &str,
    ) -> Result<&'v DeTable<'i>, SettingsError> {
        let wrong = || self.wrong_type(name, value, expected);
        value.get_ref().as_table().ok_or_else(wrong)
    }

    fn scalar(&self, layers: &mut Layers, name: &str, value: &Value) -> Result<(), SettingsError> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Boolean(truth) => truth.to_string(),
            DeValue::Array(texts) if names::is_list(name) => self.list(name, texts)?,
            _ => return Err(self.wrong_type(name, value, "a text, a decimal whole number, true or false")),
        };
        layers.set(name, text, self.place(value.span().start));
        Ok(())
    }

    /// Texts, as they would stand in a variable.
    fn list(&self, name: &str, texts: &[Value]) -> Result<String, SettingsError> {
        let text = |value: &Value| {
            let wrong = || self.wrong_type(name, value, "a text");
            value.get_ref().as_str().map(str::to_owned).ok_or_else(wrong)
        };
        Ok(texts.iter().map(text).collect::<Result<Vec<_>, _>>()?.join(","))
    }

    fn wrong_type(&self, name: &str, value: &Value, expected: &str) -> SettingsError {
        let written = self.text.get(value.span()).unwrap_or_default();
        let text = value.get_ref().as_str().unwrap_or(written);
        let expected = format!("{expected}, not the type {}", value.get_ref().type_str());
        SettingsError::value(&self.place(value.span().start), name, text, &expected)
    }

    fn unknown(&self, name: &str, at: &Name, known: &[&str]) -> SettingsError {
        SettingsError::unknown(&self.place(at.span().start), name, known)
    }

    fn place(&self, offset: usize) -> Source {
        let before = self.text.get(..offset).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        Source::File { path: self.path.to_owned(), line }
    }
}
