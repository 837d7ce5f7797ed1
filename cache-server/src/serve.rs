//! Serving: connections, how many there may be, how long they may dawdle, and how they end.
//!
//! ```text
//! accept ─► too many? refuse, count        ─► a task per connection, all owned here
//!    │ shutdown
//!    ▼
//! drain: idle connections close, requests and jobs finish; whoever comes now gets one answer, /readyz says 503
//!    │ all finished, or the drain timeout is over
//!    ▼
//! end: what still runs is cut
//! ```

use std::future::{pending, poll_fn};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use cache_core::Time;
use futures_util::FutureExt;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::addresses::{Addresses, Place};
use crate::app::App;
use crate::config::Settings;
use crate::insight::{Health, Status, Traffic};
use crate::requests::Requests;
use crate::socket::Socket;
use crate::stream::Stream;
use crate::timer::ConnectionTimer;

/// What a client may take, in number and in time.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    max_connections: usize,
    addresses: Option<Addresses>,
    header_timeout: Duration,
    body_timeout: Duration,
    drain_timeout: Duration,
}

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            max_connections: settings.max_connections,
            addresses: settings.clients.max_connections.map(Addresses::new),
            header_timeout: settings.header_timeout,
            body_timeout: settings.body_timeout,
            drain_timeout: settings.drain_timeout,
        }
    }
}

/// Timings that nobody scrapes pile up until they are folded.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// How long to wait for a file handle when the system has none, unless a connection ends sooner.
const NO_HANDLES_PAUSE: Duration = Duration::from_millis(100);

/// While connections cannot be accepted, it is said no more often than this.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// A request's header must fit.
const MAX_BUFFER_BYTES: usize = 64 << 10;

const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\
    content-length: 114\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
    \"detail\":\"too many connections; try again later\"}";

/// Serves until `shutdown` is ready and what runs then has ended, or its time is over.
pub(crate) async fn serve(
    ports: Vec<(TcpListener, Router)>,
    app: Arc<App>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let drain_timeout = limits.drain_timeout;
    let of = |(listener, router)| (listener, Requests::new(router, Arc::clone(&app)));
    let ports = ports.into_iter().map(of).collect();
    let closing = watch::Sender::new(false);
    let mut door = Door { ports, app, limits, closing, complained: None, health: None };
    let mut connections = JoinSet::new();
    door.accept_until(shutdown, &mut connections).await;

    door.app.begin_draining();
    door.tell_health();
    door.closing.send_replace(true);
    let jobs = door.app.jobs.running();
    tracing::info!(
        connections = connections.len(),
        jobs,
        "stopping: waiting for requests and jobs to finish"
    );
    let mut latecomers = JoinSet::new();
    let drained = door.drain(&mut connections, &mut latecomers);
    if timeout(drain_timeout, drained).await.is_err() {
        let cut = connections.len() + latecomers.len();
        if cut > 0 {
            tracing::warn!(cut, "the drain timeout is over: connections are cut");
        }
        for what in door.app.jobs.cancel_all(door.app.clock.now()) {
            tracing::warn!(what, "the drain timeout is over: a job is ended where it stands");
        }
    }
    tracing::info!("stopped");
}

struct Door {
    /// Where it listens, and who answers there; the port of administrators last, if there is one.
    ports: Vec<(TcpListener, Requests)>,
    app: Arc<App>,
    limits: Limits,
    /// Tells the connections when to end.
    closing: watch::Sender<bool>,
    /// When it was last said that a connection could not be accepted.
    complained: Option<Time>,
    /// How the server was when it was last said.
    health: Option<Status>,
}

