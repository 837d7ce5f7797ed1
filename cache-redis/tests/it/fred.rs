//! The driver over fred: the suites, and what goes wrong with servers and networks, as over the other one.

use std::process::Termination;
use std::thread;

use cache_core::StoreExt;
use cache_redis::{Config, Connection, Driver, RedisStore};
use cache_testkit::redis::{Cluster, Sentinels, Server, Setup};

use crate::conformance::all;
use crate::servers::{DRIVER, cluster_config, ends, hasty, key, sentinel_config, succeeds};
use crate::{cluster, faults, gathering, messages, network, strangers};

/// At the same time, because they mostly wait.
#[test]
fn it_keeps_every_promise_with_a_server_with_sentinels_and_with_a_cluster() {
    let setup = Setup::new().with_password("other").with_user("app", "s%cret");
    #[cfg(feature = "tls")]
    let setup = setup.with_tls();
    let server = Server::with(&setup);
    let (group, cluster) = (Sentinels::start(), Cluster::start());
    let configs = [guarded(&server), sentinel_config(&group), cluster_config(&cluster)];
    thread::scope(|scope| {
        for config in configs {
            scope.spawn(move || all(&config.with_driver(Driver::Fred).with_client_name("suite")));
        }
    });
    assert!(server.info("db3").is_some(), "nothing was kept in database 3");
}

#[cfg(feature = "tls")]
fn guarded(server: &Server) -> Config {
    let port = server.tls_port().expect("asked for");
    let authority = std::fs::read(server.authority().expect("asked for")).expect("it is there");
    let config = Config::from_url(&format!("rediss://app:s%25cret@localhost:{port}/3")).expect("legal");
    config.with_tls(cache_redis::Tls::new().with_authorities(authority))
}

#[cfg(not(feature = "tls"))]
fn guarded(server: &Server) -> Config {
    Config::from_url(&format!("redis://app:s%25cret@{}/3", server.address())).expect("legal")
}

#[test]
fn a_database_that_it_does_not_know_is_refused() {
    let config = Config::from_url("redis://localhost/256").expect("legal").with_driver(Driver::Fred);
    let error = config.check().expect_err("too large").to_string();
    assert_eq!(error, "`database` is 256; use 0 to 255 over fred, which knows no others");
}

/// Killed at every step of connecting, and used by many at that moment: a connection that is made again and again leaves
/// nothing behind, and nobody hangs.
#[tokio::test]
async fn a_server_that_dies_while_it_is_connected_to_is_connected_to_again() {
    let mut server = Server::start();
    let config = Config::from_url(&server.url()).expect("legal").with_driver(Driver::Fred);
    // Pauses of a length that chance cannot change.
    let ms = std::time::Duration::from_millis;
    let redis = Connection::open(hasty(config).with_backoff(ms(1), ms(1))).expect("legal");
    let store = RedisStore::new(redis.clone());
    for _ in 0..5 {
        server.kill();
        let key = key("k");
        let asked = (0..20).map(|_| store.get(&key));
        for found in ends(futures_util::future::join_all(asked)).await {
            assert!(found.is_err(), "nobody is there");
        }
        server.restart();
        assert_eq!(succeeds(async || store.get(&key).await).await, None);
    }
    assert!(redis.stats().connects >= 5, "{:?}", redis.stats());
    drop((redis, store));
    succeeds(async || if server.clients() == 1 { Ok(()) } else { Err(()) }).await;
}

/// The same tests over fred.
macro_rules! over_fred {
    ($($module:ident::$test:ident,)*) => {
        $(
            #[test]
            fn $test() -> impl Termination {
                DRIVER.set(Some(Driver::Fred));
                let outcome = $module::$test();
                DRIVER.set(None);
                outcome
            }
        )*
    };
}

over_fred! {
    cluster::a_dead_primary_disturbs_nobody_else_and_is_replaced,
    cluster::calls_follow_slots_that_move_one_by_one_and_in_batches,
    faults::a_dead_server_is_an_error_at_once_and_an_empty_one_after_it_is_just_empty,
    faults::a_full_server_refuses_what_is_new_and_lets_go_of_what_is_old,
    faults::a_stopped_server_costs_a_deadline_and_is_then_known_to_be_away,
    faults::after_a_failover_everything_goes_on_at_the_new_primary,
    faults::an_application_starts_without_its_redis,
    faults::connections_end_with_whoever_opened_them,
    gathering::an_error_is_told_to_whom_it_belongs,
    gathering::each_gets_its_own_answer_and_the_server_few_commands,
    messages::a_channel_whose_slot_moves_is_followed,
    messages::a_connection_that_has_died_in_silence_is_found_by_its_heartbeat,
    messages::a_message_ahead_of_the_confirmation_is_not_taken_for_it,
    messages::a_subscriber_that_the_server_drops_as_too_slow_learns_it_and_goes_on,
    messages::a_subscription_outlives_the_connections_that_calls_are_made_on,
    messages::a_subscriber_that_was_cut_off_while_idle_learns_it_and_goes_on,
    network::a_half_open_connection_is_found_and_replaced,
    network::an_answer_that_comes_too_late_is_not_given_to_the_next_question,
    network::an_answer_that_is_cut_at_any_byte_is_an_error_and_never_a_wrong_value,
    network::a_removal_of_many_goes_behind_what_was_written_on_each_connection,
    network::large_batches_in_both_directions_do_not_block_each_other,
    network::what_is_asked_of_a_key_is_done_in_order_whichever_connection_is_slow,
    strangers::a_server_that_lies_is_an_error_whatever_it_says,
}
