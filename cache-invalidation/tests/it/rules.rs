//! Rules: what happens in the domain of a trading platform, and what it means for its caches.

use cache_invalidation::{Action, Event, Rule, RuleError, Rules, Target};

fn trading() -> Result<Rules, RuleError> {
    let pair = |event| Rule::on(event).with_fields(["pair", "side"]);
    Rules::new([
        pair("trade.executed")
            .with_keys(["prices:{pair}", "orderbooks:{pair}"])
            .with_prefixes(["indicators:{pair}:"])
            .with_patterns(["*:{pair}"])
            .with_namespaces(["predictions"]),
        pair("order.*").with_keys(["orderbooks:{pair}"]).with_action(Action::Expire),
        Rule::on("model.retrained").with_tags(["model:{model}"]).with_namespaces(["predictions", "signals"]),
        Rule::on("user.changed")
            .with_keys(["users@2:{id}"])
            .with_tags(["user:{id}"])
            .with_namespaces(["sessions"]),
        Rule::on("symbols.changed").with_all().with_namespaces(["symbols"]),
    ])
}

fn event(namespace: &str, target: Target) -> Event {
    Event::new(namespace, target, Action::Remove).expect("legal")
}

fn key(namespace: &str, text: &str) -> Event {
    event(namespace, Target::Key(text.into()))
}

#[test]
fn what_happens_means_keys_tags_prefixes_patterns_or_all() -> Result<(), RuleError> {
    let rules = trading()?;
    let traded = rules.events("trade.executed", [("pair", "BTC/USD"), ("side", "buy")])?;
    let expected = [
        key("prices", "prices:BTC/USD"),
        key("orderbooks", "orderbooks:BTC/USD"),
        event("indicators", Target::Prefix("indicators:BTC/USD:".into())),
        event("predictions", Target::Pattern("*:BTC/USD".into())),
    ];
    assert_eq!(traded, expected);
    let retrained = rules.events("model.retrained", [("model", "m1")])?;
    let tag = || Target::Tag("model:m1".into());
    assert_eq!(retrained, [event("predictions", tag()), event("signals", tag())]);
    let changed = rules.events("user.changed", [("id", "7")])?;
    assert_eq!(changed, [key("users@2", "users@2:7"), event("sessions", Target::Tag("user:7".into()))]);
    assert_eq!(rules.events("symbols.changed", [])?, [event("symbols", Target::All)]);
    assert_eq!(rules.events("nothing.of.that", [])?, []);
    Ok(())
}

#[test]
fn names_are_globs_and_what_several_rules_mean_is_meant_once() -> Result<(), RuleError> {
    let rules = trading()?;
    for name in ["order.placed", "order.cancelled"] {
        let placed = rules.events(name, [("pair", "BTC/USD")])?;
        let book = Target::Key("orderbooks:BTC/USD".into());
        assert_eq!(placed, [Event::new("orderbooks", book, Action::Expire).expect("legal")]);
    }
    let one = Rule::on("order.placed").with_keys(["a:{id}", "a:{id}"]).with_action(Action::Expire);
    let other = Rule::on("*").with_keys(["a:{id}"]);
    let both = Rules::new([one, other])?.events("order.placed", [("id", "1")])?;
    assert_eq!(both, [key("a", "a:1")], "of two actions the stronger one");
    Ok(())
}

#[test]
fn a_field_means_itself_and_never_more() -> Result<(), RuleError> {
    let rule = Rule::on("e")
        .with_keys(["n:{v}"])
        .with_prefixes(["n:{v}:"])
        .with_patterns(["{v}"])
        .with_tags(["{v}"]);
    let rules = Rules::new([rule.with_namespaces(["n"])])?;
    let text = |value: &str| -> Result<Vec<String>, RuleError> {
        let events = rules.events("e", [("v", value)])?;
        Ok(events.iter().map(|event| event.target().text().to_owned()).collect())
    };
    assert_eq!(text("a:b")?, ["n:a%3Ab", "a:b", "n:a%3Ab:", "a:b"]);
    assert_eq!(
        text("*[^x]?\\")?,
        ["n:%2A%5B^x%5D%3F%5C", "*[^x]?\\", "n:%2A%5B^x%5D%3F%5C:", "\\*\\[\\^x\\]\\?\\\\"]
    );
    assert_eq!(text("{v}")?, ["n:%7Bv%7D", "{v}", "n:%7Bv%7D:", "{v}"]);
    let braces = Rules::new([Rule::on("e").with_tags(["{{{v}}}"]).with_namespaces(["n"])])?;
    assert_eq!(braces.events("e", [("v", "1")])?, [event("n", Target::Tag("{1}".into()))]);
    Ok(())
}

#[track_caller]
fn refused(rule: Rule, expected: &str) {
    let good = Rule::on("good").with_keys(["a:b"]);
    assert_eq!(Rules::new([good, rule]).expect_err("it is wrong").to_string(), expected);
}

