//! Gathering: what many ask for at the same time goes to the server as one.
//!
//! ```text
//! few on their way    each sends its own command
//! many                the first who asks has a task begin; that lets everybody ask who is about to, and then sends
//!                     ── one pipeline, its reads as one MGET ──► answers ──► each to who has asked
//! ```
//!
//! Nobody waits for time to pass, or for an answer of others: what is asked for after a batch was sent goes with the next one,
//! at once. A hundred reads as one command cost client and server a fraction of a hundred commands, and all of a batch
//! share one deadline. Who gives up waiting disturbs nobody else, since the task waits for the answer; and what has not been
//! sent by then never is, so that a write that was given up does not land behind a removal that came after it.
//!
//! Each connection to the server has its own gathering, so that all about one key goes one way, in order.
//!
//! In a Cluster keys are on different servers, so there each call goes by itself.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use cache_core::Result;
use futures_util::future;
use parking_lot::Mutex;
use redis::{Cmd, Pipeline, Value};
use tokio::sync::{SemaphorePermit, oneshot};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::node::Node;
use super::{Connection, Route};

use crate::driver::Question;
use crate::fault::Fault;

/// With fewer calls on their way each sends its own: gathering costs a task and two wakes, which a small batch does not spare. With 32
/// readers, one by one was 0.86 to 0.95 of the bare client in three runs, and gathered 0.84.
const FEW: usize = 40;
/// How many go together at most: about a millisecond's work for a server.
const MAX_CALLS: usize = 512;
/// About how many bytes of values are read together at most. Whoever gets the first waits for the last.
const MAX_BYTES: usize = 256 << 10;

const MGET: &str = "MGET";

/// What is asked for.
pub(super) enum Ask {
    /// What stands under a name.
    Get(Vec<u8>),
    /// Something else, whose command and answer are small.
    Command(Cmd),
}

/// Who waits to be sent, and what is known about the answers.
#[derive(Default)]
pub(super) struct Gathering {
    waiting: Mutex<Vec<Waiting>>,
    /// Held while a batch is handed over.
    gate: Mutex<()>,
    /// How many bytes values have. Large ones are remembered for a while.
    value_bytes: AtomicUsize,
}

struct Waiting {
    ask: Ask,
    tell: Teller,
}

impl Gathering {
    /// Takes note of how large a value was.
    pub(super) fn has_read(&self, bytes: usize) {
        let known = self.value_bytes.load(Ordering::Relaxed);
        let faded = known - known / 16;
        if bytes.max(faded) != known {
            self.value_bytes.store(bytes.max(faded), Ordering::Relaxed);
        }
    }

    /// Waits with the others, and says whether this is the first one.
    fn join(&self, ask: Ask) -> (bool, oneshot::Receiver<Result<Value, Fault>>) {
        let (tell, told) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        waiting.push(Waiting { ask, tell });
        (waiting.len() == 1, told)
    }

    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock();
        // As many are likely to come until the next one takes them.
        let places = Vec::with_capacity(waiting.len());
        std::mem::replace(&mut waiting, places)
    }

    /// How many go together.
    fn piece(&self) -> usize {
        let value_bytes = self.value_bytes.load(Ordering::Relaxed);
        MAX_BYTES.checked_div(value_bytes).unwrap_or(MAX_CALLS).clamp(1, MAX_CALLS)
    }
}

