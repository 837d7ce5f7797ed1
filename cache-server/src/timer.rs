//! The timer of one connection, for the time that the header of each request may take.
//!
//! Each request sets another deadline, and nearly none is reached. So there is one alarm for all of them, which is moved when it
//! rings too early, rather than set and taken back for every request.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::time::{Sleep as Alarm, sleep_until};

/// Sleeps that share an alarm: only the one that was made last is sure to be woken.
#[derive(Clone, Default)]
pub(crate) struct ConnectionTimer(Arc<Mutex<Option<Pin<Box<Alarm>>>>>);

impl fmt::Debug for ConnectionTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionTimer").finish_non_exhaustive()
    }
}

impl Timer for ConnectionTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Deadline { at: deadline, timer: self.clone() })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

struct Deadline {
    at: Instant,
    timer: ConnectionTimer,
}

impl Sleep for Deadline {}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at.into();
        let mut alarm = self.timer.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if alarm.deadline() > at {
            alarm.as_mut().reset(at);
        }
        while alarm.as_mut().poll(cx).is_ready() {
            if alarm.deadline() >= at {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::{advance, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn each_deadline_is_its_own_whatever_the_alarm_was_set_to() {
        let timer = ConnectionTimer::default();
        let mut first = timer.sleep(SECOND);
        assert!((&mut first).now_or_never().is_none());
        drop(first);
        // The alarm rings after a second, when this one has another to go.
        let (begun, later) = (timer.now(), timer.sleep(2 * SECOND));
        later.await;
        assert_eq!(timer.now() - begun, 2 * SECOND);
        // And one that comes before what the alarm was set to is not late.
        let mut long = timer.sleep(60 * SECOND);
        assert!((&mut long).now_or_never().is_none());
        let begun = timer.now();
        timer.sleep(SECOND).await;
        assert_eq!(timer.now() - begun, SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_over_is_ready_at_once() {
        let timer = ConnectionTimer::default();
        let mut sleep = timer.sleep(SECOND);
        assert!((&mut sleep).now_or_never().is_none());
        advance(2 * SECOND).await;
        assert!(timeout(Duration::ZERO, sleep).await.is_ok());
        assert!(timer.sleep(Duration::ZERO).now_or_never().is_some());
    }
}
