//! Leases on a server whose clock is set back, or whose place one takes whose clock is behind: the text that is sent, with a time that the
//! test chooses in place of the server's. And on one that comes back empty.

use std::cell::Cell;
use std::time::Duration;

use cache_core::{Lease, Result};
use cache_redis::RedisLease;
use cache_testkit::redis::{Reply, Server};

use crate::servers::{connection, key, succeeds};

const LEASE: &str = include_str!("../../src/script/lease.lua");
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
/// So long since 1970.
const BEGIN: i64 = 1_790_000_000 * SECOND;
const HOLD: i64 = 2 * SECOND;

struct Skewed {
    server: Server,
    script: String,
    now: Cell<i64>,
}

impl Skewed {
    fn new() -> Self {
        let reads = "local now = time[1] * 1000000 + time[2]\n";
        assert!(LEASE.contains(reads), "the script reads its time elsewhere");
        let script = LEASE.replace(reads, "local now = tonumber(ARGV[5])\n");
        Self { server: Server::start(), script, now: Cell::new(BEGIN) }
    }

    fn passes(&self, time: i64) {
        self.now.set(self.now.get() + time);
    }

    /// The number of whoever holds it then, if it is the one who asks.
    fn ask(&self, act: &str, fence: i64) -> Option<i64> {
        let [hold, fence, now] = [HOLD, fence, self.now.get()].map(|number| number.to_string());
        let reply = self.server.call(&["EVAL", &self.script, "1", "l", act, &hold, "60000", &fence, &now]);
        assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
        reply.text().parse().ok()
    }

    fn acquire(&self) -> Option<i64> {
        self.ask("acquire", 0)
    }
}

#[test]
pub(crate) fn a_clock_that_was_set_back_lets_nobody_wait_for_a_dead_holder_longer_than_its_lease() {
    for back in [SECOND / 2, HOLD, HOUR, 10 * 365 * 24 * HOUR] {
        let redis = Skewed::new();
        let fence = redis.acquire().expect("nobody has it");
        redis.passes(-back);
        for _ in 0..4 {
            assert_eq!(redis.acquire(), None, "its holder may be alive");
            redis.passes(HOLD / 4 - 1);
        }
        redis.passes(4);
        let next = redis.acquire().expect("its time is over");
        assert!(next > fence, "{next} after {fence}, {back} us back");
        assert_eq!(
            (redis.ask("renew", fence), redis.ask("release", fence)),
            (None, None),
            "it has passed on"
        );
        assert_eq!(redis.ask("renew", next), Some(next));
    }
}

#[test]
pub(crate) fn a_holder_that_lives_keeps_its_lease_though_the_clock_is_set_back_and_gives_it_back() {
    let redis = Skewed::new();
    let fence = redis.acquire().expect("nobody has it");
    redis.passes(-HOUR);
    for _ in 0..10 {
        assert_eq!((redis.ask("renew", fence), redis.acquire()), (Some(fence), None));
        redis.passes(HOLD / 2);
    }
    assert_eq!(redis.ask("release", fence), Some(fence));
    let next = redis.acquire().expect("it was given back");
    assert!(next > fence, "{next} after {fence}, though the clock is behind");
}

#[test]
pub(crate) fn a_lease_as_it_was_written_before_is_held_until_its_end() {
    let redis = Skewed::new();
    redis.server.call(&["SET", "l", &format!("{BEGIN} {}", BEGIN + HOLD)]);
    assert_eq!(redis.acquire(), None);
    assert_eq!(redis.ask("renew", BEGIN), Some(BEGIN));
    redis.passes(HOLD + 1);
    assert!(redis.acquire().is_some_and(|fence| fence > BEGIN));
}

#[tokio::test]
pub(crate) async fn a_lease_of_a_server_that_comes_back_empty_is_anothers_and_its_number_is_larger()
-> Result<()> {
    let mut server = Server::start();
    let lease = RedisLease::new(connection(&server));
    let hold = Duration::from_mins(1);
    let mut last = lease.acquire(&key("k"), hold).await?.expect("nobody has it");
    for _ in 0..3 {
        server.restart();
        let next = succeeds(async || lease.acquire(&key("k"), hold).await).await.expect("it was forgotten");
        assert!(next.fence() > last.fence(), "{} after {}", next.fence(), last.fence());
        assert!(!lease.renew(&last, hold).await? && !lease.release(last).await?, "it is somebody else's");
        assert!(lease.acquire(&key("k"), hold).await?.is_none() && lease.renew(&next, hold).await?);
        last = next;
    }
    Ok(())
}
