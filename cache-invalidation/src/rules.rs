//! Rules: what an event of the domain means for caches. A price was updated; which keys, tags and patterns is that?
//!
//! ```text
//! "price.updated" { symbol: BTC } ─► rules whose event matches ─► templates, filled in ─► events for the bus
//! ```
//!
//! What can be checked is checked when rules are declared; only what depends on the fields of an event is left for later.

mod error;
#[cfg(feature = "toml")]
mod file;
mod template;

use cache_core::Pattern;

pub use self::error::RuleError;

use self::template::{Kind, Template};
use crate::{Action, Event, Target};

/// What is invalidated when something happens. Declared here, checked by [`Rules::new`].
///
/// Templates are texts with the fields of the event in braces: `symbol:{symbol}`; `{{` and `}}` are braces.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Rule {
    event: String,
    fields: Option<Vec<String>>,
    namespaces: Vec<String>,
    keys: Vec<String>,
    tags: Vec<String>,
    prefixes: Vec<String>,
    patterns: Vec<String>,
    all: bool,
    action: Action,
}

impl Rule {
    /// A rule for events of this name, which may be a glob: `trade.*`. Removes, unless told otherwise.
    pub fn on(event: impl Into<String>) -> Self {
        Self {
            event: event.into(),
            fields: None,
            namespaces: Vec::new(),
            keys: Vec::new(),
            tags: Vec::new(),
            prefixes: Vec::new(),
            patterns: Vec::new(),
            all: false,
            action: Action::Remove,
        }
    }

    /// Says which fields such events have; a template with any other is then refused at once. By default any field may be named,
    /// and one that an event does not have is an error when it happens.
    pub fn with_fields<T: Into<String>>(mut self, fields: impl IntoIterator<Item = T>) -> Self {
        self.fields = Some(fields.into_iter().map(Into::into).collect());
        self
    }

    /// Names the caches that tags, patterns and [`with_all`](Self::with_all) are about. Keys and prefixes name their own, before
    /// their first colon.
    pub fn with_namespaces<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.namespaces.extend(names.into_iter().map(Into::into));
        self
    }

    /// Adds keys as they are rendered: `prices:quote:{symbol}`. Fields become parts, so those with a colon are escaped.
    pub fn with_keys<T: Into<String>>(mut self, templates: impl IntoIterator<Item = T>) -> Self {
        self.keys.extend(templates.into_iter().map(Into::into));
        self
    }

    /// Adds tags: `symbol:{symbol}`.
    pub fn with_tags<T: Into<String>>(mut self, templates: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(templates.into_iter().map(Into::into));
        self
    }

    /// Adds beginnings of keys as they are rendered: `indicators:{symbol}:`.
    pub fn with_prefixes<T: Into<String>>(mut self, templates: impl IntoIterator<Item = T>) -> Self {
        self.prefixes.extend(templates.into_iter().map(Into::into));
        self
    }

    /// Adds globs: `*:{symbol}`. What has a meaning in a glob has none in a field.
    pub fn with_patterns<T: Into<String>>(mut self, templates: impl IntoIterator<Item = T>) -> Self {
        self.patterns.extend(templates.into_iter().map(Into::into));
        self
    }

    /// Means all entries of the [namespaces](Self::with_namespaces).
    pub fn with_all(mut self) -> Self {
        self.all = true;
        self
    }

    /// What becomes of the copies. Default [`Action::Remove`].
    pub fn with_action(mut self, action: Action) -> Self {
        self.action = action;
        self
    }
}

/// Rules that have been checked.
///
/// ```
/// use cache_invalidation::{Action, Event, Rule, Rules, Target};
/// let rules = Rules::new([
///     Rule::on("price.*").with_keys(["prices:quote:{symbol}"]).with_tags(["symbol:{symbol}"]).with_namespaces(["signals"]),
///     Rule::on("model.retrained").with_prefixes(["predictions:{model}:"]).with_action(Action::Expire),
/// ])?;
/// let events = rules.events("price.updated", [("symbol", "BTC/USD")])?;
/// assert_eq!(events[0], Event::new("prices", Target::Key("prices:quote:BTC/USD".into()), Action::Remove)?);
/// assert_eq!(events[1], Event::new("signals", Target::Tag("symbol:BTC/USD".into()), Action::Remove)?);
/// assert!(rules.events("user.changed", [])?.is_empty());
///
/// let error = rules.events("model.retrained", [("name", "m1")]).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "rule 2 (model.retrained), prefixes: \"predictions:{model}:\" needs the field `model`, which the event does not have; it has `name`",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Checked>,
}