impl Connection {
    /// A place for one more call, where so many are on their way that they are gathered.
    pub(super) fn place_in_a_crowd(&self) -> Option<SemaphorePermit<'_>> {
        let is_gathered = self.is_crowded() && matches!(self.inner.route, Route::One(_));
        is_gathered.then(|| self.inner.places.try_acquire().ok()).flatten()
    }

    /// Whether so many are on their way.
    pub(super) fn is_crowded(&self) -> bool {
        self.inner.config.max_in_flight - self.inner.places.available_permits() >= FEW
    }

    /// Asks together with others. The deadline is that of the batch, which is sent as soon as it may be.
    pub(super) async fn gathered(&self, operation: &'static str, slot: u16, ask: Ask) -> Result<Value> {
        let gathering = self.gathering(slot);
        let (is_first, told) = gathering.join(ask);
        let mut caller = Caller { told, gate: &gathering.gate, is_told: false };
        if is_first {
            tokio::spawn(Errand { connection: self.clone(), slot, has_taken: false }.run());
        }
        let answer = (&mut caller.told).await;
        caller.is_told = true;
        let answer = answer.unwrap_or_else(|_| Err(Fault::Down("its runtime has ended".into())));
        answer.map_err(|fault| self.failed(operation, fault))
    }

    /// Those who wait for the connection of this slot.
    pub(super) fn gathering(&self, slot: u16) -> &Gathering {
        let gatherings = &self.inner.gatherings;
        &gatherings[usize::from(slot) % gatherings.len()]
    }

    async fn send_gathered(&self, slot: u16, mut waiting: Vec<Waiting>) {
        let Route::One(node) = &self.inner.route else { return };
        let piece = self.gathering(slot).piece();
        let mut pieces = Vec::with_capacity(waiting.len().div_ceil(piece));
        while waiting.len() > piece {
            pieces.push(waiting.split_off(waiting.len() - piece));
        }
        pieces.push(waiting);
        if let [_] = &pieces[..] {
            let Some(piece) = pieces.pop() else { return };
            return self.send_piece((node, slot), piece).await;
        }
        future::join_all(pieces.into_iter().map(|piece| self.send_piece((node, slot), piece))).await;
    }

    async fn send_piece(&self, (node, slot): (&Node, u16), waiting: Vec<Waiting>) {
        let mut batch = Batch { waiting, ..Batch::default() };
        let asked = timeout(self.inner.config.command_timeout, self.ask_all(node, slot, &mut batch)).await;
        let told = asked.unwrap_or(Err(Fault::Late)).and_then(|answers| batch.tell(answers));
        match told {
            Ok(longest) => self.gathering(slot).has_read(longest),
            Err(fault) => batch.fail(&fault),
        }
    }

    async fn ask_all(&self, node: &Node, slot: u16, batch: &mut Batch) -> Result<Vec<Value>, Fault> {
        let live = node.live(slot).await?;
        let asking = async {
            let pipeline = batch.pipeline();
            if pipeline.is_empty() {
                return Ok(Value::Array(Vec::new()));
            }
            live.ask(&Question::Many(&pipeline)).await
        };
        let Value::Array(answers) = gated(&self.gathering(slot).gate, asking).await? else {
            return Err(Fault::Odd);
        };
        for answer in &answers {
            if let Value::ServerError(error) = answer {
                self.see_to(&live, &Fault::Redis(error.clone().into()));
            }
        }
        Ok(answers)
    }
}

/// Whoever sends what has been gathered. If he goes before he has taken it, as with his runtime, those who wait are told so, and the
/// next one who asks finds nobody waiting and begins anew.
struct Errand {
    connection: Connection,
    slot: u16,
    has_taken: bool,
}

impl Errand {
    async fn run(mut self) {
        // Everybody who is about to ask does so first; then, if there was more to do than that, what has come in is looked at.
        yield_now().await;
        let waiting = self.connection.gathering(self.slot).take();
        self.has_taken = true;
        self.connection.send_gathered(self.slot, waiting).await;
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if !self.has_taken {
            drop(self.connection.gathering(self.slot).take());
        }
    }
}

/// Who waits for an answer. Whoever gives up has either been sent, or never will be: what it asks for next comes after that.
struct Caller<'a> {
    told: oneshot::Receiver<Result<Value, Fault>>,
    gate: &'a Mutex<()>,
    is_told: bool,
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.told.close();
            // Whoever is sending a batch at this moment may not have seen it.
            drop(self.gate.lock());
        }
    }
}