impl Door {
    async fn accept_until(&mut self, shutdown: impl Future<Output = ()>, connections: &mut JoinSet<()>) {
        let mut shutdown = pin!(shutdown);
        let mut upkeep = interval(UPKEEP_EVERY);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                Some(_) = connections.join_next() => {}
                _ = upkeep.tick() => self.upkeep(),
                accepted = self.accept() => self.admit(accepted, connections, true).await,
            }
            self.app.figures.connections.store(connections.len() as u64, Relaxed);
        }
    }

    fn upkeep(&mut self) {
        self.app.figures.upkeep();
        self.app.history.note(&self.app);
        self.tell_health();
    }

    /// Says how the server is, at the start and whenever that changes.
    fn tell_health(&mut self) {
        let Health { status, reasons } = Health::of(&self.app, &Traffic::of(&self.app));
        if self.health.replace(status) != Some(status) {
            tracing::info!(status = status.as_str(), reasons = reasons.join("; "), "health");
        }
    }

    /// Waits for the connections and the jobs to end. Meanwhile whoever comes is served once, so that a probe hears 503 and nobody
    /// is cut off who was already waiting at the door.
    async fn drain(&mut self, connections: &mut JoinSet<()>, latecomers: &mut JoinSet<()>) {
        let app = Arc::clone(&self.app);
        let mut jobs = pin!(app.jobs.idle());
        let mut are_jobs_done = false;
        while !(connections.is_empty() && are_jobs_done) {
            tokio::select! {
                biased;
                Some(_) = connections.join_next() => {}
                () = &mut jobs, if !are_jobs_done => are_jobs_done = true,
                Some(_) = latecomers.join_next() => {}
                accepted = self.accept() => self.admit(accepted, latecomers, false).await,
            }
        }
        while let Some(accepted) = self.accept().now_or_never() {
            self.admit(accepted, latecomers, false).await;
        }
        while latecomers.join_next().await.is_some() {}
    }

    /// Whoever comes next, and who answers him. Administrators come first: no crowd at the other port keeps them waiting.
    async fn accept(&self) -> (io::Result<(TcpStream, SocketAddr)>, usize) {
        let next = |context: &mut Context<'_>| {
            let ports = self.ports.iter().enumerate().rev();
            let mut accepted = ports.map(|(port, (listener, _))| (listener.poll_accept(context), port));
            let ready = accepted.find_map(|(accepted, port)| match accepted {
                Poll::Ready(accepted) => Some((accepted, port)),
                Poll::Pending => None,
            });
            ready.map_or(Poll::Pending, Poll::Ready)
        };
        poll_fn(next).await
    }

    async fn admit(
        &mut self,
        (accepted, port): (io::Result<(TcpStream, SocketAddr)>, usize),
        connections: &mut JoinSet<()>,
        keep_alive: bool,
    ) {
        match accepted {
            Ok((stream, _)) if connections.len() >= self.limits.max_connections => {
                self.app.figures.rejected_connections.fetch_add(1, Relaxed);
                self.refuse(stream);
            }
            Ok((stream, peer)) => {
                match self.limits.addresses.as_ref().map(|addresses| addresses.place(peer.ip())) {
                    Some(None) => {
                        self.app.figures.rejected_of_address.fetch_add(1, Relaxed);
                        self.refuse(stream);
                    }
                    place => {
                        let requests = self.ports[port].1.of(peer);
                        connections.spawn(self.connection(stream, (requests, place.flatten()), keep_alive));
                    }
                }
            }
            Err(error) => {
                self.complain(&error);
                // Most often the process is out of handles: the next try is of use when one is free.
                let _ = timeout(NO_HANDLES_PAUSE, one_ends(connections)).await;
            }
        }
    }

    /// Says why, if the socket takes it at once, and hangs up. Where TLS is spoken there is nobody yet to whom it could be said.
    fn refuse(&self, stream: TcpStream) {
        if let Some(mut stream) = stream.into_std().ok().filter(|_| self.app.tls().is_none()) {
            let _ = stream.write(BUSY);
        }
    }

    fn complain(&mut self, error: &io::Error) {
        let now = self.app.clock.now();
        if self.complained.is_none_or(|complained| now.since(complained) >= COMPLAIN_EVERY) {
            self.complained = Some(now);
            tracing::error!(%error, "a connection could not be accepted");
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        (requests, place): (Requests, Option<Place>),
        keep_alive: bool,
    ) -> impl Future<Output = ()> + use<> {
        let mut builder = http1::Builder::new();
        builder
            .timer(ConnectionTimer::default())
            .header_read_timeout(self.limits.header_timeout)
            .max_buf_size(MAX_BUFFER_BYTES)
            .keep_alive(keep_alive);
        // Answers are written whole, so waiting to fill a packet gains nothing.
        let _ = stream.set_nodelay(true);
        let app = Arc::clone(&self.app);
        let (within, patience) = (self.limits.header_timeout, self.limits.body_timeout);
        let mut closing = self.closing.subscribe();
        async move {
            let _place = place;
            let stream = match app.tls() {
                None => Stream::Plain(stream),
                Some(tls) => {
                    // In a box, as most of what a handshake needs is gone after it, and other connections need none.
                    let sealed = Box::pin(app.figures.handshakes.seal(stream, tls, within));
                    let sealed = tokio::select! {
                        biased;
                        sealed = sealed => sealed,
                        () = told_to_close(&mut closing), if keep_alive => None,
                    };
                    let Some(stream) = sealed else { return };
                    stream
                }
            };
            let socket = TokioIo::new(Socket::new(stream, patience));
            // Whoever watches may go on as a WebSocket.
            let connection = builder.serve_connection(socket, requests).with_upgrades();
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = told_to_close(&mut closing), if keep_alive => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        }
    }
}

