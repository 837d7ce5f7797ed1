//! The scripts of the counters on a server whose clock steps back: the text that is sent, with a time that the test chooses in place of
//! the server's.

use std::cell::Cell;

use cache_testkit::redis::Server;

const WINDOW: &str = include_str!("../../src/script/window.lua");
const CHARGE: &str = include_str!("../../src/script/charge.lua");

/// A quota of ten in ten seconds, in buckets of a second, exact or as a rate of one a second: field, window and bucket.
const SHAPES: [[&str; 3]; 3] = [["w", "10000000", "1000000"], ["e", "10000000", "1"], ["s", "1000000", "0"]];

const SECOND: i64 = 1_000_000;
/// So long since 1970.
const BEGIN: i64 = 1_790_000_000 * SECOND;

struct Skewed {
    server: Server,
    script: String,
    now: Cell<i64>,
}

impl Skewed {
    fn new() -> Self {
        let reads = "local now = time[1] * 1000000 + time[2]\n";
        assert!(WINDOW.contains(reads), "the script reads its time elsewhere");
        // The last argument, which is then no demand.
        let given = "local now = tonumber(table.remove(ARGV))\n";
        let script = WINDOW.replace(reads, given) + CHARGE;
        Self { server: Server::start(), script, now: Cell::new(BEGIN) }
    }

    /// What is left, or below zero how many microseconds to wait.
    fn charge(&self, shape: &[&str; 3], cost: u64) -> i64 {
        let [field, window, bucket] = shape;
        let (cost, now) = (cost.to_string(), self.now.get().to_string());
        let command = ["EVAL", &self.script, "1", "k", "1", field, &cost, "10", window, bucket, &now];
        let reply = self.server.call(&command);
        reply.text().parse().unwrap_or_else(|_| panic!("{reply:?}"))
    }

    fn admitted(&self, shape: &[&str; 3], times: u32) -> u32 {
        (0..times).map(|_| u32::from(self.charge(shape, 1) >= 0)).sum()
    }
}

#[test]
fn a_clock_that_steps_back_admits_nothing_more_and_locks_nobody_out_for_longer_than_a_window() {
    let redis = Skewed::new();
    for (number, shape) in SHAPES.iter().enumerate() {
        let begin = BEGIN + i64::try_from(number).expect("small") * 100 * SECOND;
        redis.now.set(begin);
        assert_eq!(redis.admitted(shape, 6), 6, "{shape:?}");
        // What drains needs a second more for each second that the clock has gone back.
        let is_rate = u32::from(shape[2] == "0");
        for back in [1, 5, 3600] {
            redis.now.set(begin - back * SECOND);
            let left = if back == 1 { 4 - is_rate } else { 0 };
            assert_eq!(redis.admitted(shape, 20), left, "{shape:?}, {back} s back");
        }
        redis.now.set(begin);
        assert_eq!(
            redis.admitted(shape, 20),
            is_rate,
            "{shape:?}: it has caught up, and no more than ten were admitted"
        );
        // A window, and the bucket in which they were charged.
        redis.now.set(begin + 11 * SECOND);
        assert_eq!(redis.admitted(shape, 20), 10, "{shape:?}: a window after that all have left");
    }
}

#[test]
fn a_jump_of_ten_years_empties_every_window_and_keys_end_all_the_same() {
    let redis = Skewed::new();
    for shape in &SHAPES {
        redis.now.set(BEGIN);
        assert_eq!(redis.admitted(shape, 20), 10, "{shape:?}");
        redis.now.set(BEGIN + 10 * 366 * 86_400 * SECOND);
        assert_eq!(redis.admitted(shape, 20), 10, "{shape:?}");
        let life = redis.server.call(&["PTTL", "k"]).integer().expect("a number");
        assert!(0 < life && life <= 11_000, "{life} ms");
    }
}

#[test]
fn what_is_denied_writes_nothing() {
    let redis = Skewed::new();
    for shape in &SHAPES {
        redis.admitted(shape, 10);
        let before = redis.server.call(&["HGETALL", "k"]);
        assert!(redis.charge(shape, 1) < 0 && redis.charge(shape, 0) == 0, "{shape:?}");
        assert_eq!(redis.server.call(&["HGETALL", "k"]), before, "{shape:?}");
    }
}
