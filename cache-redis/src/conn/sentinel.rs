//! Sentinels: who is the primary at the moment.
//!
//! All are asked at once, so that one that hangs delays nobody for longer than the connect timeout. What most of them name is
//! tried first, and believed when it says itself that it is a primary.

use std::sync::Arc;

use futures_util::future;
use redis::Value;
use tokio::time::timeout;

use super::dial::Dialer;
use super::live::Live;
use crate::clock::ServerClock;
use crate::config::Address;
use crate::driver::Question;
use crate::fault::Fault;

#[derive(Clone, Debug)]
pub(crate) struct Sentinels {
    dialer: Arc<Dialer>,
    name: String,
}

impl Sentinels {
    pub(crate) fn new(dialer: Arc<Dialer>, name: String) -> Self {
        Self { dialer, name }
    }

    /// Whom most of them name.
    pub(crate) async fn primary(&self) -> Result<Address, Fault> {
        self.candidates().await?.into_iter().next().ok_or_else(nobody)
    }

    /// Connects to the primary.
    pub(crate) async fn connect(&self, clock: &ServerClock) -> Result<Live, Fault> {
        let mut last = nobody();
        for address in self.candidates().await? {
            match self.connect_to(&address, clock).await {
                Ok(live) => return Ok(live),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    /// Connects to this server, if it says in time that it is a primary.
    async fn connect_to(&self, address: &Address, clock: &ServerClock) -> Result<Live, Fault> {
        let live = self.dialer.to_server(address, clock).await?;
        let asked = timeout(self.dialer.config().connect_timeout, is_primary(&live)).await;
        if asked.unwrap_or(Err(Fault::Late))? {
            Ok(live)
        } else {
            Err(Fault::Down(format!("{address}, which Sentinel names, is no primary")))
        }
    }

    /// Who is named, by the most first.
    async fn candidates(&self) -> Result<Vec<Address>, Fault> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        let ask = |address| self.dialer.ask_sentinel(address, &command);
        let answers = future::join_all(self.dialer.config().addresses.iter().map(ask)).await;
        let mut votes: Vec<(Address, usize)> = Vec::new();
        let mut last = nobody();
        for answer in answers {
            match answer.map(|value| address(&value)) {
                Ok(Some(named)) => match votes.iter_mut().find(|(address, _)| *address == named) {
                    Some((_, count)) => *count += 1,
                    None => votes.push((named, 1)),
                },
                Ok(None) => {}
                Err(fault) => last = fault,
            }
        }
        if votes.is_empty() {
            return Err(last);
        }
        votes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Ok(votes.into_iter().map(|(address, _)| address).collect())
    }
}

fn nobody() -> Fault {
    Fault::Down("no Sentinel knows the primary".into())
}

fn address(answer: &Value) -> Option<Address> {
    let (host, port) = redis::from_redis_value_ref::<(String, u16)>(answer).ok()?;
    Some(Address::new(host, port))
}

async fn is_primary(live: &Live) -> Result<bool, Fault> {
    let role = live.ask(&Question::One(&redis::cmd("ROLE"))).await?;
    let Value::Array(parts) = role else { return Err(Fault::Odd) };
    Ok(parts
        .first()
        .is_some_and(|role| redis::from_redis_value_ref::<String>(role).is_ok_and(|role| role == "master")))
}
