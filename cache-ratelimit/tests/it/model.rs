//! The table in every schedule of two threads: its own source, over the model's locks and atomics in place of the real
//! ones.

mod sync {
    pub(super) use loom::sync::MutexGuard;
    pub(super) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

    #[derive(Debug)]
    pub(super) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(super) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(super) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no panic in the model")
        }
    }
}

#[path = "../../src/gcra.rs"]
mod gcra;
#[path = "../../src/index.rs"]
mod index;
#[path = "../../src/log.rs"]
mod log;
#[path = "../../src/meter.rs"]
mod meter;
#[path = "../../src/notice.rs"]
mod notice;
#[path = "../../src/rings.rs"]
mod rings;
#[path = "../../src/room.rs"]
mod room;
#[path = "../../src/shard.rs"]
mod shard;
#[path = "../../src/table.rs"]
mod table;
#[path = "../../src/window.rs"]
mod window;

use gcra::Gcra;
use index::Fingerprint;
use log::Log;
use loom::sync::Arc;
use loom::thread;
use meter::{Ask, Kind};
use table::{AnyTable, Table};
use window::Window;

const LIMIT: u64 = 2;
const NOW: u64 = 5_000_000;

type Shared = Arc<Box<dyn AnyTable>>;

fn shared(table: impl AnyTable + 'static) -> Shared {
    Arc::new(Box::new(table))
}

fn table(max_keys: usize, shards: usize) -> Shared {
    shared(Table::new(Window::<u32>::new(3_000_000, 3, LIMIT), max_keys, shards))
}

/// The same of other meters.
fn logs(max_keys: usize, shards: usize) -> Shared {
    shared(Table::new(Log::new(3_000_000, 2), max_keys, shards))
}

fn rates(max_keys: usize, shards: usize) -> Shared {
    shared(Table::new(Gcra::new(3_000_000, LIMIT), max_keys, shards))
}

/// The key with this number, in the shard with this number.
fn key(number: u64, shard: u64) -> Fingerprint {
    Fingerprint::new(shard << 48 | number)
}

fn takes(table: &Shared, who: Fingerprint, times: u64) -> u64 {
    let ask = Ask { cost: 1, limit: LIMIT, now: NOW, charges: true };
    (0..times).map(|_| u64::from(table.decide(who, ask).kind == Kind::Room)).sum()
}

#[test]
fn two_threads_get_exactly_the_limit_of_a_key_that_neither_has_seen() {
    for table in [table, logs, rates] {
        loom::model(move || {
            let table = table(4, 1);
            let other = Arc::clone(&table);
            let thread = thread::spawn(move || takes(&other, key(1, 0), 2));
            let admitted = takes(&table, key(1, 0), 2);
            assert_eq!(admitted + thread.join().expect("no panic"), LIMIT);
            assert_eq!(table.keys(), 1);
        });
    }
}

#[test]
fn two_newcomers_for_the_last_place_take_it_in_turn_and_never_one_too_many() {
    loom::model(|| {
        let table = table(1, 2);
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || {
            let admitted = takes(&other, key(1, 0), 1);
            assert!(other.keys() <= 1);
            admitted
        });
        let admitted = takes(&table, key(2, 1), 1);
        assert!(table.keys() <= 1);
        // Each finds room, or that of the other, unless that one is just about to take it.
        assert!(admitted + thread.join().expect("no panic") >= 1);
        assert_eq!(table.keys(), 1);
        table.reset(key(1, 0));
        table.reset(key(2, 1));
        assert_eq!(table.keys(), 0, "no room is lost");
    });
}

#[test]
fn a_newcomer_beside_a_reset_gets_room_and_none_is_lost() {
    loom::model(|| {
        let table = table(1, 2);
        assert_eq!(takes(&table, key(1, 0), 3), 2, "which keeps it from being given up");
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || other.reset(key(1, 0)));
        let admitted = takes(&table, key(2, 1), 1);
        thread.join().expect("no panic");
        assert_eq!(usize::try_from(admitted).expect("small"), table.keys());
        table.reset(key(2, 1));
        assert_eq!(table.keys(), 0);
    });
}

#[test]
fn what_is_given_back_beside_another_call_is_room_for_one_more() {
    loom::model(|| {
        let table = table(4, 1);
        let ask = Ask { cost: 1, limit: LIMIT, now: NOW, charges: true };
        let mark = table.decide(key(1, 0), ask).mark;
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || other.give_back(key(1, 0), 1, mark));
        let admitted = takes(&table, key(1, 0), 2);
        thread.join().expect("no panic");
        assert!(admitted >= 1);
        assert_eq!(admitted + takes(&table, key(1, 0), 2), 2, "of two units one was given back");
        let counts = table.counts();
        assert_eq!((counts.admitted, counts.admitted + counts.denied), (3, 5));
    });
}

#[test]
fn whoever_is_reset_beside_a_denial_is_admitted_by_whoever_has_reset_it() {
    loom::model(|| {
        let table = table(4, 1);
        assert_eq!(takes(&table, key(1, 0), 3), 2, "which puts up a notice");
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || {
            other.reset(key(1, 0));
            takes(&other, key(1, 0), 1)
        });
        let admitted = takes(&table, key(1, 0), 1);
        assert_eq!(thread.join().expect("no panic"), 1, "beside {admitted}");
        assert_eq!(admitted + 1 + takes(&table, key(1, 0), 2), LIMIT, "no unit is lost");
    });
}

#[test]
fn what_is_given_back_by_one_of_two_who_were_denied_is_taken_by_one() {
    loom::model(|| {
        let table = table(4, 1);
        let mark = table.decide(key(1, 0), Ask { cost: 1, limit: LIMIT, now: NOW, charges: true }).mark;
        assert_eq!(takes(&table, key(1, 0), 2), 1);
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || {
            other.give_back(key(1, 0), 1, mark);
            takes(&other, key(1, 0), 1)
        });
        let admitted = takes(&table, key(1, 0), 1);
        assert_eq!(admitted + thread.join().expect("no panic"), 1);
    });
}

#[test]
fn half_of_one_notice_and_half_of_another_deny_nobody() {
    loom::model(|| {
        let table = table(4, 1);
        let ask = |cost| Ask { cost, limit: LIMIT, now: NOW, charges: true };
        assert_eq!((takes(&table, key(1, 0), 1), takes(&table, key(2, 0), 2)), (1, 2));
        // The notice says that the first may not leave nothing; the one that comes says that the second may not leave one.
        assert_eq!(table.decide(key(1, 0), ask(2)).kind, Kind::Full);
        let other = Arc::clone(&table);
        let thread = thread::spawn(move || takes(&other, key(2, 0), 1));
        assert_eq!(table.decide(key(1, 0), ask(1)).kind, Kind::Room);
        assert_eq!(thread.join().expect("no panic"), 0);
        assert_eq!(table.counts().denied, 2);
    });
}

/// A writer who has not come to his end is not believed.
#[test]
fn a_notice_that_is_being_written_denies_nobody() {
    loom::model(|| {
        let notice = Arc::new(notice::Notice::new());
        let ask = |cost| Ask { cost, limit: LIMIT, now: NOW, charges: true };
        notice.tell(key(1, 0), ask(2), meter::Reply::full(1));
        let other = Arc::clone(&notice);
        let thread = thread::spawn(move || other.tell(key(2, 0), ask(1), meter::Reply::full(1)));
        // Who of the one and how much of the other would be a denial that nobody has told.
        assert_eq!(notice.denial(key(1, 0), ask(1)), None);
        thread.join().expect("no panic");
    });
}
