//! The driver over fred: the suites, and what goes wrong with servers and networks, as over the other one.

use std::process::Termination;
use std::thread;

use cache_core::StoreExt;
use cache_redis::{Config, Connection, Driver, RedisStore};
use cache_testkit::redis::{Cluster, Sentinels, Server, Setup};

use crate::conformance::all;
use crate::servers::{DRIVER, cluster_config, ends, hasty, key, sentinel_config, succeeds};
use crate::{
    bus, cluster, faults, gathering, lease, messages, network, notes, removals, scripted, strangers,
};

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
    bus::a_connection_that_dies_in_silence_is_a_doubt_until_it_is_replaced,
    bus::what_is_published_while_a_connection_is_cut_is_heard_or_doubted,
    bus::what_was_published_while_the_server_was_away_is_heard_when_it_is_back,
    cluster::a_dead_primary_disturbs_nobody_else_and_is_replaced,
    cluster::a_primary_that_hangs_for_ten_seconds_is_replaced_and_does_no_harm_when_it_goes_on,
    cluster::a_server_that_names_another_by_its_port_alone_means_its_own_host,
    cluster::a_slot_half_of_which_has_moved_answers_as_a_whole,
    cluster::a_slot_that_nobody_has_is_an_error_that_passes_and_disturbs_no_other,
    cluster::calls_follow_slots_that_move_one_by_one_and_in_batches,
    faults::a_client_that_is_killed_in_mid_decision_may_lose_it_and_never_counts_it_twice,
    faults::a_dead_server_is_an_error_at_once_and_an_empty_one_after_it_is_just_empty,
    faults::a_full_server_refuses_what_is_new_and_lets_go_of_what_is_old,
    faults::a_replica_refuses_writes_and_still_reads,
    faults::a_server_that_is_back_is_found_by_the_next_attempt,
    faults::a_stopped_server_costs_a_deadline_and_is_then_known_to_be_away,
    faults::a_user_who_may_do_only_what_is_needed_is_enough,
    faults::after_a_failover_everything_goes_on_at_the_new_primary,
    faults::an_application_starts_without_its_redis,
    faults::connections_end_with_whoever_opened_them,
    faults::scripts_survive_being_forgotten,
    gathering::an_error_is_told_to_whom_it_belongs,
    gathering::each_gets_its_own_answer_and_the_server_few_commands,
    lease::a_clock_that_was_set_back_lets_nobody_wait_for_a_dead_holder_longer_than_its_lease,
    lease::a_holder_that_lives_keeps_its_lease_though_the_clock_is_set_back_and_gives_it_back,
    lease::a_lease_as_it_was_written_before_is_held_until_its_end,
    lease::a_lease_of_a_server_that_comes_back_empty_is_anothers_and_its_number_is_larger,
    messages::a_channel_whose_slot_moves_is_followed,
    messages::a_connection_that_has_died_in_silence_is_found_by_its_heartbeat,
    messages::a_failover_is_followed,
    messages::a_message_ahead_of_the_confirmation_is_not_taken_for_it,
    messages::a_server_that_restarts_empty_is_subscribed_to_again,
    messages::a_subscriber_that_the_server_drops_as_too_slow_learns_it_and_goes_on,
    messages::a_subscriber_that_was_cut_off_while_idle_learns_it_and_goes_on,
    messages::a_subscription_outlives_the_connections_that_calls_are_made_on,
    network::a_half_open_connection_is_found_and_replaced,
    network::a_host_that_accepts_and_says_nothing_is_away,
    network::a_removal_of_many_goes_behind_what_was_written_on_each_connection,
    network::an_answer_that_comes_too_late_is_not_given_to_the_next_question,
    network::an_answer_that_is_cut_at_any_byte_is_an_error_and_never_a_wrong_value,
    network::large_batches_in_both_directions_do_not_block_each_other,
    network::what_is_asked_of_a_key_is_done_in_order_whichever_connection_is_slow,
    notes::a_restart_that_brings_a_placeholder_back_brings_no_note_back,
    removals::a_removal_begins_anew_where_nobody_says_whose_cursors_these_are,
    removals::a_removal_goes_on_over_another_connection_where_it_has_come_to,
    removals::after_a_failover_a_removal_begins_anew_at_the_new_primary,
    scripted::a_lease_of_a_server_that_answers_oddly_is_nobodys,
    scripted::a_primary_that_dies_while_it_is_asked_for_its_role_holds_nobody_up,
    scripted::a_server_that_never_ends_an_answer_is_left,
    scripted::a_server_whose_clock_tells_no_time_is_no_server,
    scripted::messages_of_no_channel_of_ours_and_odd_ones_are_not_heard,
    scripted::sentinels_that_are_away_hang_or_know_nothing_hide_nobody,
    scripted::what_comes_before_around_and_instead_of_an_answer_is_never_a_wrong_value,
    strangers::a_server_that_lies_is_an_error_whatever_it_says,
    strangers::a_wrong_password_is_told_and_not_repeated,
}
