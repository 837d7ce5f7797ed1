//! What goes in comes out: through every codec, compression and seal.

use proptest::prelude::*;
use strata::codec::{Codec, Compression, Framer, Json, Msgpack, Raw, Step};

use super::{Account, Held, Place, Unit, header, key, ring, step};

/// Every way in which one codec can be used.
fn framers<V: 'static, C: Codec<V> + Copy>(codec: C) -> Vec<Framer<V>> {
    let plain = |level: &Compression| Framer::new("value", codec).with_compression(*level).with_threshold(0);
    let open = Compression::ALL.iter().map(plain);
    let sealed = Compression::ALL.iter().map(|level| plain(level).with_keys(ring(1)));
    open.chain(sealed).collect()
}

fn through<V, C>(codec: C, value: &V)
where
    V: PartialEq + std::fmt::Debug + 'static,
    C: Codec<V> + Copy,
{
    for framer in framers(codec) {
        let frame = framer.encode(&key("k"), value, &header()).expect("legal");
        let framed = framer.decode(&key("k"), &frame).expect("just written");
        assert_eq!((&framed.value, framed.header), (value, header()), "{framer:?}");
    }
}

fn both<V>(value: &V)
where
    V: PartialEq + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned + 'static,
{
    through(Msgpack, value);
    through(Json, value);
}

#[test]
fn a_value_with_everything_comes_back() {
    both(&Account::example());
}

#[test]
fn none_is_a_value_and_not_a_miss() {
    both(&None::<u32>);
    both(&Some(0_u32));
    both(&());
}

#[test]
fn an_option_in_an_option_comes_back_as_it_went() {
    for value in [None, Some(None), Some(Some(None)), Some(Some(Some(3_u8)))] {
        both(&value);
    }
    for value in [None, Some(None), Some(Some(()))] {
        both(&value);
    }
    for value in [None, Some(vec![]), Some(vec![None]), Some(vec![Some(vec![]), Some(vec![None::<bool>])])] {
        both(&value);
    }
    both(&[Some(Held(None)), Some(Held(Some(Unit))), None]);
}

#[test]
fn bytes_and_texts_come_back() {
    for value in [Vec::new(), vec![0xC1, 0], vec![7; 100_000]] {
        through(Raw, &bytes::Bytes::from(value.clone()));
        through(Raw, &value);
    }
    through(Raw, &"größe 東京".to_owned());
}

#[test]
fn what_would_not_come_back_is_refused_when_it_is_written() {
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Flat {
        #[serde(flatten)]
        inner: Inner,
    }
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct Inner {
        doubled: Option<Option<Vec<u8>>>,
    }
    fn refused<V: serde::Serialize + serde::de::DeserializeOwned + 'static>(value: &V) {
        for framer in framers(Msgpack).into_iter().chain(framers(Json)) {
            let error = framer.encode(&key("k"), value, &header()).expect_err("ambiguous");
            assert_eq!(error.step(), Step::Encode);
            assert_eq!(framer.stats().failed_at(Step::Encode), 1);
        }
    }
    refused(&Some(serde_json::Value::Null));
    refused(&Flat { inner: Inner { doubled: Some(None) } });
    both(&Some(serde_json::json!([])));
    both(&Some(serde_json::json!([{"a": [1]}])));
}

#[test]
fn numbers_that_json_does_not_have_are_refused_and_not_made_null() {
    let framer = Framer::<Option<f64>>::new("value", Json);
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(step(framer.encode(&key("k"), &Some(value), &header())), Step::Encode);
    }
    through(Msgpack, &[f64::INFINITY, f64::NEG_INFINITY, -0.0]);
}

#[test]
fn fields_may_be_added_and_moved_but_not_mistaken() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Old {
        width: u32,
        height: u32,
    }
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct New {
        height: u32,
        #[serde(default)]
        depth: u32,
        width: u32,
    }
    let frame = Framer::new("size", Msgpack).encode(&key("k"), &Old { width: 3, height: 4 }, &header());
    let new = Framer::<New>::new("size", Msgpack).decode(&key("k"), &frame.expect("legal"));
    let New { height, depth, width } = new.expect("readable").value;
    assert_eq!((width, height, depth), (3, 4, 0));
}

fn any_place() -> impl Strategy<Value = Place> {
    prop_oneof![
        Just(Place::Nowhere),
        ".{0,20}".prop_map(Place::Street),
        any::<(f32, f32)>().prop_map(|(x, y)| Place::Point(x, y)),
        any::<(i8, Option<u8>)>().prop_map(|(floor, door)| Place::Room { floor, door }),
        any::<Option<Option<bool>>>()
            .prop_map(|held| { Place::Held(held.map(|held| Held(held.map(|_| Unit)))) }),
    ]
}

fn any_account() -> impl Strategy<Value = Account> {
    let scalars = any::<(u64, String, Option<Option<String>>, Option<()>, f64, (i128, u128), char)>();
    let lists = (
        prop::collection::vec(any::<i32>(), 0..300),
        prop::collection::vec(any_place(), 0..5),
        prop::collection::btree_map(any::<u16>(), any::<Option<Vec<u8>>>(), 0..5),
    );
    let leaf =
        (scalars, lists).prop_map(|((id, name, note, seen, ratio, wide, mark), (scores, places, by_day))| {
            Account { id, name, note, seen, scores, places, by_day, ratio, wide, mark, kept: None }
        });
    leaf.prop_recursive(3, 3, 1, |inner| {
        inner.prop_map(|kept| Account { kept: Some(Box::new(kept.clone())), ..kept })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_account_comes_back(account in any_account()) {
        both(&account);
    }

    #[test]
    fn any_option_in_an_option_comes_back(
        values in prop::collection::vec(any::<Option<Option<Option<Vec<Option<()>>>>>>(), 0..4),
    ) {
        both(&values);
    }

    #[test]
    fn any_bytes_come_back(bytes in prop::collection::vec(0_u8..4, 0..3000)) {
        through(Raw, &bytes);
    }
}
