//! Rules from a TOML file.

use toml::{Table, Value};

use super::{Rule, RuleError, Rules};
use crate::Action;

impl Rules {
    /// Reads rules from the text of a TOML file, by the feature `toml`. A rule has the options of [`Rule`]; `event` alone is needed.
    ///
    /// ```
    /// use cache_invalidation::Rules;
    /// let rules = Rules::from_toml(r#"
    ///     [[rule]]
    ///     event = "trade.executed"
    ///     fields = ["pair"]
    ///     keys = ["prices:{pair}", "orderbooks:{pair}"]
    ///     prefixes = ["indicators:{pair}:"]
    ///     tags = ["pair:{pair}"]
    ///     namespaces = ["predictions"]
    ///     action = "expire"
    /// "#)?;
    /// assert_eq!(rules.events("trade.executed", [("pair", "BTC/USD")])?.len(), 4);
    /// # Ok::<(), cache_invalidation::RuleError>(())
    /// ```
    ///
    /// # Errors
    /// What is no TOML, what is no option of a rule, and as [`Rules::new`].
    pub fn from_toml(text: &str) -> Result<Self, RuleError> {
        let file = |reason: String| RuleError::File { reason };
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| file(error.to_string()))?;
        let rules = table.remove("rule").unwrap_or_else(|| Value::Array(Vec::new()));
        if let Some(name) = table.keys().next() {
            return Err(file(format!("`{name}` is not known; rules stand under `[[rule]]`")));
        }
        let Value::Array(rules) = rules else {
            return Err(file("`rule` should be a list of tables, each begun with `[[rule]]`".into()));
        };
        Self::new((1..).zip(&rules).map(|(number, rule)| read(number, rule)).collect::<Result<Vec<_>, _>>()?)
    }
}

const OPTIONS: &str =
    "one of `event`, `fields`, `namespaces`, `keys`, `tags`, `prefixes`, `patterns`, `all` and `action`";

fn read(number: usize, value: &Value) -> Result<Rule, RuleError> {
    let event = value.get("event").and_then(Value::as_str);
    let name = event.map_or_else(|| number.to_string(), |event| format!("{number} ({event})"));
    let wrong = |field: &'static str, value: String, right: &str| RuleError::Wrong {
        rule: name.clone(),
        field,
        value,
        right: right.to_owned(),
    };
    let event = event.ok_or_else(|| {
        let found = value.get("event").map(Value::to_string).unwrap_or_default();
        wrong("event", found, "the name of an event in quotes, such as \"price.updated\"")
    })?;
    let mut rule = Rule::on(event);
    for (option, value) in value.as_table().into_iter().flatten() {
        let texts = |field| {
            let texts =
                value.as_array().map(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
            texts.flatten().ok_or_else(|| wrong(field, value.to_string(), "a list of texts"))
        };
        rule = match option.as_str() {
            "event" => rule,
            "fields" => rule.with_fields(texts("fields")?),
            "namespaces" => rule.with_namespaces(texts("namespaces")?),
            "keys" => rule.with_keys(texts("keys")?),
            "tags" => rule.with_tags(texts("tags")?),
            "prefixes" => rule.with_prefixes(texts("prefixes")?),
            "patterns" => rule.with_patterns(texts("patterns")?),
            "all" => match value.as_bool() {
                Some(true) => rule.with_all(),
                Some(false) => rule,
                None => return Err(wrong("all", value.to_string(), "true or false")),
            },
            "action" => match value.as_str() {
                Some("remove") => rule.with_action(Action::Remove),
                Some("expire") => rule.with_action(Action::Expire),
                _ => return Err(wrong("action", value.to_string(), "\"remove\" or \"expire\"")),
            },
            unknown => return Err(wrong("options", unknown.to_owned(), OPTIONS)),
        };
    }
    Ok(rule)
}
