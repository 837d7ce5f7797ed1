//! Keys: the same call in whatever form, and never the same for two functions.

use std::collections::HashMap;

use strata::{CacheKey, CallKey, cached};

use super::{Fault, State};

type Numbers = State<u64>;

mod here {
    use super::{Fault, Numbers, cached};

    #[cached(cache = state.cache)]
    pub(super) async fn number(state: &Numbers, id: u64) -> Result<u64, Fault> {
        Ok(id * 100 + state.ask())
    }
}

mod there {
    use super::{Fault, Numbers, cached};

    #[cached(cache = state.cache)]
    pub(super) async fn number(state: &Numbers, id: u64) -> Result<u64, Fault> {
        Ok(id * 100 + state.ask())
    }
}

#[tokio::test]
async fn functions_of_one_name_and_one_cache_share_nothing() {
    let state = Numbers::new();
    assert_eq!(here::number(&state, 7).await, Ok(700));
    assert_eq!(there::number(&state, 7).await, Ok(701));
    assert!(here::number::invalidate(&state, 7).await.expect("removes"));
    assert_eq!(there::number(&state, 7).await, Ok(701));
}

#[tokio::test]
async fn functions_inside_functions_share_nothing_either() {
    async fn first(state: &Numbers) -> Result<u64, Fault> {
        #[cached(cache = state.cache)]
        async fn inner(state: &Numbers) -> Result<u64, Fault> {
            Ok(state.ask())
        }
        inner(state).await
    }
    async fn second(state: &Numbers) -> Result<u64, Fault> {
        #[cached(cache = state.cache)]
        async fn inner(state: &Numbers) -> Result<u64, Fault> {
            Ok(state.ask())
        }
        inner(state).await
    }
    let state = Numbers::new();
    assert_eq!(first(&state).await, Ok(0));
    assert_eq!(second(&state).await, Ok(1));
    assert_eq!(first(&state).await, Ok(0));
}

/// How the keys of a cache are rendered.
fn rendered(state: &Numbers) -> Vec<String> {
    let mut keys = Vec::new();
    state.cache.memory().for_each(|found| {
        let mut out = cache_core::Namespace::new("n").expect("legal").key();
        CallKey::write(found.key(), &mut out);
        keys.push(out.as_str().to_owned());
    });
    keys
}

#[cached(cache = state.cache, name = "candles")]
async fn candles(state: &Numbers, symbol: &str, minutes: u32) -> Result<u64, Fault> {
    let _ = (symbol, minutes);
    Ok(state.ask())
}

#[cached(cache = state.cache, name = "candles")]
async fn candles_by_others(minutes: u64, state: &Numbers, symbol: String) -> Result<u64, Fault> {
    let _ = (symbol, minutes);
    Ok(state.ask())
}

#[tokio::test]
async fn the_text_of_a_key_depends_on_neither_order_nor_width() {
    let (one, other) = (Numbers::new(), Numbers::new());
    candles(&one, "BTC", 5).await.expect("loads");
    candles_by_others(5, &other, "BTC".to_owned()).await.expect("loads");
    assert_eq!(rendered(&one), rendered(&other));
    // Golden: stored entries outlive the program.
    assert_eq!(rendered(&one), ["n:candles:6d8c77ec519c7d53370a811e59409087"]);
    candles_by_others(5, &one, "BTC".to_owned()).await.expect("loads");
    assert_eq!(one.asked(), 2, "one name for two functions shares no entry all the same");
}

#[tokio::test]
async fn an_unnamed_function_has_its_path_in_the_text_of_its_keys() {
    let state = Numbers::new();
    here::number(&state, 7).await.expect("loads");
    assert_eq!(state.cache.remove_prefix("it::cached::keys::here::number").await.expect("removes"), 1);
}

#[cached(cache = state.cache)]
async fn many(
    state: &Numbers,
    text: Option<String>,
    flags: Vec<bool>,
    share: f64,
    delta: i8,
) -> Result<u64, Fault> {
    let _ = (text, flags, share, delta);
    Ok(state.ask())
}

#[tokio::test]
async fn every_argument_counts() {
    let state = Numbers::new();
    let mut seen = HashMap::new();
    for text in [None, Some(String::new()), Some("true".to_owned())] {
        for flags in [vec![], vec![true], vec![true, false]] {
            for share in [0.0, 1.0] {
                for delta in [-1, 0] {
                    let call = format!("{text:?} {flags:?} {share} {delta}");
                    let first = many(&state, text.clone(), flags.clone(), share, delta).await.expect("loads");
                    assert_eq!(many(&state, text.clone(), flags.clone(), share, delta).await, Ok(first));
                    assert_eq!(seen.insert(first, call.clone()), None, "{call}");
                }
            }
        }
    }
    assert_eq!(state.asked(), 36);
}
