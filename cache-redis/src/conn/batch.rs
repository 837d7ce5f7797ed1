//! Batches: many commands at once, to whoever has their keys, and the answers in the order of the questions.
//!
//! Each server gets what is meant for it in one go, in pieces of a bounded size, so that a batch of a million keys neither
//! holds up everybody else nor runs into its own deadline.

use std::pin::pin;
use std::sync::Arc;

use cache_core::Result;
use futures_util::future;
use redis::{Cmd, Pipeline, Value};

use super::node::Node;
use super::{Connection, slot};
use crate::driver::Question;
use crate::fault::Fault;

/// How many commands go at once at most: about a millisecond's work for a server.
const MAX_COMMANDS: usize = 512;
/// And how many bytes, at least one command's.
const MAX_BYTES: usize = 1 << 20;

/// A command, and the slot of its key.
#[derive(Debug)]
pub(crate) struct Keyed {
    slot: u16,
    command: Cmd,
    bytes: usize,
}

impl Keyed {
    /// `bytes` is about how long it is.
    pub(crate) fn new(key: &[u8], command: Cmd, bytes: usize) -> Self {
        Self { slot: slot(key), command, bytes }
    }
}

impl Connection {
    /// Sends commands of which none may fail, and returns their answers.
    pub(crate) async fn each(&self, operation: &'static str, commands: Vec<Keyed>) -> Result<Vec<Value>> {
        if let [Keyed { slot, command, .. }] = &commands[..] {
            let question = Question::One(command);
            let (answer, _) = self.within(operation, pin!(self.exchange(*slot, &question))).await?;
            return Ok(vec![answer]);
        }
        let answers = self.batch(operation, commands).await?;
        answers.into_iter().map(|answer| self.accept(operation, answer)).collect()
    }

    /// The answer, if it is no error.
    pub(crate) fn accept(&self, operation: &'static str, answer: Value) -> Result<Value> {
        match answer {
            Value::ServerError(error) => Err(Fault::Redis(error.into()).during(operation, self.has_others())),
            answer => Ok(answer),
        }
    }

    /// Sends commands and returns their answers, errors of the server among them. Nothing is said about the order in
    /// which they take effect, as they may go to several servers.
    pub(crate) async fn batch(&self, operation: &'static str, commands: Vec<Keyed>) -> Result<Vec<Value>> {
        let mut answers = self.first_answers(operation, &commands).await?;
        // What is elsewhere is asked for one by one: it is little, and there the way is known.
        let elsewhere = (0..answers.len()).filter(|number| self.is_elsewhere(&answers[*number]));
        let followed = elsewhere.map(|number| {
            let Keyed { slot, command, .. } = &commands[number];
            async move {
                let question = Question::One(command);
                let answer = self.within(operation, pin!(self.exchange(*slot, &question))).await;
                answer.map(|(answer, _)| (number, answer))
            }
        });
        for (number, answer) in future::try_join_all(followed).await? {
            answers[number] = answer;
        }
        Ok(answers)
    }

    /// The same, where nobody follows those answers that name another server.
    pub(super) async fn first_answers(
        &self,
        operation: &'static str,
        commands: &[Keyed],
    ) -> Result<Vec<Value>> {
        let mut answers: Vec<Value> = commands.iter().map(|_| Value::Nil).collect();
        let groups = self.within(operation, pin!(self.by_node(commands))).await?;
        let asked = groups.iter().map(|(node, numbers)| self.ask_node(operation, node, commands, numbers));
        for (number, answer) in future::try_join_all(asked).await?.into_iter().flatten() {
            answers[number] = answer;
        }
        Ok(answers)
    }

    /// What goes to one server by one connection, in order.
    async fn by_node(&self, commands: &[Keyed]) -> Result<Vec<(Arc<Node>, Vec<usize>)>, Fault> {
        // A Cluster has dozens of servers at most, and most batches go to a few; connections to each are few, too.
        let mut groups: Vec<(Arc<Node>, Vec<usize>)> = Vec::new();
        for (number, command) in commands.iter().enumerate() {
            let node = self.node(command.slot).await?;
            let lane = node.lane(command.slot);
            let is_same = |known: &Arc<Node>, number: usize| {
                Arc::ptr_eq(known, &node) && known.lane(commands[number].slot) == lane
            };
            match groups.iter_mut().find(|(known, numbers)| is_same(known, numbers[0])) {
                Some((_, numbers)) => numbers.push(number),
                None => groups.push((node, vec![number])),
            }
        }
        Ok(groups)
    }

    async fn ask_node(
        &self,
        operation: &'static str,
        node: &Node,
        commands: &[Keyed],
        numbers: &[usize],
    ) -> Result<Vec<(usize, Value)>> {
        let mut answers = Vec::with_capacity(numbers.len());
        let slot = numbers.first().map_or(0, |number| commands[*number].slot);
        let mut rest = numbers;
        while !rest.is_empty() {
            let (piece, others) = rest.split_at(piece(commands, rest));
            rest = others;
            let mut pipeline = Pipeline::with_capacity(piece.len());
            for number in piece {
                pipeline.add_command(commands[*number].command.clone());
            }
            let asked = pin!(async {
                let _place = self.place().await?;
                let live = node.live(slot).await.inspect_err(|_| self.look_around())?;
                self.answered(live.ask(&Question::Many(&pipeline)).await)
            });
            let answer = self.within(operation, asked).await?;
            let Value::Array(answer) = answer else { return Err(Fault::Odd.during(operation, false)) };
            answers.extend(piece.iter().copied().zip(answer));
        }
        Ok(answers)
    }

    pub(super) fn is_elsewhere(&self, answer: &Value) -> bool {
        let Value::ServerError(error) = answer else { return false };
        self.is_cluster() && ["MOVED", "ASK", "TRYAGAIN"].contains(&error.code())
    }
}

/// How many of these commands go at once.
fn piece(commands: &[Keyed], numbers: &[usize]) -> usize {
    let mut bytes = 0;
    let fits = |number: &&usize| {
        bytes += commands[**number].bytes;
        bytes <= MAX_BYTES
    };
    numbers.iter().take(MAX_COMMANDS).take_while(fits).count().max(1)
}
