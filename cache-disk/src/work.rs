//! Threads that wait for files, so that no thread of a runtime does.
//!
//! ```text
//! caller ── job ──► [ queue, bounded ] ──► one thread that writes, or one of those that read ── answer ──► caller
//! ```
//!
//! A queue that is full refuses: a disk that cannot keep up must not make callers wait in a line that grows, and the next
//! tier, or the source, answers instead.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cache_core::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::writer::{PLACE, Writer};

/// How often the writer looks after what nobody asks for.
const IDLE: Duration = Duration::from_secs(1);

/// How many jobs share one sync.
const TOGETHER: usize = 256;

/// What a waiting job tells its caller once it is known whether it will last.
type Finish = Box<dyn FnOnce(Result<()>) + Send>;

type Write = Box<dyn FnOnce(&mut Writer) -> Finish + Send>;
type Read = Box<dyn FnOnce() + Send>;

/// The threads of a tier, and the ways to them.
#[derive(Debug)]
pub(crate) struct Work {
    writes: Option<Queue<Write>>,
    reads: Option<Queue<Read>>,
    threads: Vec<JoinHandle<()>>,
    overflows: AtomicU64,
}

impl Work {
    /// Starts the threads.
    pub(crate) fn start(mut by: Writer, readers: usize, queue: usize) -> io::Result<Self> {
        let (jobs, received) = sync_channel(queue);
        let waiting = Arc::new(AtomicU64::new(0));
        let taken = Arc::clone(&waiting);
        let mut threads = vec![spawn("strata-disk-write", move || write_all(&mut by, &received, &taken))?];
        let writes = Some(Queue { jobs, waiting });
        let (jobs, received) = sync_channel(queue);
        let received = Arc::new(Mutex::new(received));
        let waiting = Arc::new(AtomicU64::new(0));
        for _ in 0..readers {
            let (received, taken) = (Arc::clone(&received), Arc::clone(&waiting));
            threads.push(spawn("strata-disk-read", move || read_all(&received, &taken))?);
        }
        let reads = Some(Queue { jobs, waiting });
        Ok(Self { writes, reads, threads, overflows: AtomicU64::new(0) })
    }

    /// Has this done by the thread that writes. `bytes` is what the job holds in memory until then.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        bytes: u64,
        act: impl FnOnce(&mut Writer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let job: Write = Box::new(move |writer| {
            let acted = act(writer);
            // Who asked may have stopped waiting.
            Box::new(move |synced| drop(answer.send(synced.and(acted))))
        });
        self.submit(self.writes.as_ref(), job, bytes, operation)?;
        answered.await.map_err(|_| Error::new(ErrorKind::Unavailable, PLACE, operation))?
    }

    /// Has this done by a thread that reads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        bytes: u64,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let job: Read = Box::new(move || drop(answer.send(act())));
        self.submit(self.reads.as_ref(), job, bytes, operation)?;
        answered.await.map_err(|_| Error::new(ErrorKind::Unavailable, PLACE, operation))
    }

    /// How many jobs were refused.
    pub(crate) fn overflows(&self) -> u64 {
        self.overflows.load(Relaxed)
    }

    fn submit<J>(&self, queue: Option<&Queue<J>>, job: J, bytes: u64, operation: &'static str) -> Result<()> {
        if queue.is_some_and(|queue| queue.takes(job, bytes)) {
            return Ok(());
        }
        self.overflows.fetch_add(1, Relaxed);
        Err(Error::new(ErrorKind::Unavailable, PLACE, operation).with_source("too many calls wait already"))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        (self.writes, self.reads) = (None, None);
        for thread in self.threads.drain(..) {
            // A panic of a thread was seen by whoever waited for it.
            let _ended = thread.join();
        }
    }
}

/// The way to some threads.
struct Queue<J> {
    jobs: SyncSender<Weighed<J>>,
    /// How many bytes wait in it.
    waiting: Arc<AtomicU64>,
}

/// A job, and the bytes that it holds while it waits.
type Weighed<J> = (J, u64);

/// Values that wait to be written must not take more memory than this, unless it is one alone.
const MOST_WAITING: u64 = 64 << 20;

impl<J> fmt::Debug for Queue<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl<J> Queue<J> {
    /// Takes a job in, if there is room for it.
    fn takes(&self, job: J, bytes: u64) -> bool {
        let before = self.waiting.fetch_add(bytes, Relaxed);
        let fits = before == 0 || before.saturating_add(bytes) <= MOST_WAITING;
        let taken = fits && self.jobs.try_send((job, bytes)).is_ok();
        self.waiting.fetch_sub(if taken { 0 } else { bytes }, Relaxed);
        taken
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn write_all(writer: &mut Writer, jobs: &Receiver<Weighed<Write>>, waiting: &AtomicU64) {
    let shares_syncs = writer.syncs();
    loop {
        match jobs.recv_timeout(IDLE) {
            Ok(first) => {
                let mut run = |(job, bytes): Weighed<Write>| {
                    waiting.fetch_sub(bytes, Relaxed);
                    job(writer)
                };
                let mut finishes = vec![run(first)];
                while shares_syncs
                    && finishes.len() < TOGETHER
                    && let Ok(next) = jobs.try_recv()
                {
                    finishes.push(run(next));
                }
                let synced = writer.sync();
                for finish in finishes {
                    finish(
                        synced
                            .as_ref()
                            .copied()
                            .map_err(|_| Error::new(ErrorKind::Unavailable, PLACE, "sync")),
                    );
                }
            }
            Err(RecvTimeoutError::Timeout) => writer.idle(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // Nobody is left to be told.
    let _closed = writer.close();
}

fn read_all(jobs: &Mutex<Receiver<Weighed<Read>>>, waiting: &AtomicU64) {
    loop {
        // The lock is held while this thread waits, so that the others wait for the lock instead.
        let next = jobs.lock().recv();
        let Ok((job, bytes)) = next else { return };
        waiting.fetch_sub(bytes, Relaxed);
        job();
    }
}
