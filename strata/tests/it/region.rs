//! Regions of different types in one registry.

use cache_core::Namespace;
use strata::{BuildError, Cache, KeyError, Memory, Options, Registry, Ttl};

#[tokio::test]
async fn regions_are_apart_and_found_by_name_and_type() {
    let registry = Registry::new();
    let tokens: Cache<String, u64> =
        Cache::builder("token").memory(Memory::new().with_max_entries(2)).build().expect("legal");
    let reports: Cache<u32, String> = Cache::builder("report")
        .options(Options::new().with_ttl(Ttl::from_secs(3600)))
        .build()
        .expect("legal");
    registry.add(&tokens).expect("free");
    registry.add(&reports).expect("free");
    let taken = registry.add(&tokens).expect_err("taken");
    assert!(taken.to_string().contains("\"token\""));

    for key in ["a", "b", "c"] {
        tokens.insert(key.to_owned(), 1).await.expect("memory");
    }
    reports.insert(1, "r".to_owned()).await.expect("memory");
    assert!(registry.cache::<u32, String>("token").is_none(), "another type");
    assert!(registry.cache::<u32, String>("report").expect("there").get_local(&1).is_some());

    let figures: Vec<_> = registry.all().iter().map(|region| region.stats().memory.entries).collect();
    assert_eq!(figures, [1, 2]);
    assert_eq!(registry.region("token").expect("there").clear().await.expect("memory"), 2);
    assert_eq!(registry.clear_all().await.expect("memory"), 1);
    assert!(registry.remove("token") && !registry.remove("token"));
    assert!(registry.region("token").is_none());
}

#[tokio::test]
async fn two_caches_with_the_same_keys_do_not_meet() {
    // C45
    let caches = ["a", "b"].map(|name| Cache::<String, u32>::builder(name).build().expect("legal"));
    let [a, b] = &caches;
    for (number, cache) in (1..).zip(&caches) {
        cache.insert("k".to_owned(), number).await.expect("memory");
    }
    assert_eq!((a.get_local("k").as_deref(), b.get_local("k").as_deref()), (Some(&1), Some(&2)));
    assert_eq!(a.clear().await.expect("memory"), 1);
    assert_eq!((a.get_local("k").as_deref(), b.get_local("k").as_deref()), (None, Some(&2)));
    let rendered = ["a", "b", "a.b"].map(|name| Namespace::new(name).and_then(|name| name.render("b:k")));
    let texts = rendered.map(|key| key.expect("legal").as_str().to_owned());
    assert_eq!(texts, ["a:b%3Ak", "b:b%3Ak", "a.b:b%3Ak"], "nor do they outside the process");
}

#[test]
fn a_name_that_cannot_begin_a_key_is_refused() {
    for name in ["", "a:b", "a b", "é"] {
        let error = Cache::<u32, u32>::builder(name).build().expect_err("not legal");
        assert!(matches!(error, BuildError::Name(KeyError::Namespace { .. })), "{name:?}");
        assert!(error.to_string().contains("letters, digits"));
    }
}

#[test]
fn a_limit_in_bytes_needs_someone_who_counts_them() {
    let bounded = || Memory::new().with_max_bytes(1 << 20);
    let error = Cache::<u64, String>::builder("texts").memory(bounded()).build().expect_err("nobody counts");
    assert_eq!(error, BuildError::NoWeigher);
    assert!(error.to_string().contains("with_weigher"));
    let counted = bounded().with_weigher(|_: &u64, text: &std::sync::Arc<String>| text.len() as u64);
    assert!(Cache::<u64, String>::builder("texts").memory(counted).build().is_ok());
    let numbers = Cache::<u64, f64>::builder("numbers").memory(Memory::new().with_max_bytes(1 << 20));
    assert!(numbers.build().is_ok(), "their size is their type's");
}