/// Waits for a connection to end: for ever if there is none.
async fn one_ends(connections: &mut JoinSet<()>) {
    if connections.join_next().await.is_none() {
        pending::<()>().await;
    }
}

async fn told_to_close(closing: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is as good a reason.
    let _ = closing.wait_for(|closing| *closing).await;
}

#[cfg(test)]
mod tests {
    use cache_core::SystemClock;

    use super::*;

    async fn door() -> Door {
        let settings = Settings::from_toml("").expect("defaults");
        let limits = Limits::new(&settings);
        let app = Arc::new(App::new(settings, Arc::new(SystemClock::new())).expect("default regions"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let requests = Requests::new(Router::new(), Arc::clone(&app));
        let closing = watch::Sender::new(false);
        Door { ports: vec![(listener, requests)], app, limits, closing, complained: None, health: None }
    }

    #[tokio::test]
    async fn a_failed_accept_pauses_even_if_no_connection_can_end() {
        let mut door = door().await;
        let failed = || (Err(io::Error::other("no handles")), 0);
        let mut connections = JoinSet::new();
        assert!(door.admit(failed(), &mut connections, true).now_or_never().is_none());
        let complained = door.complained;
        assert!(complained.is_some());
        assert!(door.admit(failed(), &mut connections, true).now_or_never().is_none());
        assert_eq!(door.complained, complained, "once a second is enough");
    }

    #[tokio::test]
    async fn administrators_are_let_in_before_all_who_wait_at_the_other_port() {
        let mut door = door().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        door.ports.push((listener, door.ports[0].1.clone()));
        let mut waiting = Vec::new();
        for port in [0, 0, 0, 1] {
            let address = door.ports[port].0.local_addr().expect("bound");
            waiting.push(TcpStream::connect(address).await.expect("it listens"));
        }
        let mut order = Vec::new();
        for _ in &waiting {
            let (accepted, port) = door.accept().await;
            accepted.expect("a connection");
            order.push(port);
        }
        assert_eq!(order, [1, 0, 0, 0]);
    }

    /// What is written while this is done.
    fn logged(act: impl FnOnce()) -> String {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let writer = std::sync::Mutex::new(file.reopen().expect("it is there"));
        let lines = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
        tracing::subscriber::with_default(lines, act);
        std::fs::read_to_string(file.path()).expect("it is there")
    }

    #[tokio::test]
    async fn health_is_said_at_info_when_it_changes_and_then_alone() {
        let mut door = door().await;
        let said = logged(|| {
            door.upkeep();
            door.upkeep();
        });
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("INFO") && said.contains("health status=\"healthy\" reasons=\"\""), "{said}");
        door.app.begin_draining();
        let said = logged(|| {
            door.upkeep();
            door.upkeep();
        });
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("status=\"unhealthy\" reasons=\"the server is stopping\""), "{said}");
    }

    /// metrics-exporter-prometheus#245, #465: what was timed is kept sample by sample until somebody scrapes, or looks after it.
    #[tokio::test(start_paused = true)]
    async fn timings_that_nobody_scrapes_do_not_pile_up() {
        const SAMPLES: u32 = 250_000;
        let mut door = door().await;
        let route = door.app.figures.route(Some("/v1/entries/{key}"));
        let resident = || crate::insight::resident_bytes().expect("the system tells");
        let mut least = u64::MAX;
        // Other tests of this process take memory meanwhile; what piles up does so each time.
        for _ in 0..5 {
            let before = resident();
            let samples = async {
                for _ in 0..10 {
                    (0..SAMPLES).for_each(|micros| {
                        let took = Duration::from_micros(micros.into());
                        route.count(axum::http::StatusCode::OK, Some(took));
                    });
                    let _ = timeout(UPKEEP_EVERY, pending::<()>()).await;
                }
            };
            door.accept_until(samples, &mut JoinSet::new()).await;
            least = least.min(resident().saturating_sub(before));
        }
        // A sample takes 16 bytes, so that all of them would be 40 MB.
        assert!(least < 20 << 20, "grew by {least} bytes");
        assert!(door.app.figures.render_timings().contains("_count{route=\"/v1/entries/{key}\"} 12500000"));
    }

    #[test]
    fn the_refusal_is_a_whole_answer() {
        let text = std::str::from_utf8(BUSY).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a header and a body");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let problem: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(problem["status"], 503);
    }
}
