//! The nodes as seen from here: processes that are told lines, and whose lines are waited for.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use cache_testkit::redis::Server;
use serde_json::Value;
use tempfile::TempDir;

use super::log::{self, Entry};
use super::{Pace, node::Args};
use crate::Outcome;

/// The longest that anything may take: a round of the longest run on a slow machine.
const PATIENCE: Duration = Duration::from_mins(10);

/// All processes of a fleet. They end with this.
pub(super) struct Nodes {
    nodes: Vec<Node>,
    folder: TempDir,
}

pub(super) struct Node {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Value>,
    /// What was answered before it was asked for.
    early: VecDeque<Value>,
}

impl Nodes {
    /// Starts them, and waits until each hears its bus.
    pub(super) fn start(server: &Server, processes: u32, pace: Pace, deaf: bool) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let mut nodes = Self { nodes: Vec::new(), folder };
        for number in 0..processes {
            let is_deaf = deaf && number + 1 == processes;
            let args = Args::of((number, processes), server, &nodes.log(number as usize), pace);
            nodes.nodes.push(Node::start(&args?, is_deaf)?);
        }
        for node in &mut nodes.nodes {
            node.answer("ready")?;
        }
        Ok(nodes)
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Tells all of them the same, and gives what they answer.
    pub(super) fn ask_all(&mut self, line: &str) -> Outcome<Vec<Value>> {
        for node in 0..self.len() {
            self.tell(node, line)?;
        }
        (0..self.len()).map(|node| self.answer(node, line)).collect()
    }

    /// Tells one of them.
    pub(super) fn tell(&mut self, node: usize, line: &str) -> Outcome {
        let input = self.nodes[node].input.as_mut().ok_or("it was killed")?;
        Ok(writeln!(input, "{line}")?)
    }

    /// Waits until it has answered this.
    pub(super) fn answer(&mut self, node: usize, line: &str) -> Outcome<Value> {
        self.nodes[node].answer(line)
    }

    /// Ends one of them at once, as a crash would.
    pub(super) fn kill(&mut self, node: usize) -> Outcome {
        let Node { process, input, .. } = &mut self.nodes[node];
        *input = None;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// What each has logged.
    pub(super) fn logs(&self) -> Outcome<Vec<Vec<Entry>>> {
        (0..self.len()).map(|node| Ok(log::read(&self.log(node))?)).collect()
    }

    fn log(&self, node: usize) -> PathBuf {
        self.folder.path().join(node.to_string())
    }
}

impl Node {
    fn start(args: &[String], is_deaf: bool) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("fleet-node").args(args).args(is_deaf.then_some("--deaf"));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().ok_or("it has no output")?;
        let (lines, receiver) = channel();
        std::thread::spawn(move || {
            let read = BufReader::new(output).lines().map_while(Result::ok);
            for line in read.filter_map(|line| serde_json::from_str(&line).ok()) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { input: process.stdin.take(), process, lines: receiver, early: VecDeque::new() })
    }

    fn answer(&mut self, line: &str) -> Outcome<Value> {
        if let Some(at) = self.early.iter().position(|told| told["to"] == line) {
            return Ok(self.early.remove(at).map(|mut told| told["told"].take()).unwrap_or_default());
        }
        loop {
            let mut told = self.lines.recv_timeout(PATIENCE).map_err(|_| format!("no answer to {line}"))?;
            if told["to"] != line {
                self.early.push_back(told);
                continue;
            }
            if let Some(error) = told["told"]["error"].as_str() {
                return Err(format!("{line}: {error}").into());
            }
            return Ok(told["told"].take());
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.input = None;
        // It may be gone already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
