//! Sessions: how long they live, who can end them, what stands in the store of them, and what a login makes of one.

mod fleet;
mod login;

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock, Time, Wall};
use cache_http::session::{Session, SessionId, Sessions, builder};
use cache_testkit::clock::ManualClock;
use strata::codec::{Keyring, SealKey};
use strata::{Builder, Memory};

/// The key of this number.
fn key(number: u8) -> SealKey {
    SealKey::new(&mut [number; 32])
}

/// A builder whose memory lives by this clock.
fn by(clock: &ManualClock, keys: Keyring) -> Builder<String, Session<String>> {
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    builder("sessions", keys).memory(Memory::new().with_max_entries(1_000).with_clock(clock))
}

fn sessions(clock: &ManualClock) -> Sessions<String> {
    let own = clock.clone();
    let wall = move || {
        let since = u64::try_from(own.now().since(Time::ZERO).as_millis()).expect("a short test");
        Wall::from_unix_millis(1_800_000_000_000 + since)
    };
    let cache = by(clock, Keyring::new(1, key(1))).build().expect("legal");
    Sessions::new(cache)
        .with_idle(Duration::from_mins(10))
        .with_most(Duration::from_hours(1))
        .with_wall_clock(wall)
}

#[tokio::test]
async fn a_session_is_begun_read_changed_and_ended() {
    let sessions = sessions(&ManualClock::new());
    let id = sessions.create(Some("ada"), "one".to_owned()).await.expect("begun");
    let found = sessions.read(&id).await.expect("no error").expect("there");
    assert_eq!((found.user(), found.data().as_str()), (Some("ada"), "one"));
    assert!(sessions.update(&id, "two".to_owned()).await.expect("no error"));
    let again = sessions.read(&id).await.expect("no error").expect("there");
    assert_eq!((again.user(), again.data().as_str(), again.since()), (Some("ada"), "two", found.since()));
    let other: SessionId = "00".repeat(32).parse().expect("an id");
    assert!(sessions.read(&other).await.expect("no error").is_none());
    assert!(!sessions.update(&other, "x".to_owned()).await.expect("no error"));
    assert!(!sessions.refresh(&other).await.expect("no error"));
    assert!(sessions.cycle(&other, None).await.expect("no error").is_none());
    assert!(sessions.revoke(&id).await.expect("no error"));
    assert!(sessions.read(&id).await.expect("no error").is_none());
    assert!(!sessions.revoke(&id).await.expect("no error"));
}

#[tokio::test]
async fn a_session_lives_while_it_is_used_and_never_longer_than_any_may() {
    let clock = ManualClock::new();
    let sessions = sessions(&clock);
    let (used, unused) = (
        sessions.create(None, String::new()).await.expect("begun"),
        sessions.create(None, String::new()).await.expect("begun"),
    );
    let is_there = async |id| sessions.read(id).await.expect("no error").is_some();
    let mut minutes = 0;
    while is_there(&used).await {
        clock.advance(Duration::from_mins(8));
        minutes += 8;
        assert!(minutes < 100, "it has to end");
    }
    assert_eq!(minutes, 64, "after an hour, though it was used all the time");
    assert!(!is_there(&unused).await);

    let late = sessions.create(None, String::new()).await.expect("begun");
    clock.advance(Duration::from_secs(599));
    assert!(sessions.refresh(&late).await.expect("no error"));
    clock.advance(Duration::from_secs(599));
    assert!(is_there(&late).await);
    clock.advance(Duration::from_secs(541));
    assert!(is_there(&late).await);
    clock.advance(Duration::from_mins(10));
    assert!(!is_there(&late).await, "it was not used for ten minutes");
}

#[tokio::test]
async fn changing_what_is_in_a_session_does_not_let_it_live_longer_than_any_may() {
    let clock = ManualClock::new();
    let sessions = sessions(&clock);
    let mut id = sessions.create(Some("ada"), String::new()).await.expect("begun");
    for round in 0..7 {
        clock.advance(Duration::from_mins(9));
        let is_young = round < 6;
        assert_eq!(sessions.update(&id, round.to_string()).await.expect("no error"), is_young, "{round}");
        let cycled = sessions.cycle(&id, None).await.expect("no error");
        assert_eq!(cycled.is_some(), is_young, "{round}");
        id = cycled.unwrap_or(id);
    }
}

#[tokio::test]
async fn all_sessions_of_a_user_end_at_once_and_no_others() {
    let sessions = sessions(&ManualClock::new());
    let begin = async |user| sessions.create(user, String::new()).await.expect("begun");
    let (one, two, other) = (begin(Some("ada")).await, begin(Some("ada")).await, begin(Some("bob")).await);
    let nobody = begin(None).await;
    let logged_in = sessions.cycle(&nobody, Some("ada")).await.expect("no error").expect("there");
    assert!(sessions.update(&two, "changed".to_owned()).await.expect("no error"));
    assert_eq!(sessions.revoke_all("ada").await.expect("no error"), 3);
    for (id, expected) in
        [(&one, false), (&two, false), (&logged_in, false), (&nobody, false), (&other, true)]
    {
        assert_eq!(sessions.read(id).await.expect("no error").is_some(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_on_its_way_brings_a_revoked_session_back() {
    let sessions = sessions(&ManualClock::new());
    for round in 0..600 {
        let id = sessions.create(Some("ada"), String::new()).await.expect("begun");
        let (own, target) = (sessions.clone(), id.clone());
        let write = tokio::spawn(async move {
            match round % 3 {
                0 => own.update(&target, "late".to_owned()).await.map(|_| None),
                1 => own.refresh(&target).await.map(|_| None),
                _ => own.cycle(&target, None).await,
            }
        });
        if round % 2 == 0 {
            sessions.revoke(&id).await.expect("no error");
        } else {
            sessions.revoke_all("ada").await.expect("no error");
        }
        let new = write.await.expect("no panic").expect("no error");
        assert!(sessions.read(&id).await.expect("no error").is_none(), "round {round}");
        if let Some(new) = new {
            // It was cycled before: then it was another session that was not revoked by its id.
            let is_there = sessions.read(&new).await.expect("no error").is_some();
            assert!(!is_there || round % 2 == 0, "round {round}: all of the user");
            sessions.revoke(&new).await.expect("no error");
        }
    }
}
