//! Values that are made elsewhere: who may make them, what of them is stored, and stale ones meanwhile.

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use cache_core::{ErrorKind, Grant, Key, Lease, Result};
use cache_memory::MemoryLease;
use strata::{Inserted, LeaseToken, Leased, Pattern, Stale, Tags};

use super::news::Fleet;
use super::*;

const HOLD: Duration = Duration::from_secs(10);

async fn won(cache: &Cache<u32, String>, key: u32) -> LeaseToken {
    match cache.get_or_lease(&key, HOLD).await.expect("no tier fails") {
        Leased::Won { token, stale: None } => token,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_another_process_has_changed_is_refused_though_nothing_was_heard_of_it() {
    let world = World::new();
    // Without a bus.
    let (one, other) = (world.far_node(ttl(60)), world.far_node(ttl(60)));
    let token = won(&one, 1).await;
    other.remove(&1).await.expect("no tier fails");
    let filled = one.insert_leased(&token, 1, "old".to_owned(), Options::new()).await.expect("no tier fails");
    assert_eq!(filled, Inserted::Refused);
    for cache in [&one, &other] {
        assert!(cache.get(&1).await.expect("no tier fails").is_none());
    }

    let token = won(&one, 1).await;
    let filled = one.insert_leased(&token, 1, "new".to_owned(), Options::new()).await.expect("no tier fails");
    assert_eq!(filled, Inserted::Stored);
    let found = other.get(&1).await.expect("no tier fails").expect("it is there");
    assert_eq!(source(&found), ("new", Source::Tier));
}

/// The last holder has stored the value just before the lease is given to the next one.
#[derive(Debug)]
struct JustStored {
    lease: MemoryLease,
    last: OnceLock<Cache<u32, String>>,
}

#[async_trait]
impl Lease for JustStored {
    async fn acquire(&self, key: &Key, ttl: Duration) -> Result<Option<Grant>> {
        if let Some(last) = self.last.get() {
            last.insert(1, "just stored".to_owned()).await?;
        }
        self.lease.acquire(key, ttl).await
    }

    async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<bool> {
        self.lease.renew(grant, ttl).await
    }

    async fn release(&self, grant: Grant) -> Result<bool> {
        self.lease.release(grant).await
    }
}

#[tokio::test]
async fn who_comes_when_the_value_was_just_stored_has_it_and_not_the_lease() {
    let world = World::new();
    let lease = Arc::new(JustStored { lease: MemoryLease::new(), last: OnceLock::new() });
    let node = world.build(ttl(60), |builder| {
        builder.tier(world.tier(&world.far)).lease(Arc::<JustStored>::clone(&lease), HOLD)
    });
    lease.last.set(world.far_node(ttl(60))).expect("once");
    match node.get_or_lease(&1, HOLD).await.expect("no tier fails") {
        Leased::Hit(hit) => assert_eq!(hit.as_str(), "just stored"),
        other => panic!("{other:?}"),
    }
    node.remove(&1).await.expect("no tier fails");
    let key = Key::new(node.key_text(&1)).expect("short");
    assert!(lease.lease.acquire(&key, HOLD).await.expect("in memory").is_some(), "it was given back");
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_answers_only_where_no_tier_has_a_fresh_one() {
    let world = World::new();
    let options = ttl(1).with_stale_for(Duration::from_secs(100));
    let one = world.build(Options::new(), |builder| builder.tier(world.tier(&world.far)).serve_stale());
    let plain = world.far_node(Options::new());
    one.insert_with(1, "old".to_owned(), options).await.expect("no tier fails");
    world.pass(Duration::from_secs(2)).await;
    // From memory, from the tier, and nowhere that does not serve it.
    let cold = world.build(Options::new(), |builder| builder.tier(world.tier(&world.far)).serve_stale());
    for cache in [&one, &cold] {
        let found = cache.get(&1).await.expect("no tier fails").expect("it is there");
        assert_eq!((found.as_str(), found.stale()), ("old", Some(Stale::Served)));
        let many = cache.get_many(&[1, 2]).await.expect("no tier fails");
        assert!(many[0].as_ref().is_some_and(Hit::is_stale) && many[1].is_none());
        assert_eq!(cache.ttl(&1).await.expect("no tier fails"), Some(Ttl::ZERO));
        assert_eq!(cache.stats().stale_served, 2);
    }
    assert!(plain.get(&1).await.expect("no tier fails").is_none());

    plain.insert_with(1, "new".to_owned(), ttl(60)).await.expect("no tier fails");
    for cache in [&one, &cold] {
        assert_eq!(cache.ttl(&1).await.expect("no tier fails"), Some(Ttl::from_secs(60)));
        let found = cache.get(&1).await.expect("no tier fails").expect("it is there");
        assert_eq!((found.as_str(), found.stale()), ("new", None));
    }
}

#[tokio::test]
async fn so_many_leases_and_no_more_are_held_and_a_cache_takes_none_of_another() {
    let cache: Cache<u32, String> = Cache::builder("many").build().expect("legal");
    let first = won(&cache, 0).await;
    for key in 1..16_384 {
        won(&cache, key).await;
    }
    let refused = cache.get_or_lease(&16_384, HOLD).await.expect_err("one too many");
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(cache.release(&first, &0).await.expect("in memory"));
    won(&cache, 16_384).await;

    let other: Cache<u32, String> = Cache::builder("many").build().expect("legal");
    // Its numbers begin where those of the first began.
    won(&other, 0).await;
    let filled = other.insert_leased(&first, 0, "another's".to_owned(), Options::new()).await;
    assert_eq!(filled.expect("in memory"), Inserted::Refused);
}

/// What is known of a key of which somebody may make the value.
#[derive(Default)]
struct Known {
    is_there: bool,
    /// The last lease that was won, and whether nothing has happened to the key since.
    token: Option<(LeaseToken, bool)>,
    is_held: bool,
    over: Vec<LeaseToken>,
}

impl Known {
    /// Something has happened to it, and the value is there now or is not.
    fn changed(&mut self, is_there: bool) {
        self.is_there = is_there;
        self.token = self.token.take().map(|(token, _)| (token, false));
    }
}

fn tagged(key: u32) -> Options {
    Options::new().with_tags(Tags::new([format!("t{key}")]).expect("legal"))
}

async fn step(cache: &Cache<u32, String>, known: &mut [Known], (act, key): (u8, usize)) {
    let (of, value, at) = (u32::try_from(key).expect("few"), || "made".to_owned(), &mut known[key]);
    match act {
        0..3 => match cache.get_or_lease(&of, HOLD).await.expect("memory") {
            Leased::Hit(_) => assert!(at.is_there),
            Leased::Held { .. } => assert!(at.is_held && !at.is_there),
            Leased::Won { token, .. } => {
                assert!(!at.is_held && !at.is_there);
                at.is_held = true;
                at.over.extend(at.token.replace((token, true)).map(|(token, _)| token));
            }
        },
        3..6 => {
            for token in &at.over {
                let filled = cache.insert_leased(token, of, value(), tagged(of)).await.expect("memory");
                assert_eq!(filled, Inserted::Refused, "that lease is over");
            }
            if let Some((token, is_valid)) = at.token.take() {
                let filled = cache.insert_leased(&token, of, value(), tagged(of)).await.expect("memory");
                let is_right = is_valid && at.is_held;
                assert_eq!(filled == Inserted::Stored, is_right, "{key}");
                (at.is_there, at.is_held) = (at.is_there || is_right, false);
                at.over.push(token);
            }
        }
        6 => {
            if let Some((token, _)) = &at.token {
                assert_eq!(cache.release(token, &of).await.expect("memory"), at.is_held);
                at.is_held = false;
            }
        }
        7..15 => {
            match act {
                7 => drop(cache.insert_with(of, value(), tagged(of)).await.expect("memory")),
                8 => drop(cache.remove(&of).await.expect("memory")),
                9 => drop(cache.expire(&of).await.expect("memory")),
                10 => drop(cache.remove_tag(&format!("t{of}")).await.expect("memory")),
                11 => drop(cache.expire_tag(&format!("t{of}")).await.expect("memory")),
                12 => drop(cache.remove_prefix(&of).await.expect("memory")),
                13 => drop(cache.expire_prefix(&of).await.expect("memory")),
                _ => {
                    let pattern = Pattern::new(of.to_string()).expect("legal");
                    cache.remove_pattern(&pattern).await.expect("memory");
                }
            }
            at.changed(act == 7);
        }
        15 => {
            cache.clear().await.expect("memory");
            for known in known {
                known.changed(false);
            }
        }
        // Several to each stripe of the fence.
        _ => {
            for other in 1000..5000 {
                cache.insert(other, value()).await.expect("memory");
                cache.remove_tag(&format!("t{other}")).await.expect("memory");
            }
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(40))]

    #[test]
    fn a_leased_value_is_refused_for_what_happens_to_its_key_and_for_nothing_else(
        steps in proptest::collection::vec((0_u8..17, 0_usize..3), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let memory = Memory::new().with_max_entries(10_000).with_sweep_every(None);
            let cache = Cache::builder("leased").memory(memory).build().expect("legal");
            let mut known: [Known; 3] = Default::default();
            for act in steps {
                step(&cache, &mut known, act).await;
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_process_removes_in_a_group_refuses_the_leases_that_are_meant_and_no_others() {
    let fleet = Fleet::new(ttl(60)).await;
    let [one, other, ..] = &fleet.nodes[..] else { unreachable!("three") };
    let mut leases = Vec::new();
    for key in 1..=5 {
        leases.push((key, won(one, key).await));
    }
    other.remove_prefix(&1).await.expect("never fails");
    other.remove_pattern(&Pattern::new("2").expect("legal")).await.expect("never fails");
    other.expire_prefix(&3).await.expect("never fails");
    other.remove_tag("t4").await.expect("never fails");
    fleet.world.pass(Duration::from_millis(100)).await;
    for (key, token) in leases {
        let filled = one.insert_leased(&token, key, "made".to_owned(), tagged(key)).await;
        assert_eq!(filled.expect("never fails").is_stored(), key == 5, "{key}");
    }
}
