//! Calls that are sent by themselves: where there is one server, it is connected to and a place is free, nothing stands between the
//! caller and the driver but the deadline. Each further future around it is passed through twice.

use std::io::Write as _;
use std::pin::pin;
use std::sync::Arc;

use cache_core::Result;
use redis::{Cmd, RedisWrite as _, Value};
use tokio::sync::SemaphorePermit;

use super::live::Live;
use super::{Connection, Route};
use crate::driver::Question;
use crate::fault::Fault;

impl Connection {
    /// Sends a command to whoever has this key.
    pub(crate) async fn call(&self, operation: &'static str, key: &[u8], command: Cmd) -> Result<Value> {
        let slot = self.slot(key);
        let Some((live, _place)) = self.at_hand(slot) else {
            return Box::pin(self.call_anyhow(operation, slot, command)).await;
        };
        let answer = self.inner.deadlines.keep(live.ask_one(&command)).await;
        self.concluded(operation, &live, answer)
    }

    /// What a call on this connection has come to; without an answer it is late.
    fn concluded(
        &self,
        operation: &'static str,
        live: &Live,
        answer: Option<Result<Value, Fault>>,
    ) -> Result<Value> {
        self.answered(answer.unwrap_or(Err(Fault::Late))).map_err(|fault| {
            self.see_to(live, &fault);
            self.failed(operation, fault)
        })
    }

    async fn call_anyhow(&self, operation: &'static str, slot: u16, command: Cmd) -> Result<Value> {
        let answer = pin!(async { self.exchange(slot, &Question::One(&command)).await });
        Ok(self.within(operation, answer).await?.0)
    }

    /// The only server's connection and a place for a call, if neither has to be waited for.
    fn at_hand(&self, slot: u16) -> Option<(Arc<Live>, SemaphorePermit<'_>)> {
        let Route::One(node) = &self.inner.route else { return None };
        Some((node.live_now(slot)?, self.inner.places.try_acquire().ok()?))
    }

    /// What stands under a name that is still to be put together, which a caller who is alone does in the command itself.
    pub(crate) async fn get_named(&self, operation: &'static str, kind: char, name: &str) -> Result<Value> {
        let is_alone = self.inner.config.pool_size == 1 && !self.is_crowded();
        let Some((live, _place)) = is_alone.then(|| self.at_hand(0)).flatten() else {
            return Box::pin(async { self.get(operation, &self.name(kind, name)).await }).await;
        };
        let prefix = &self.inner.config.prefix;
        let mut get = Cmd::with_capacity(2, "GET".len() + prefix.len() + 2 + name.len());
        get.arg("GET");
        let mut writer = get.writer_for_next_arg();
        for part in [prefix.as_bytes(), &[kind as u8, b':'], name.as_bytes()] {
            // It writes to memory.
            let _ = writer.write_all(part);
        }
        drop(writer);
        let answer = self.inner.deadlines.keep(live.ask_one(&get)).await;
        let answer = self.concluded(operation, &live, answer)?;
        if let Value::BulkString(bytes) = &answer {
            self.gathering(0).has_read(bytes.len());
        }
        Ok(answer)
    }
}

/// A command of a name and arguments, which takes exactly the room that it needs.
pub(crate) fn command<const N: usize>(name: &str, arguments: [&[u8]; N]) -> Cmd {
    let bytes = name.len() + arguments.iter().map(|argument| argument.len()).sum::<usize>();
    let mut command = Cmd::with_capacity(1 + N, bytes);
    command.arg(name);
    for argument in arguments {
        command.arg(argument);
    }
    command
}
