//! A link: one connection, and the task that watches over it, probes it and connects again.
//!
//! ```text
//!             ┌────────── lost ◄─────────────┐
//!             ▼                              │
//!        connecting ── made ──► up ── probe ─┘ no sign of life
//!        ▲    │                               calls wait while it is connecting for the first time or again,
//!  pause │    └── failed ──► down             within their deadlines, and fail at once while it is down
//!        └────────────────────┘
//! ```

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::dial::Dialer;
use super::live::Live;
use super::node::Target;
use crate::backoff::Backoff;
use crate::clock::ServerClock;
use crate::fault::Fault;
use crate::random;

#[derive(Debug)]
pub(crate) struct Link {
    state: watch::Receiver<State>,
    supervisor: JoinHandle<()>,
}

#[derive(Debug)]
enum State {
    Connecting,
    Up(Arc<Live>),
    Down(String),
}

impl Link {
    /// Begins to connect, on the runtime of the caller.
    pub(crate) fn begin(dialer: Arc<Dialer>, target: Target, clock: Arc<ServerClock>) -> Self {
        let (tell, state) = watch::channel(State::Connecting);
        let supervisor = tokio::spawn(supervise(dialer, target, clock, tell));
        Self { state, supervisor }
    }

    /// The connection, as soon as there is one, or why there is none.
    pub(crate) async fn live(&self) -> Result<Arc<Live>, Fault> {
        if let Some(known) = self.state.borrow().known() {
            return known;
        }
        let mut state = self.state.clone();
        let waited = state.wait_for(|state| !matches!(state, State::Connecting)).await;
        let known = waited.ok().and_then(|state| state.known());
        known.unwrap_or_else(|| Err(Fault::Down("its runtime has ended".into())))
    }

    /// The connection, if there is one at this moment.
    pub(crate) fn live_now(&self) -> Option<Arc<Live>> {
        if let State::Up(live) = &*self.state.borrow() { Some(Arc::clone(live)) } else { None }
    }

    /// The connection, if it still is this one.
    pub(crate) fn live_if(&self, id: u64) -> Option<Arc<Live>> {
        let State::Up(live) = &*self.state.borrow() else { return None };
        (live.id() == id).then(|| Arc::clone(live))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

impl State {
    fn known(&self) -> Option<Result<Arc<Live>, Fault>> {
        match self {
            Self::Connecting => None,
            Self::Up(live) => Some(Ok(Arc::clone(live))),
            Self::Down(why) => Some(Err(Fault::Down(why.clone()))),
        }
    }
}

async fn supervise(
    dialer: Arc<Dialer>,
    target: Target,
    clock: Arc<ServerClock>,
    state: watch::Sender<State>,
) {
    let config = dialer.config();
    let mut backoff = Backoff::new(config.first_backoff, config.max_backoff);
    loop {
        let why = match target.connect(&dialer, &clock).await {
            Ok(live) => {
                let live = Arc::new(live);
                state.send_replace(State::Up(Arc::clone(&live)));
                let since = clock.own();
                watch_over(&live, &target, &dialer, &clock).await;
                dialer.has_lost();
                if clock.own().since(since) >= config.max_backoff {
                    backoff.reset();
                    state.send_replace(State::Connecting);
                    continue;
                }
                // One that dies young would be made again in a tight loop.
                "the connection was lost as soon as it was made".to_owned()
            }
            Err(fault) => fault.to_string(),
        };
        state.send_replace(State::Down(why));
        let pause = backoff.next(random::number());
        let _ = timeout(pause, std::future::pending::<()>()).await;
    }
}

/// Returns when the connection has to be replaced.
async fn watch_over(live: &Live, target: &Target, dialer: &Dialer, clock: &ServerClock) {
    let config = dialer.config();
    loop {
        live.is_to_be_seen_to(config.heartbeat).await;
        if live.is_lost() || live.probe(clock, config.connect_timeout).await.is_err() {
            return;
        }
        if target.has_moved_from(live.address()).await {
            return;
        }
    }
}