/// Polls a future for the first time, in which it looks for who has given up and hands over the rest, while nobody gives up.
async fn gated<F: Future>(gate: &Mutex<()>, future: F) -> F::Output {
    let (mut future, mut gate) = (pin!(future), Some(gate));
    poll_fn(|context| {
        let _held = gate.take().map(Mutex::lock);
        future.as_mut().poll(context)
    })
    .await
}

type Teller = oneshot::Sender<Result<Value, Fault>>;

/// What goes together, and who is to be told.
#[derive(Default)]
struct Batch {
    waiting: Vec<Waiting>,
    others: Vec<Teller>,
    reads: Vec<Teller>,
}

impl Batch {
    /// The commands of who still waits: the reads as the last one.
    fn pipeline(&mut self) -> Pipeline {
        let length = |waiting: &Waiting| if let Ask::Get(name) = &waiting.ask { name.len() } else { 0 };
        let most = self.waiting.len();
        let mut mget =
            Cmd::with_capacity(1 + most, MGET.len() + self.waiting.iter().map(length).sum::<usize>());
        mget.arg(MGET);
        let mut pipeline = Pipeline::with_capacity(1);
        self.reads.reserve(most);
        for Waiting { ask, tell } in self.waiting.drain(..).filter(|waiting| !waiting.tell.is_closed()) {
            match ask {
                Ask::Get(name) => {
                    mget.arg(name);
                    self.reads.push(tell);
                }
                Ask::Command(command) => {
                    pipeline.add_command(command);
                    self.others.push(tell);
                }
            }
        }
        if !self.reads.is_empty() {
            pipeline.add_command(mget);
        }
        pipeline
    }

    /// Tells each its answer, and returns how long the longest value was. Who is left over has none.
    fn tell(&mut self, answers: Vec<Value>) -> Result<usize, Fault> {
        let mut answers = answers.into_iter();
        let accepted = |answer| match answer {
            Value::ServerError(error) => Err(Fault::Redis(error.into())),
            answer => Ok(answer),
        };
        let count = self.others.len().min(answers.len());
        for (tell, answer) in self.others.drain(..count).zip(answers.by_ref()) {
            // Whoever has given up does not want to know.
            let _ = tell.send(accepted(answer));
        }
        if self.reads.is_empty() {
            return if self.others.is_empty() { Ok(0) } else { Err(Fault::Odd) };
        }
        let Value::Array(values) = accepted(answers.next().ok_or(Fault::Odd)?)? else {
            return Err(Fault::Odd);
        };
        if values.len() != self.reads.len() {
            return Err(Fault::Odd);
        }
        let length = |value: &Value| if let Value::BulkString(bytes) = value { bytes.len() } else { 0 };
        let longest = values.iter().map(length).max().unwrap_or_default();
        for (tell, value) in self.reads.drain(..).zip(values) {
            let _ = tell.send(Ok(value));
        }
        Ok(longest)
    }

    /// Tells everybody who is left why there is no answer.
    fn fail(self, fault: &Fault) {
        let waiting = self.waiting.into_iter().map(|waiting| waiting.tell);
        for tell in waiting.chain(self.others).chain(self.reads) {
            let _ = tell.send(Err(fault.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_values_are_the_fewer_are_read_together() {
        let gathering = Gathering::default();
        let piece = |bytes| {
            gathering.has_read(bytes);
            gathering.piece()
        };
        assert_eq!((piece(0), piece(100)), (MAX_CALLS, MAX_CALLS));
        assert_eq!((piece(MAX_BYTES / 4), piece(MAX_BYTES), piece(usize::MAX)), (4, 1, 1));
    }

    #[test]
    fn large_values_are_forgotten_after_a_while() {
        let gathering = Gathering::default();
        gathering.has_read(MAX_BYTES);
        gathering.has_read(100);
        assert_eq!(gathering.piece(), 1);
        for _ in 0..1000 {
            gathering.has_read(100);
        }
        assert_eq!(gathering.piece(), MAX_CALLS);
    }
}
