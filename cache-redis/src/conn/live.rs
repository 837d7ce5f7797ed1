//! A connection that is up: questions and answers, and the doubt that a missing answer leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::clock::ServerClock;
use crate::config::Address;
use crate::driver::{Question, Wire};
use crate::fault::Fault;
use crate::random;

/// An established connection. Dropping it closes the socket.
#[derive(Debug)]
pub(crate) struct Live {
    wire: Wire,
    signals: Arc<Signals>,
    address: Address,
    id: u64,
}

/// What whoever uses the connection, or reads from it, tells whoever watches over it.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    is_lost: AtomicBool,
    is_doubted: AtomicBool,
    event: Notify,
}

impl Signals {
    pub(crate) fn lose(&self) {
        self.is_lost.store(true, Ordering::Release);
        self.event.notify_one();
    }

    fn doubt(&self) {
        if !self.is_doubted.swap(true, Ordering::AcqRel) {
            self.event.notify_one();
        }
    }
}

impl Live {
    pub(crate) fn new(wire: Wire, signals: Arc<Signals>, address: Address) -> Self {
        Self { wire, signals, address, id: random::number() }
    }

    /// Tells it from every other connection, also of the same server.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Sends a question and waits for the answer. Whoever gives up waiting leaves a doubt, which has the connection probed.
    pub(crate) async fn ask(&self, question: &Question<'_>) -> Result<Value, Fault> {
        let waiting = Waiting(&self.signals);
        let answer = self.wire.ask(question).await;
        std::mem::forget(waiting);
        answer.inspect_err(|fault| self.look_at(fault))
    }

    /// The same for a single command, in fewer steps.
    pub(crate) async fn ask_one(&self, command: &Cmd) -> Result<Value, Fault> {
        let waiting = Waiting(&self.signals);
        let answer = self.wire.ask_one(command).await;
        std::mem::forget(waiting);
        if let Err(fault) = &answer {
            self.look_at(fault);
        }
        answer
    }

    fn look_at(&self, fault: &Fault) {
        if matches!(fault, Fault::Redis(error) if error.is_unrecoverable_error()) {
            self.signals.lose();
        }
    }

    /// The same at a server that does not have the slot yet, but is getting it.
    pub(crate) async fn ask_as_guest(&self, question: &Question<'_>) -> Result<Value, Fault> {
        let mut pipeline = Pipeline::new();
        let commands: Vec<&Cmd> = match question {
            Question::One(command) => vec![*command],
            Question::Many(pipeline) => pipeline.cmd_iter().collect(),
        };
        for command in commands {
            pipeline.cmd("ASKING").add_command(command.clone());
        }
        let Value::Array(answers) = self.ask(&Question::Many(&pipeline)).await? else {
            return Err(Fault::Odd);
        };
        let mut answers: Vec<Value> = answers.into_iter().skip(1).step_by(2).collect();
        match question {
            Question::One(_) => answers.pop().ok_or(Fault::Odd),
            Question::Many(_) => Ok(Value::Array(answers)),
        }
    }

    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Has it replaced.
    pub(crate) fn lose(&self) {
        self.signals.lose();
    }

    /// Returns when it is time to look after it: it is lost, somebody doubts it, or nothing was heard of it for this long.
    pub(crate) async fn is_to_be_seen_to(&self, after: Duration) {
        let _ = timeout(after, self.signals.event.notified()).await;
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.signals.is_lost.load(Ordering::Acquire)
    }

    /// Asks the server for its time, as a sign of life.
    pub(crate) async fn probe(&self, clock: &ServerClock, patience: Duration) -> Result<(), Fault> {
        self.signals.is_doubted.store(false, Ordering::Release);
        let command = redis::cmd("TIME");
        let sent = clock.own();
        let answer = timeout(patience, self.ask(&Question::One(&command))).await;
        let answer = answer.map_err(|_| Fault::Late)??;
        let time = time(&answer).ok_or(Fault::Odd)?;
        clock.learn(time, sent, clock.own());
        Ok(())
    }
}

/// Raises a doubt when it is dropped: an answer that came forgets it.
struct Waiting<'a>(&'a Signals);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.doubt();
    }
}

/// Seconds and microseconds, as one number of microseconds. What no clock tells, such as a time before 1970, is none: those who
/// reckon with it need not fear that it is too large.
fn time(answer: &Value) -> Option<i64> {
    let Value::Array(parts) = answer else { return None };
    let [seconds, micros] = &parts[..] else { return None };
    let number = |value: &Value| redis::from_redis_value_ref::<u32>(value).ok().map(i64::from);
    let (seconds, micros) = (number(seconds)?, number(micros)?);
    (micros < 1_000_000).then_some(seconds * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_one_that_a_clock_can_tell() {
        let told = |seconds: &str, micros: &str| {
            let part = |text: &str| Value::BulkString(text.into());
            time(&Value::Array(vec![part(seconds), part(micros)]))
        };
        assert_eq!(told("1800000000", "999999"), Some(1_800_000_000_999_999));
        assert_eq!(told("4294967295", "0"), Some(4_294_967_295_000_000), "the year 2106");
        for (seconds, micros) in
            [("-1", "0"), ("-9223372036854", "0"), ("4294967296", "0"), ("0", "1000000"), ("x", "0")]
        {
            assert_eq!(told(seconds, micros), None, "{seconds} {micros}");
        }
        assert_eq!(time(&Value::Nil), None);
    }
}