#[derive(Clone, Debug)]
struct Checked {
    /// How errors name it.
    name: String,
    event: Pattern,
    action: Action,
    /// Each with the namespace that it is about.
    targets: Vec<(String, Template)>,
}

impl Rules {
    /// Checks rules.
    ///
    /// # Errors
    /// The first thing that is wrong, with the rule (the first is 1), the field, what was given and what would be right.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Result<Self, RuleError> {
        let rules = (1..).zip(rules).map(|(number, rule)| Checked::new(number, &rule));
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    /// What an event of the domain means: of all rules that match its name, in their order, each target once.
    ///
    /// Costs a match for each rule, and a text for each target.
    ///
    /// # Errors
    /// A field that a template needs and the event does not have, or one whose value makes no legal key, tag, prefix or
    /// pattern. Nothing is invalidated by halves: there are no events then.
    pub fn events<'a>(
        &self,
        name: &str,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<Event>, RuleError> {
        let fields: Vec<_> = fields.into_iter().collect();
        let mut events: Vec<Event> = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.event.matches(name)) {
            for (namespace, template) in &rule.targets {
                let event = rule.event(namespace, template, &fields)?;
                let is_same = |other: &&mut Event| {
                    (other.namespace(), other.target()) == (event.namespace(), event.target())
                };
                match events.iter_mut().find(is_same) {
                    Some(other) => other.absorb(&event),
                    None => events.push(event),
                }
            }
        }
        Ok(events)
    }
}

impl Checked {
    fn new(number: usize, rule: &Rule) -> Result<Self, RuleError> {
        let name = format!("{number} ({})", rule.event);
        let wrong = |field: &'static str, value: &str, right: String| RuleError::Wrong {
            rule: name.clone(),
            field,
            value: value.to_owned(),
            right,
        };
        if rule.event.is_empty() {
            return Err(wrong("event", "", "the name of an event, such as `price.updated`".into()));
        }
        let event = Pattern::new(&rule.event);
        let event = event.map_err(|error| wrong("event", &rule.event, format!("a legal glob: {error}")))?;
        for namespace in &rule.namespaces {
            Event::new(namespace, Target::All, rule.action)
                .map_err(|error| wrong("namespaces", namespace, format!("a legal name: {error}")))?;
        }
        let mut targets = Vec::new();
        for (kind, text) in rule.templates() {
            let template = Template::new(kind, text, rule.fields.as_deref());
            let template = template.map_err(|right| wrong(kind.field(), text, right))?;
            match template.namespace() {
                Some(Ok(namespace)) => targets.push((namespace.to_owned(), template)),
                Some(Err(right)) => return Err(wrong(kind.field(), text, right)),
                None if rule.namespaces.is_empty() => {
                    let right = "the names of the caches it is about, in `namespaces`".into();
                    return Err(wrong(kind.field(), text, right));
                }
                None => {
                    targets.extend(rule.namespaces.iter().map(|name| (name.clone(), template.clone())));
                }
            }
        }
        if targets.is_empty() {
            return Err(wrong("keys", "", "keys, tags, prefixes, patterns, or `all`".into()));
        }
        Ok(Self { name, event, action: rule.action, targets })
    }

    fn event(
        &self,
        namespace: &str,
        template: &Template,
        fields: &[(&str, &str)],
    ) -> Result<Event, RuleError> {
        let (rule, field) = (|| self.name.clone(), template.kind().field());
        let target = template.fill(fields).map_err(|missing| RuleError::Missing {
            rule: rule(),
            field,
            template: template.text().to_owned(),
            missing: missing.to_owned(),
            present: list(fields.iter().map(|(name, _)| *name)),
        })?;
        Event::new(namespace, target, self.action).map_err(|source| RuleError::Illegal {
            rule: rule(),
            field,
            template: template.text().to_owned(),
            source,
        })
    }
}

impl Rule {
    fn templates(&self) -> impl Iterator<Item = (Kind, &str)> {
        let lists = [
            (Kind::Key, &self.keys),
            (Kind::Tag, &self.tags),
            (Kind::Prefix, &self.prefixes),
            (Kind::Pattern, &self.patterns),
        ];
        let all = self.all.then_some((Kind::All, "all"));
        let texts =
            lists.into_iter().flat_map(|(kind, texts)| texts.iter().map(move |text| (kind, text.as_str())));
        texts.chain(all)
    }
}

/// Names as a person reads them.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
