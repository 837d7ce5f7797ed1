//! Scripts: several steps that nobody gets between, by the server's own clock.
//!
//! They are called by their hash. A server that does not know one, because it has restarted or has just become the primary,
//! gets its text with the next attempt, and knows it from then on.

use redis::Cmd;

/// The text of a script, and its hash.
#[derive(Debug)]
pub(crate) struct Script {
    text: &'static str,
    compiled: redis::Script,
}

/// What a script is called with.
#[derive(Debug, Default)]
pub(crate) struct Call {
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl Script {
    pub(crate) fn new(text: &'static str) -> Self {
        Self { text, compiled: redis::Script::new(text) }
    }

    pub(crate) fn by_hash(&self, call: &Call) -> Cmd {
        call.command("EVALSHA", self.compiled.get_hash())
    }

    pub(crate) fn by_text(&self, call: &Call) -> Cmd {
        call.command("EVAL", self.text)
    }
}

impl Call {
    /// A call that begins with this key.
    pub(crate) fn on(key: Vec<u8>) -> Self {
        Self { keys: vec![key], arguments: Vec::new() }
    }

    pub(crate) fn key(mut self, key: Vec<u8>) -> Self {
        self.keys.push(key);
        self
    }

    pub(crate) fn arg(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn number(self, number: u64) -> Self {
        self.arg(number.to_string())
    }

    /// What decides where it runs.
    pub(crate) fn first_key(&self) -> &[u8] {
        self.keys.first().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.keys.iter().chain(&self.arguments).map(Vec::len).sum()
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len());
        for word in self.keys.iter().chain(&self.arguments) {
            command.arg(word.as_slice());
        }
        command
    }
}
