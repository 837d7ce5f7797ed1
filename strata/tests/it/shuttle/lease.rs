//! Leases in other orders: nobody waits for ever, and nothing old is brought back.

use strata::Leased;

use super::*;

/// Longer than a model lives, whose pauses are over at once if they are shorter than a year.
const AGES: Duration = Duration::from_hours(24 * 1000);

/// Asks for the value or the lease to make it, waits for it for ever, and makes it if it is won; some of the winners give it back.
async fn makes(world: World, gives_back: bool) {
    loop {
        match world.cache.wait_or_lease(&KEY, AGES, 2 * AGES).await.expect("memory") {
            Leased::Hit(_) => return,
            Leased::Won { token, .. } if gives_back => {
                shuttle::future::yield_now().await;
                assert!(world.cache.release(&token, &KEY).await.expect("memory"));
                return;
            }
            Leased::Won { token, .. } => {
                let value = world.source.load(SeqCst);
                shuttle::future::yield_now().await;
                let filled = world.cache.insert_leased(&token, KEY, value, Options::new()).await;
                if filled.expect("memory").is_stored() {
                    return;
                }
            }
            Leased::Held { .. } => unreachable!("it waits for ever"),
        }
    }
}

#[test]
fn who_waits_for_a_lease_misses_nothing_that_wakes_him() {
    // W19. Whoever is not woken waits for ever here, and that is a deadlock.
    check(|| {
        let world = World::new(Options::new());
        let makers = [true, false, false].map(|gives_back| spawn(makes(world.clone(), gives_back)));
        for maker in makers {
            block_on(maker).expect("no panic");
        }
        assert_eq!(world.cache.get_local(&KEY).map(|hit| *hit), Some(1));
    });
}

#[test]
fn who_is_aborted_while_he_waits_for_a_lease_takes_nobody_with_him() {
    // W19
    check(|| {
        let world = World::new(Options::new());
        let [goes, stays, other] = [true, false, true].map(|back| spawn(makes(world.clone(), back)));
        // What he has won by then he may have taken with him, so that is given back for him.
        goes.abort();
        drop(block_on(goes));
        block_on(world.cache.insert(KEY, 1)).expect("memory");
        for maker in [stays, other] {
            block_on(maker).expect("no panic");
        }
    });
}

#[test]
fn what_is_made_under_a_lease_beside_a_removal_is_not_brought_back() {
    // W19; I1
    check(|| {
        let world = World::new(Options::new());
        let maker = spawn(makes(world.clone(), false));
        let writer = spawn({
            let world = world.clone();
            async move {
                world.source.fetch_add(1, SeqCst);
                world.cache.remove(&KEY).await.expect("memory");
            }
        });
        let other = spawn({
            let world = world.clone();
            // Some of the eight stripes of a model are that of the key.
            async move {
                for key in 2..6 {
                    world.cache.insert(key, 0).await.expect("memory");
                }
            }
        });
        for task in [maker, writer, other] {
            block_on(task).expect("no panic");
        }
        world.nothing_old_is_cached();
    });
}
