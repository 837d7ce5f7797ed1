//! Deadlines: calls that have the same limit are looked after by one task, because a timer for each took a caller who is alone longer
//! than all else that stands between him and the driver.
//!
//! ```text
//! call ── waits ── its due time and its waker in a list ── answered: out of it
//! task ── every eighth of the limit, at most 20 ms ── who is due is woken, and told that it is late
//! ```
//!
//! So a call ends late by that pause at most. The task begins with a call and ends by itself when nobody has called for a while;
//! if its runtime ends before, those who wait are late at once.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// After so many pauses in which nobody has waited, the task ends.
const IDLE: u32 = 100;

#[derive(Debug)]
pub(super) struct Deadlines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: Duration,
    calls: Mutex<Calls>,
}

/// Who waits. At most as many as may be on their way.
#[derive(Debug, Default)]
struct Calls {
    places: Vec<Option<Call>>,
    free: Vec<usize>,
    is_watched: bool,
}

#[derive(Debug)]
struct Call {
    due: Instant,
    /// Nothing once it is late.
    waker: Option<Waker>,
}

impl Deadlines {
    pub(super) fn new(limit: Duration) -> Self {
        Self(Arc::new(Shared { limit, calls: Mutex::default() }))
    }

    /// Waits for an answer, at most for the limit; `None` if there is none by then.
    pub(super) async fn keep<F: Future>(&self, answer: F) -> Option<F::Output> {
        let mut answer = pin!(answer);
        let mut waiting = Waiting { shared: &self.0, place: None };
        poll_fn(move |context| match answer.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if waiting.is_late(context.waker()) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

/// A call that waits, until it is dropped.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    place: Option<usize>,
}

impl Waiting<'_> {
    fn is_late(&mut self, waker: &Waker) -> bool {
        let mut calls = self.shared.calls.lock();
        if let Some(place) = self.place {
            let Some(Call { waker: Some(known), .. }) = &mut calls.places[place] else { return true };
            known.clone_from(waker);
            return false;
        }
        let due = Instant::now() + self.shared.limit;
        self.place = Some(calls.add(Call { due, waker: Some(waker.clone()) }));
        if !calls.is_watched {
            let pause = (self.shared.limit / 8).min(LONGEST_PAUSE);
            tokio::spawn(Watch(Arc::downgrade(self.shared)).over(pause));
            calls.is_watched = true;
        }
        false
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let mut calls = self.shared.calls.lock();
            let call = calls.places[place].take();
            calls.free.push(place);
            // A waker may be the last that holds its task, whose end is nothing to be held up by.
            drop(calls);
            drop(call);
        }
    }
}

impl Calls {
    fn add(&mut self, call: Call) -> usize {
        if let Some(place) = self.free.pop() {
            self.places[place] = Some(call);
            return place;
        }
        self.places.push(Some(call));
        self.places.len() - 1
    }

    /// Takes the wakers of those who are due; of everybody if no time is given.
    fn late(&mut self, now: Option<Instant>) -> Vec<Waker> {
        let is_due = |call: &&mut Call| now.is_none_or(|now| call.due <= now);
        let due = self.places.iter_mut().flatten().filter(is_due);
        due.filter_map(|call| call.waker.take()).collect()
    }
}

/// Whoever looks after the calls.
struct Watch(Weak<Shared>);

impl Watch {
    async fn over(mut self, pause: Duration) {
        let mut idle = 0;
        while idle < IDLE {
            let _ = timeout(pause, pending::<()>()).await;
            let Some(shared) = self.0.upgrade() else { return };
            let mut calls = shared.calls.lock();
            idle = if calls.free.len() == calls.places.len() { idle + 1 } else { 0 };
            if idle == IDLE {
                *calls = Calls::default();
                // Whoever comes from now on has another one.
                self.0 = Weak::new();
                return;
            }
            let late = calls.late(Some(Instant::now()));
            drop(calls);
            late.into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(shared) = self.0.upgrade() else { return };
        let mut calls = shared.calls.lock();
        calls.is_watched = false;
        let late = calls.late(None);
        drop(calls);
        late.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(800);

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_not_answered_ends_and_others_do_not_notice() {
        let deadlines = Deadlines::new(LIMIT);
        let begun = Instant::now();
        let (late, later, answered) = tokio::join!(
            deadlines.keep(pending::<()>()),
            async {
                let _ = timeout(LIMIT / 2, pending::<()>()).await;
                (deadlines.keep(pending::<()>()).await, begun.elapsed())
            },
            deadlines.keep(timeout(LIMIT / 4 * 3, pending::<()>())),
        );
        assert_eq!((late, later.0), (None, None));
        assert!(answered.is_some_and(|answer| answer.is_err()), "its answer came in time");
        let most = LIMIT + LIMIT / 2 + 2 * LONGEST_PAUSE;
        assert!((LIMIT + LIMIT / 2..=most).contains(&later.1), "{:?}", later.1);
        assert!(deadlines.0.calls.lock().places.iter().all(Option::is_none), "nobody is left");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_calls_after_a_long_time_is_looked_after_again() {
        let deadlines = Deadlines::new(LIMIT);
        for _ in 0..3 {
            assert_eq!(deadlines.keep(pending::<()>()).await, None);
            let _ = timeout(LONGEST_PAUSE * (IDLE + 10), pending::<()>()).await;
            assert!(!deadlines.0.calls.lock().is_watched, "it ends when nobody calls");
        }
    }

    #[test]
    fn whoever_waits_when_the_runtime_of_the_task_ends_is_late_at_once() {
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let deadlines = Arc::new(Deadlines::new(Duration::from_hours(1)));
        let first = runtime();
        let mut waiting = Box::pin(deadlines.keep(pending::<()>()));
        first.block_on(poll_fn(|context| {
            assert!(waiting.as_mut().poll(context).is_pending());
            Poll::Ready(())
        }));
        drop(first);
        assert_eq!(runtime().block_on(waiting), None);
        let again = runtime();
        assert_eq!(again.block_on(deadlines.keep(async { 7 })), Some(7));
    }
}