#[test]
fn wrong_rules_are_refused_with_what_would_be_right() {
    refused(Rule::on(""), "rule 2 (), event: \"\" should be the name of an event, such as `price.updated`");
    refused(
        Rule::on("e["),
        "rule 2 (e[), event: \"e[\" should be a legal glob: the pattern \"e[\" has a '[' at byte 1 without a ']'; close it, or write '\\[' for a bracket",
    );
    refused(Rule::on("e"), "rule 2 (e), keys: \"\" should be keys, tags, prefixes, patterns, or `all`");
    refused(
        Rule::on("e").with_tags(["t"]),
        "rule 2 (e), tags: \"t\" should be the names of the caches it is about, in `namespaces`",
    );
    for key in ["{v}:x", "nothing", "a b:x", ":x"] {
        let right = "begun with the name of a cache and a colon, such as `prices:quote:{symbol}`";
        refused(Rule::on("e").with_keys([key]), &format!("rule 2 (e), keys: {key:?} should be {right}"));
    }
    refused(
        Rule::on("e").with_keys(["a:{symbl}"]).with_fields(["symbol", "side"]),
        "rule 2 (e), keys: \"a:{symbl}\" should be without `{symbl}`, which is no field of the event; those are `symbol`, `side`",
    );
    for key in ["a:{v", "a:v}", "a:{v}{"] {
        let at = key.len() - 1;
        let at = if key == "a:{v" { 2 } else { at };
        let right =
            format!("closed: at byte {at} stands a brace alone; a field is `{{name}}`, a brace `{{{{`");
        refused(Rule::on("e").with_keys([key]), &format!("rule 2 (e), keys: {key:?} should be {right}"));
    }
    refused(
        Rule::on("e").with_keys(["a:{v w}"]),
        "rule 2 (e), keys: \"a:{v w}\" should be a text with legal fields; `{v w}` is none: it needs letters, digits, `_`, `-` or `.`",
    );
    refused(
        Rule::on("e").with_all().with_namespaces(["a\n"]),
        "rule 2 (e), namespaces: \"a\\n\" should be a legal name: the namespace has 2 bytes or a control character; it needs 1 to 128 bytes of printable text",
    );
}

#[test]
fn an_event_without_a_field_or_with_an_illegal_one_means_nothing() -> Result<(), RuleError> {
    let rules =
        Rules::new([Rule::on("e").with_keys(["a:x", "a:{v}"]).with_tags(["{t}"]).with_namespaces(["n"])])?;
    let refused = |fields: &[(&'static str, &'static str)]| {
        rules.events("e", fields.iter().copied()).expect_err("it is wrong").to_string()
    };
    assert_eq!(
        refused(&[]),
        "rule 1 (e), keys: \"a:{v}\" needs the field `v`, which the event does not have; it has none"
    );
    assert_eq!(
        refused(&[("v", "1"), ("u", "secret")]),
        "rule 1 (e), tags: \"{t}\" needs the field `t`, which the event does not have; it has `v`, `u`"
    );
    assert_eq!(
        refused(&[("v", "1"), ("t", "")]),
        "rule 1 (e), tags: \"{t}\" with the fields of this event is not legal: a tag is empty; it needs 1 to 256 bytes"
    );
    Ok(())
}

#[cfg(feature = "toml")]
mod file {
    use super::*;

    #[test]
    fn a_file_says_the_same_as_code() -> Result<(), RuleError> {
        let rules = Rules::from_toml(
            r#"
            [[rule]]
            event = "price.*"
            fields = ["symbol"]
            keys = ["prices:quote:{symbol}"]
            tags = ["symbol:{symbol}"]
            prefixes = ["indicators:{symbol}:"]
            patterns = ["*:{symbol}"]
            namespaces = ["signals"]

            [[rule]]
            event = "symbols.changed"
            all = true
            namespaces = ["symbols"]
            action = "expire"
            "#,
        )?;
        let events = rules.events("price.updated", [("symbol", "BTC")])?;
        let expected = [
            key("prices", "prices:quote:BTC"),
            event("signals", Target::Tag("symbol:BTC".into())),
            event("indicators", Target::Prefix("indicators:BTC:".into())),
            event("signals", Target::Pattern("*:BTC".into())),
        ];
        assert_eq!(events, expected);
        let all = Event::new("symbols", Target::All, Action::Expire).expect("legal");
        assert_eq!(rules.events("symbols.changed", [])?, [all]);
        assert_eq!(Rules::from_toml("")?.events("anything", [])?, []);
        Ok(())
    }

    #[test]
    fn wrong_files_are_refused_with_what_would_be_right() {
        let refused = |text: &str| Rules::from_toml(text).expect_err("it is wrong").to_string();
        assert!(refused("[[rule]\n").starts_with("the rules cannot be read: TOML parse error at line 1"));
        assert_eq!(
            refused("[[rules]]"),
            "the rules cannot be read: `rules` is not known; rules stand under `[[rule]]`"
        );
        assert_eq!(
            refused("rule = 1"),
            "the rules cannot be read: `rule` should be a list of tables, each begun with `[[rule]]`"
        );
        assert_eq!(
            refused("[[rule]]\nkeys = []"),
            "rule 1, event: \"\" should be the name of an event in quotes, such as \"price.updated\""
        );
        let rule = |option: &str| refused(&format!("[[rule]]\nevent = \"e\"\n{option}"));
        assert_eq!(rule("keys = [1]"), "rule 1 (e), keys: \"[1]\" should be a list of texts");
        assert_eq!(rule("all = \"yes\""), "rule 1 (e), all: \"\\\"yes\\\"\" should be true or false");
        assert_eq!(
            rule("action = \"drop\""),
            "rule 1 (e), action: \"\\\"drop\\\"\" should be \"remove\" or \"expire\""
        );
        assert_eq!(
            rule("key = [\"a:b\"]"),
            "rule 1 (e), options: \"key\" should be one of `event`, `fields`, `namespaces`, `keys`, `tags`, `prefixes`, `patterns`, `all` and `action`"
        );
    }
}
