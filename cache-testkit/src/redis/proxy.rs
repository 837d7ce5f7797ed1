//! A network that misbehaves: a proxy in front of a server that cuts, holds, delays, throttles and half-closes.
//!
//! One thread per direction of a connection. What it shall do stands behind one lock; whoever waits, for a delay to pass or a
//! hold to end, waits for a change of that.

#![expect(clippy::expect_used, reason = "a proxy that does not start has failed its test")]

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cache_core::{Clock, SystemClock, Time};

/// A proxy on a free port of this machine, which ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    clock: SystemClock,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    faults: Faults,
    pairs: Vec<[TcpStream; 2]>,
    accepted: usize,
    is_closed: bool,
}

/// What is wrong with the network. All of it concerns what the server answers, except where it says otherwise.
#[derive(Clone, Debug, Default)]
struct Faults {
    refuses: bool,
    holds: bool,
    /// The number of a connection whose questions wait.
    holds_questions_of: Option<usize>,
    delay: Duration,
    bytes_per_second: Option<u64>,
    /// How many more bytes are let through before the connection ends.
    cut_after: Option<usize>,
}

impl Proxy {
    /// A proxy in front of this address, which does nothing wrong yet.
    pub fn to(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("this machine has a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            upstream,
            clock: SystemClock::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        let accepting = thread::spawn(move || accepting.accept(&listener));
        Self { shared, address, accepting: Some(accepting) }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections have been made so far.
    pub fn accepted(&self) -> usize {
        self.shared.lock().accepted
    }

    /// Ends all connections. New ones work.
    pub fn cut(&self) {
        for pair in self.shared.lock().pairs.drain(..) {
            pair.iter().for_each(end);
        }
    }

    /// Ends new connections as soon as they are made, and leaves those that are there alone.
    pub fn refuse(&self) {
        self.shared.change(|faults| faults.refuses = true);
    }

    /// Lets no more answers through; connections stay and can be made, as at a host that has lost its network.
    pub fn hold(&self) {
        self.shared.change(|faults| faults.holds = true);
    }

    /// Lets no more questions of one connection through; the first one that was made is 0.
    pub fn hold_questions_of(&self, connection: usize) {
        self.shared.change(|faults| faults.holds_questions_of = Some(connection));
    }

    /// Lets each answer wait for this long.
    pub fn delay(&self, delay: Duration) {
        self.shared.change(|faults| faults.delay = delay);
    }

    /// Lets at most this many bytes of answers a second through, on each connection.
    pub fn throttle(&self, bytes_per_second: u64) {
        self.shared.change(|faults| faults.bytes_per_second = Some(bytes_per_second.max(1)));
    }

    /// Ends a connection once this many more bytes of answers have gone through, in the middle of one perhaps.
    pub fn cut_after(&self, bytes: usize) {
        self.shared.change(|faults| faults.cut_after = Some(bytes));
    }

    /// Tells all clients that no more answers will come, and goes on reading what they send.
    pub fn half_close(&self) {
        for [client, _] in &self.shared.lock().pairs {
            let _ = client.shutdown(Shutdown::Write);
        }
    }

    /// Does nothing wrong any more.
    pub fn heal(&self) {
        self.shared.change(|faults| *faults = Faults::default());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.heal();
        self.cut();
        // Wakes who waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock().faults);
        self.changed.notify_all();
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.lock().is_closed {
                return;
            }
            if let Ok(client) = client {
                let _ = self.join(client);
            }
        }
    }

    /// Joins a client to the server.
    fn join(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let mut state = self.lock();
        let number = state.accepted;
        state.accepted += 1;
        if state.faults.refuses {
            return Ok(());
        }
        let server = TcpStream::connect(self.upstream)?;
        let copy = |stream: &TcpStream| stream.try_clone();
        state.pairs.push([copy(&client)?, copy(&server)?]);
        drop(state);
        let (asking, answering) = ([copy(&client)?, copy(&server)?], [server, client]);
        let shared = Arc::clone(self);
        thread::spawn(move || {
            let _ = shared.pass_questions(number, asking);
        });
        let shared = Arc::clone(self);
        thread::spawn(move || {
            let [server, client] = &answering;
            let _ = shared.pass_answers(server, client);
            answering.iter().for_each(end);
        });
        Ok(())
    }

    fn pass_questions(&self, number: usize, [client, server]: [TcpStream; 2]) -> io::Result<()> {
        let copied = self.copy_questions(number, &client, &server);
        if copied.is_ok() && !self.lock().is_closed {
            return server.shutdown(Shutdown::Write);
        }
        [client, server].iter().for_each(end);
        copied
    }

    fn copy_questions(
        &self,
        number: usize,
        mut client: &TcpStream,
        mut server: &TcpStream,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let bytes = client.read(&mut buffer)?;
            if bytes == 0 {
                return Ok(());
            }
            let is_held = |state: &mut State| state.faults.holds_questions_of == Some(number);
            drop(self.changed.wait_while(self.lock(), is_held).unwrap_or_else(PoisonError::into_inner));
            server.write_all(&buffer[..bytes])?;
        }
    }

    fn pass_answers(&self, mut server: &TcpStream, mut client: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let most = self.throttled(buffer.len());
            let bytes = server.read(&mut buffer[..most])?;
            if bytes == 0 {
                return Ok(());
            }
            let let_through = self.wait_for_leave(bytes);
            client.write_all(&buffer[..let_through])?;
            if let_through < bytes {
                return Ok(());
            }
        }
    }

    /// How much to take at once, so that a throttled answer comes in ten pieces a second.
    fn throttled(&self, room: usize) -> usize {
        let tenth = |rate: u64| usize::try_from(rate / 10).unwrap_or(room).clamp(1, room);
        self.lock().faults.bytes_per_second.map_or(room, tenth)
    }

    /// Returns when bytes may go on, and how many of them before the connection has to end.
    fn wait_for_leave(&self, bytes: usize) -> usize {
        let arrived = self.clock.now();
        let mut state = self.lock();
        loop {
            let faults = &state.faults;
            let until = arrived.after(faults.delay + pace(faults, bytes));
            let now = self.clock.now();
            if !faults.holds && now >= until {
                break;
            }
            let pause = if faults.holds { Time::NEVER.since(now) } else { until.since(now) };
            let woken = self.changed.wait_timeout(state, pause.min(Duration::from_mins(1)));
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let Some(left) = &mut state.faults.cut_after else { return bytes };
        let let_through = bytes.min(*left);
        *left -= let_through;
        if let_through < bytes {
            // Only one connection meets its end this way.
            state.faults.cut_after = None;
        }
        let_through
    }
}

/// How long this many bytes take.
fn pace(faults: &Faults, bytes: usize) -> Duration {
    faults
        .bytes_per_second
        .map_or(Duration::ZERO, |rate| Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / rate))
}

fn end(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}
