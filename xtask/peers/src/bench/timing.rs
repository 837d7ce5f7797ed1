//! What a run of operations cost, in a way that a busy machine blurs least.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What this thread has had of a processor so far.
pub(super) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What three of four rounds took at least: disturbances only ever add time.
pub(super) fn lower_quartile(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 4).copied().unwrap_or_default()
}

/// What a future is that has it when it is first polled, as a hit has; `None` if it would wait. In the place of its caller and with
/// nothing behind it, for all caches alike, as `.await` is: who waits in earnest lends a place for the answer, which every other answer
/// is then written to and read from as well.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call that only hands on an answer is not what is measured")]
pub(super) fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Runs a future that is ready at once nearly always; what waiting costs is paid only where there is something to wait
/// for. In the place of its caller, for all caches alike, as `.await` is.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call that only hands on an answer is not what is measured")]
pub(super) fn finish<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => wait(future),
    }
}

/// Apart, so that what waits does not stand in the way of what is there.
#[cold]
#[inline(never)]
fn wait<F: Future>(future: Pin<&mut F>) -> F::Output {
    pollster::block_on(future)
}
