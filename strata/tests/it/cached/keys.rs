//! Keys: the same call in whatever form, and never the same for two functions.

use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;

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
    async fn second(state: &Numbers, by_another: bool) -> Result<u64, Fault> {
        if by_another {
            #[cached(cache = state.cache)]
            async fn inner(state: &Numbers) -> Result<u64, Fault> {
                Ok(state.ask())
            }
            return inner(state).await;
        }
        #[cached(cache = state.cache)]
        async fn inner(state: &Numbers) -> Result<u64, Fault> {
            Ok(state.ask())
        }
        inner(state).await
    }
    let state = Numbers::new();
    for _ in 0..2 {
        assert_eq!(first(&state).await, Ok(0));
        assert_eq!(second(&state, false).await, Ok(1));
        assert_eq!(second(&state, true).await, Ok(2));
    }
    assert_eq!(texts(&state), 3);
    let names = named(&state);
    let of =
        |outer: &str| names.iter().filter(|name| name.contains(outer) && name.contains("::inner@")).count();
    assert_eq!((of("::first::"), of("::second::")), (1, 2), "the outer function is part of {names:?}");
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

/// How many texts the keys of a cache have.
fn texts(state: &Numbers) -> usize {
    rendered(state).into_iter().collect::<HashSet<_>>().len()
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
    there::number(&state, 7).await.expect("loads");
    assert_eq!(texts(&state), 2);
    assert_eq!(state.cache.remove_prefix("it::cached::keys::here::number").await.expect("removes"), 1);
    // Golden: it names the module and the function, and neither file nor line.
    let text = "n:it%3A%3Acached%3A%3Akeys%3A%3Athere%3A%3Anumber:c4cbdcd60954992fadbe99e9d23bbc47";
    assert_eq!(rendered(&state), [text]);
}

#[cached(cache = state.cache)]
fn r#match(state: &Numbers, r#type: u64) -> u64 {
    let _ = r#type;
    state.ask()
}

#[test]
fn a_name_that_is_a_keyword_is_one_like_others() {
    let state = Numbers::new();
    r#match(&state, 7);
    let (named, hash) = (named(&state), cache_core::Params::new().with("type", 7).hash());
    assert_eq!(named, ["it::cached::keys::match"]);
    assert!(rendered(&state)[0].ends_with(&hash));
}

#[cached(cache = state.cache)]
fn cache(state: &Numbers, cache: u64) -> u64 {
    cache * 100 + state.ask()
}

#[cached(cache = shards[id % 2].cache)]
fn sharded(shards: &[State<usize>; 2], id: usize) -> usize {
    id * 100
}

#[test]
fn an_argument_that_chooses_a_cache_or_is_called_as_one_is_part_of_the_key() {
    let state = Numbers::new();
    assert_eq!((cache(&state, 1), cache(&state, 2), cache(&state, 1)), (100, 201, 100));
    assert!(cache::invalidate(&state, 1));
    assert_eq!((cache(&state, 1), cache(&state, 2)), (102, 201));
    let shards = [State::new(), State::new()];
    for id in (0..4).chain(0..4) {
        assert_eq!(sharded(&shards, id), id * 100);
    }
}

/// How the functions are called whose answers are in a cache.
fn named(state: &Numbers) -> Vec<String> {
    let mut names = Vec::new();
    state.cache.memory().for_each(|found| names.push(found.key().name().into_owned()));
    names.sort();
    names
}

struct Page<T> {
    state: Numbers,
    of: PhantomData<T>,
}

impl<T> Page<T> {
    fn new(state: &Numbers) -> Self {
        Self { state: state.clone(), of: PhantomData }
    }

    #[cached(cache = self.state.cache)]
    fn number(&self, id: u64) -> u64 {
        id * 100 + self.state.ask()
    }

    #[cached(cache = self.state.cache, name = "Page::named")]
    fn named(&self, id: u64) -> u64 {
        id * 100 + self.state.ask()
    }
}

struct Leaf {
    state: Numbers,
}

impl Leaf {
    #[cached(cache = self.state.cache)]
    fn number(&self, id: u64) -> u64 {
        id * 100 + self.state.ask()
    }
}

/// What any type can do, each in its way.
trait Numbered {
    fn state(&self) -> &Numbers;

    #[cached(cache = self.state().cache)]
    fn numbered(&self, id: u64) -> u64 {
        id * 100 + self.state().ask()
    }
}

impl<T> Numbered for Page<T> {
    fn state(&self) -> &Numbers {
        &self.state
    }
}

impl Numbered for Leaf {
    fn state(&self) -> &Numbers {
        &self.state
    }
}

#[test]
fn methods_of_one_name_share_nothing_whatever_their_types() {
    let state = Numbers::new();
    let leaf = Leaf { state: state.clone() };
    let (texts_of, bytes_of) = (Page::<String>::new(&state), Page::<Vec<u8>>::new(&state));
    for _ in 0..2 {
        assert_eq!((leaf.number(7), texts_of.number(7), bytes_of.number(7)), (700, 701, 702));
        assert_eq!((texts_of.named(7), bytes_of.named(7)), (703, 704));
        assert_eq!((leaf.numbered(7), texts_of.numbered(7), bytes_of.numbered(7)), (705, 706, 707));
    }
    assert!(texts_of.number_invalidate(7));
    assert_eq!((bytes_of.number(7), texts_of.number(7)), (702, 708));
    assert_eq!(texts(&state), 8);
    let names = named(&state);
    let has = |name: &str| assert!(names.iter().any(|it| it == name), "{name} is none of {names:?}");
    has("it::cached::keys::Leaf::number");
    has("it::cached::keys::Page<alloc::string::String>::number");
    has("it::cached::keys::Leaf::numbered");
    has("Page::named<alloc::vec::Vec<u8>>");
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
