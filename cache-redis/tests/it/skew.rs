//! The scripts of the counters on a server whose clock steps back: the text that is sent, with a time that the test chooses in place of
//! the server's.

use std::cell::Cell;
use std::num::NonZeroU32;

use cache_testkit::load::{Shape, Workload};
use cache_testkit::redis::{Reply, Server};

const WINDOW: &str = include_str!("../../src/script/window.lua");
const CHARGE: &str = include_str!("../../src/script/charge.lua");
const REFUND: &str = include_str!("../../src/script/refund.lua");

/// A quota of ten in ten seconds, in buckets of a second, exact or as a rate of one a second: field, window and bucket.
const SHAPES: [[&str; 3]; 3] = [["w", "10000000", "1000000"], ["e", "10000000", "1"], ["s", "1000000", "0"]];

const SECOND: i64 = 1_000_000;
/// So long since 1970.
const BEGIN: i64 = 1_790_000_000 * SECOND;

struct Skewed {
    server: Server,
    charge: String,
    refund: String,
    now: Cell<i64>,
}

impl Skewed {
    fn new() -> Self {
        let reads = "local now = time[1] * 1000000 + time[2]\n";
        assert!(WINDOW.contains(reads), "the script reads its time elsewhere");
        // The last argument, which is then no demand.
        let given = "local now = tonumber(table.remove(ARGV))\n";
        let [charge, refund] = [CHARGE, REFUND].map(|script| WINDOW.replace(reads, given) + script);
        Self { server: Server::start(), charge, refund, now: Cell::new(BEGIN) }
    }

    fn run(&self, script: &str, shape: &[&str; 3], cost: u64, mark: Option<&str>) -> Reply {
        let [field, window, bucket] = shape;
        let (cost, now) = (cost.to_string(), self.now.get().to_string());
        let demand = ["EVAL", script, "1", "k", "1", field, &cost, "10", window, bucket, "0"];
        let command: Vec<&str> = demand.into_iter().chain(mark).chain([now.as_str()]).collect();
        self.server.call(&command)
    }

    /// What is left, or below zero how many microseconds to wait; and where it was charged.
    fn charge_marked(&self, shape: &[&str; 3], cost: u64) -> (i64, String) {
        let reply = self.run(&self.charge, shape, cost, None);
        let (left, mark) = reply.text().split_once(' ').unwrap_or((reply.text(), ""));
        (left.parse().unwrap_or_else(|_| panic!("{reply:?}")), mark.to_owned())
    }

    fn charge(&self, shape: &[&str; 3], cost: u64) -> i64 {
        self.charge_marked(shape, cost).0
    }

    fn refund(&self, shape: &[&str; 3], cost: u64, mark: &str) {
        assert_eq!(self.run(&self.refund, shape, cost, Some(mark)).integer(), Some(0));
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
fn what_was_charged_on_a_clock_that_stepped_back_is_given_back() {
    let redis = Skewed::new();
    for shape in &SHAPES {
        redis.now.set(BEGIN);
        assert_eq!(redis.charge(shape, 5), 5, "{shape:?}");
        redis.now.set(BEGIN - SECOND);
        let before = redis.charge(shape, 0);
        let (left, mark) = redis.charge_marked(shape, 4);
        assert_eq!(left, before - 4, "{shape:?}");
        redis.refund(shape, 4, &mark);
        assert_eq!(redis.charge(shape, 0), before, "{shape:?}");
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
fn what_is_denied_or_only_asks_writes_nothing() {
    let redis = Skewed::new();
    for shape in &SHAPES {
        redis.server.call(&["DEL", "k"]);
        assert_eq!((redis.charge(shape, 0), redis.server.call(&["EXISTS", "k"]).integer()), (10, Some(0)));
        redis.admitted(shape, 10);
        let before = redis.server.call(&["HGETALL", "k"]);
        assert!(redis.charge(shape, 1) < 0 && redis.charge(shape, 0) == 0, "{shape:?}");
        assert_eq!(redis.server.call(&["HGETALL", "k"]), before, "{shape:?}");
    }
}

/// Time that passes is what the clock moves forward. Windows of ten thousand seconds, which keys outlive however slow the machine is.
#[test]
fn what_is_given_back_late_makes_room_for_itself_alone_whatever_the_clock_does() {
    const WINDOW: i64 = 10_000 * SECOND;
    let shapes = [["w", "10000000000", "1000000000"], ["e", "10000000000", "1"], ["s", "1000000000", "0"]];
    let redis = Skewed::new();
    for (shape, seed) in shapes.iter().flat_map(|shape| (0..4_u64).map(move |seed| (shape, seed))) {
        let goes_back = seed % 2 == 1;
        redis.now.set(BEGIN);
        redis.server.call(&["DEL", "k"]);
        let (mut passed, mut live, mut refunds, mut denials) = (0, Vec::new(), 0, 0);
        let most = NonZeroU32::MIN.saturating_add(999_999);
        for random in Workload::new(Shape::Uniform, most).with_seed(seed).ids().take(400).map(i64::from) {
            // Most steps are short; some leave all behind, some go back.
            let step = match random % 40 {
                0 if goes_back => -(random % 30_000) * SECOND,
                1 => (random % 30_000) * SECOND,
                2..20 => 0,
                _ => random * 1_500,
            };
            redis.now.set(redis.now.get() + step);
            passed += step.max(0);
            let chosen = usize::try_from(random / 40).expect("not below zero");
            if chosen % 3 == 0 && !live.is_empty() {
                let (_, cost, mark): (i64, u64, String) =
                    live.remove(live.len() - 1 - chosen / 3 % live.len().min(6));
                redis.refund(shape, cost, &mark);
                refunds += 1;
                continue;
            }
            let cost = 1 + random.unsigned_abs() / 120 % 4;
            let (left, mark) = redis.charge_marked(shape, cost);
            let counts = |since: i64| -> u64 { live.iter().filter(|it| it.0 >= since).map(|it| it.1).sum() };
            if left < 0 {
                denials += 1;
                let fits = counts(passed - WINDOW + 1) + cost <= 10;
                assert!(goes_back || shape[0] != "e" || !fits, "{cost} would fit, {shape:?}, seed {seed}");
                continue;
            }
            live.push((passed, cost, mark));
            let counts = |since: i64| -> u64 { live.iter().filter(|it| it.0 >= since).map(|it| it.1).sum() };
            for (since, ..) in &live {
                let allowed = match shape[2] {
                    "0" => 10 + (passed - since) / (1000 * SECOND),
                    _ if passed - since < WINDOW => 10,
                    _ => continue,
                };
                assert!(
                    counts(*since) <= allowed.unsigned_abs(),
                    "since {since} at {passed}, {shape:?}, seed {seed}"
                );
            }
        }
        assert!(
            refunds > 50 && denials > 20,
            "{refunds} given back and {denials} denied, {shape:?}, seed {seed}"
        );
    }
}
