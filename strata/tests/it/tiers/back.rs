//! A tier that is back: within how long it is in use, and what there was room to keep for it.

use std::time::Duration;

use cache_core::{Key, StoreExt};
use cache_testkit::chaos::Fault;
use cache_testkit::parts::Parts;
use strata::layer::Passage;
use tokio::time::Instant;

use super::away::{DOWN, below};
use super::news::Fleet;
use super::*;

const KEYS: u32 = 20;
/// A third of the time that callers wait.
const PART: Duration = Duration::from_millis(66);

/// A tier whose removals of everything take more than six times as long as a call may take.
fn parts(world: &World) -> Arc<Parts> {
    let keys = (0..KEYS).map(|key| Key::new(format!("users:{key}")).expect("legal")).collect();
    Arc::new(Parts::new(Arc::<Chaos>::clone(&world.far), keys, PART))
}

/// Such a tier, and a process with it that has written all there is.
async fn of_parts(world: &World) -> (Arc<Parts>, Arc<Chaos>, Cache<u32, String>) {
    let parts = parts(world);
    let chaos = Arc::new(Chaos::new(Arc::<Parts>::clone(&parts)));
    let node = world.build(ttl(600), |builder| builder.tier(world.tier(&chaos)));
    for key in 0..KEYS {
        let tags =
            Options::new().with_tags(Tags::new([if key == 7 { "odd" } else { "other" }]).expect("legal"));
        node.insert_with(key, "a".to_owned(), tags).await.expect("never fails");
    }
    (parts, chaos, node)
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_takes_longer_than_callers_wait_goes_on_where_it_has_come_to() {
    let world = World::new();
    let (parts, _, node) = of_parts(&world).await;
    let began = Instant::now();
    node.clear().await.expect("never fails");
    assert_eq!(began.elapsed(), Duration::from_millis(200), "the limit of a call");
    assert_eq!(parts.asked(), 5, "the fourth was given up, and begun again behind");
    assert!(below(&world, 19).await.is_some() && below(&world, 2).await.is_none());
    assert!(
        node.get(&19).await.expect("never fails").is_none(),
        "until it is removed the tier is not believed"
    );
    assert_eq!((node.tiers()[0].backlog, node.tiers()[0].errors), (1, 0), "to take long is no error");
    // Time passes in steps of 50 ms, of which a part takes two.
    world.pass(2 * PART * KEYS).await;
    assert_eq!((node.tiers()[0].backlog, node.tiers()[0].passage), (0, Some(Passage::Closed)));
    assert_eq!(parts.asked(), u64::from(KEYS) + 1, "no part that was done was done again");
    for key in 0..KEYS {
        assert_eq!(below(&world, key).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_while_a_removal_is_under_way_stands_in_for_nothing_afterwards() {
    let options = ttl(600).with_fail_safe_for(Duration::from_hours(1));
    let fleet = Fleet::over(options, |world| world.tier(&parts(world))).await;
    fleet.fill([19]).await;
    fleet.nodes[0].clear().await.expect("never fails");
    fleet.world.pass(Duration::from_millis(50)).await;
    let late = fleet.nodes[1].get(&19).await.expect("never fails");
    assert_eq!(late.as_deref().map(String::as_str), Some("old"), "it has not come to this one yet");
    fleet.world.pass(2 * PART * KEYS).await;
    assert_eq!((fleet.nodes[0].tiers()[0].backlog, fleet.held(19)), (0, [None, None]));
    let failed = fleet.nodes[1].get_or_load(&19, || async { Err::<String, _>(Down(1)) }).await;
    assert!(failed.is_err(), "what was removed is no copy to fall back on: {failed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_removal_without_guards_is_waited_for_however_long_it_takes() {
    let world = World::new();
    let (parts, _, _) = of_parts(&world).await;
    let tier = Tier::new(Arc::<Parts>::clone(&parts)).without_guards();
    let node = world.build(ttl(600), |builder| builder.tier(tier));
    node.clear().await.expect("never fails");
    assert_eq!((parts.asked(), node.tiers()[0].backlog), (u64::from(KEYS), 0));
    assert_eq!(below(&world, 19).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_hangs_holds_up_no_other() {
    let world = World::new();
    let (_, chaos, node) = of_parts(&world).await;
    chaos.set(Some(DOWN));
    node.remove_prefix("1").await.expect("never fails");
    node.remove_tag("odd").await.expect("never fails");
    for key in [2, 3, 4] {
        node.remove(&key).await.expect("never fails");
    }
    assert_eq!(node.tiers()[0].backlog, 5);
    // Its parts never end from now on, and all else works.
    chaos.set_only("remove prefix", Fault::Hangs);
    world.pass(Duration::from_millis(1500)).await;
    assert_eq!(node.tiers()[0].backlog, 1, "the one that hangs");
    for key in [2, 3, 4] {
        assert_eq!(below(&world, key).await, None);
    }
    let odd = chaos.get(&Key::new("users:7").expect("legal")).await.expect("it answers");
    assert_eq!(odd, None, "its tag is gone");
    chaos.set(None);
    world.pass(Duration::from_secs(3)).await;
    assert_eq!(node.tiers()[0].backlog, 0);
    assert!(
        below(&world, 1).await.is_none()
            && below(&world, 19).await.is_none()
            && below(&world, 5).await.is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn with_the_guards_that_it_has_by_itself_a_tier_is_back_within_200_ms_whenever_that_was() {
    const STEP: Duration = Duration::from_millis(50);
    for phase in 0..12 {
        let world = World::new();
        let guards = Guards::new().with_clock(Arc::new(world.clock.clone()));
        let tier = Tier::new(Arc::<Chaos>::clone(&world.far)).with_guards(guards);
        let node = world.build(ttl(600), |builder| builder.tier(tier));
        node.insert(1, "a".to_owned()).await.expect("never fails");
        world.far.set(Some(DOWN));
        for key in 10..15 {
            assert!(node.get(&key).await.expect("never fails").is_none());
        }
        assert_eq!(node.tiers()[0].passage, Some(Passage::Open));
        world.pass(Duration::from_mins(1) + STEP * phase).await;
        let before = node.tiers()[0].breaker.expect("it has one").probes;
        assert!(before >= 240, "one at least every 200 ms and some that take their time, and not {before}");
        world.far.set(None);
        let mut waited = Duration::ZERO;
        while node.tiers()[0].passage != Some(Passage::Closed) {
            world.pass(STEP).await;
            waited += STEP;
            assert!(waited <= Duration::from_millis(200), "phase {phase}");
        }
        assert_eq!(
            node.tiers()[0].breaker.expect("it has one").probes,
            before + 1,
            "the first probe is enough"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn where_one_of_two_values_can_wait_the_one_that_ends_sooner_is_given_up_and_counted() {
    // Each takes more than half of the 16 MiB that may wait.
    let large = |text: &str| text.repeat(9 << 20);
    let life = |secs| Options::new().with_ttl(Ttl::from_secs(secs));
    for first_ends_sooner in [true, false] {
        let world = World::new();
        let node = world.far_node(ttl(600));
        for key in [1, 2] {
            node.insert(key, "old".to_owned()).await.expect("never fails");
        }
        world.far.set(Some(DOWN));
        let lives = if first_ends_sooner { [60, 600] } else { [600, 60] };
        for (key, secs) in [1, 2].into_iter().zip(lives) {
            node.insert_with(key, large("n"), life(secs)).await.expect("never fails");
        }
        let stats = node.tiers()[0];
        assert_eq!(
            (stats.backlog, stats.given_up, stats.overflows),
            (2, 1, 0),
            "its key is still owed a removal"
        );
        world.far.set(None);
        world.pass(Duration::from_secs(1)).await;
        let left = [below(&world, 1).await, below(&world, 2).await].map(|value| value.map(|text| text.len()));
        let kept = Some(9 << 20);
        assert_eq!(left, if first_ends_sooner { [None, kept] } else { [kept, None] });
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_can_never_wait_pushes_out_no_other() {
    let world = World::new();
    let framer = Framer::new("user", Raw).with_max_bytes(32 << 20);
    let node = world.build(ttl(600), |builder| builder.tier(world.tier(&world.far)).framer(framer));
    world.far.set(Some(DOWN));
    node.insert_with(1, "small".to_owned(), ttl(60)).await.expect("never fails");
    node.insert(2, "n".repeat(17 << 20)).await.expect("never fails");
    assert_eq!(node.tiers()[0].given_up, 1);
    world.far.set(None);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(below(&world, 1).await.as_deref(), Some("small"));
    assert_eq!(below(&world, 2).await, None);
}
