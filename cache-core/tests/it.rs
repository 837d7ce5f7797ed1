//! What keys must be for ever: the golden values pin the text, the properties that no two askings share it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[cfg(feature = "frame")]
#[path = "it/frame.rs"]
mod frame;

use std::collections::BTreeMap;

use cache_core::{Key, KeyError, Namespace, Params, Tag, Ttl};
use proptest::prelude::*;

#[test]
fn golden_keys() -> Result<(), KeyError> {
    let app = Namespace::new("app")?;
    let golden = [
        (app.key().part("user").part(42), "app:user:42"),
        (app.key().part("candle").part("BTC/USD").part("5m"), "app:candle:BTC/USD:5m"),
        (app.with_version(3).key().part("a:b").part("50%"), "app@3:a%3Ab:50%25"),
        (app.key().part("größe").part(""), "app:größe:"),
    ];
    for (writer, text) in golden {
        assert_eq!(writer.build()?.as_str(), text);
    }
    Ok(())
}

#[test]
fn golden_parameter_hashes() {
    let quotes = Params::new().with("symbol", "BTC").with("limit", 10).with("live", true);
    let golden = [
        (Params::new(), "8c33cf3f509ce5f1f3067c7ddf3b8a76"),
        (quotes, "f5d65048cc6977290b572ac1b69c9a26"),
        (
            Params::new().with("price", 1.5).with("tags", vec!["a", "b"]).with("none", None::<u8>),
            "579b55781df2e8ab9aa7c4ca95453a30",
        ),
    ];
    for (params, hash) in golden {
        assert_eq!(params.hash(), hash);
    }
}

fn any_part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab:%#@]{0,4}",
        "[a-z0-9]{0,8}",
        any::<String>().prop_map(|text| text.chars().take(8).collect())
    ]
}

fn render(version: Option<u32>, parts: &[String]) -> String {
    let namespace = Namespace::new("ns").expect("legal");
    let namespace = version.map_or(namespace.clone(), |version| namespace.with_version(version));
    let mut writer = namespace.key();
    for part in parts {
        writer.push(part);
    }
    writer.as_str().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn rendering_is_injective(
        a in prop::collection::vec(any_part(), 0..4),
        b in prop::collection::vec(any_part(), 0..4),
        versions in prop::array::uniform2(prop::option::of(0_u32..3)),
    ) {
        let same = render(versions[0], &a) == render(versions[1], &b);
        prop_assert_eq!(same, a == b && versions[0] == versions[1]);
    }

    #[test]
    fn rendered_keys_are_valid_or_too_long(parts in prop::collection::vec(any::<String>(), 0..6)) {
        let text = render(None, &parts);
        match Key::new(&text) {
            Ok(key) => prop_assert_eq!(key.as_str(), text),
            Err(error) => prop_assert_eq!(error, KeyError::TooLong { bytes: text.len() }),
        }
    }

    #[test]
    fn different_argument_lists_have_different_hashes(
        a in prop::collection::btree_map("[ab]{0,2}", "[ab]{0,2}", 0..3),
        b in prop::collection::btree_map("[ab]{0,2}", "[ab]{0,2}", 0..3),
    ) {
        let hash = |list: &BTreeMap<String, String>| {
            list.iter().fold(Params::new(), |params, (name, value)| params.with(name, value)).hash()
        };
        prop_assert_eq!(hash(&a) == hash(&b), a == b);
    }

    #[test]
    fn parsers_take_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        if let Ok(key) = Key::from_utf8(&bytes) {
            prop_assert_eq!(key.as_str().as_bytes(), &bytes[..]);
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(tag) = Tag::new(&text) {
            prop_assert_eq!(tag.as_str(), &text);
        }
        let _ = text.parse::<Ttl>();
        let _ = Namespace::new(&text);
    }

    #[test]
    fn a_time_to_live_survives_as_text(secs in 0_u64..10_000_000, millis in 0_u64..1000) {
        let text = format!("{secs}s{millis}ms");
        prop_assert_eq!(text.parse(), Ok(Ttl::from_millis(secs * 1000 + millis)));
    }
}
