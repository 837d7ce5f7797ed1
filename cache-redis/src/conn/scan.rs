//! A page of the keys of one server, and where the next one begins.

use std::pin::pin;
use std::sync::Arc;

use cache_core::Result;
use redis::{Cmd, Value};

use super::Connection;
use super::live::Live;
use super::node::Node;
use crate::fault::Fault;

/// How many keys a server looks at for one page: less than half a millisecond, where 1,000 were 1.2 to 5.3.
const SCANNED: usize = 250;

/// Where the next page of a server begins. A cursor means something to the process that gave it: the one at the other end of the connection,
/// or, on another connection, the one with this `run_id`.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    number: u64,
    connection: u64,
    run: Option<Arc<str>>,
}

impl Connection {
    /// The names at this server that match a pattern, of the next page, and where the one after it begins. Where another process answers than
    /// the one that gave the cursor, or nobody can tell, that is the first page again.
    pub(crate) async fn scan(
        &self,
        operation: &'static str,
        node: &Node,
        pattern: &[u8],
        from: Option<&Cursor>,
    ) -> Result<(Option<Cursor>, Vec<Vec<u8>>)> {
        let page = pin!(async {
            let _place = self.place().await?;
            let live = node.live(0).await?;
            let from = match from {
                Some(from) => self.known(from, &live).await?,
                None => None,
            };
            let number = from.as_ref().map_or(0, |from| from.number);
            let mut scan = redis::cmd("SCAN");
            scan.arg(number).arg("MATCH").arg(pattern).arg("COUNT").arg(SCANNED);
            let page = self.ask_there(&live, &scan).await?;
            let (number, names) = redis::from_redis_value(page).map_err(|_| Fault::Odd)?;
            let next = match (number, from) {
                (0, _) => None,
                (_, Some(from)) => Some(Cursor { number, ..from }),
                (_, None) => Some(Cursor { number, connection: live.id(), run: self.process(&live).await? }),
            };
            Ok((next, names))
        });
        self.within(operation, page).await
    }

    /// This cursor on this connection, if it means anything there.
    async fn known(&self, from: &Cursor, live: &Live) -> Result<Option<Cursor>, Fault> {
        if from.connection == live.id() {
            return Ok(Some(from.clone()));
        }
        let is_same = from.run.is_some() && self.process(live).await? == from.run;
        Ok(is_same.then(|| Cursor { connection: live.id(), ..from.clone() }))
    }

    /// Whether this server of a Cluster is being given a slot, key by key, that is another's still. Who may not ask is told that it is not.
    pub(crate) async fn is_importing(&self, operation: &'static str, node: &Node) -> Result<bool> {
        let asked = pin!(async {
            let _place = self.place().await?;
            let live = node.live(0).await?;
            Ok(self.told(&live, redis::cmd("CLUSTER").arg("NODES")).await?.is_some_and(|told| imports(&told)))
        });
        self.within(operation, asked).await
    }

    /// Which process this is; `None` where that may not be asked for.
    async fn process(&self, live: &Live) -> Result<Option<Arc<str>>, Fault> {
        let told = self.told(live, redis::cmd("INFO").arg("server")).await?;
        Ok(told.and_then(|told| told.lines().find_map(|line| Some(line.strip_prefix("run_id:")?.into()))))
    }

    /// What a server tells about itself; `None` where it will not.
    async fn told(&self, live: &Live, command: &Cmd) -> Result<Option<String>, Fault> {
        match self.ask_there(live, command).await {
            Ok(told) => redis::from_redis_value(told).map(Some).map_err(|_| Fault::Odd),
            Err(Fault::Redis(error)) if error.code().is_some() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    async fn ask_there(&self, live: &Live, command: &Cmd) -> Result<Value, Fault> {
        self.answered(live.ask_one(command).await)
    }
}

/// Whether who tells this of all servers says of itself that a slot comes in, as in `[93-<-292f8b365bb7...]`.
fn imports(told: &str) -> bool {
    let fields = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let own =
        told.lines().map(fields).find(|fields| fields.get(2).is_some_and(|flags| flags.contains("myself")));
    own.is_some_and(|fields| fields.iter().any(|field| field.starts_with('[') && field.contains("-<-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_given_a_slot_says_so_of_itself_alone() {
        let line = |flags: &str, slots: &str| {
            format!("07c3 127.0.0.1:7000@17000 {flags} - 0 0 1 connected {slots}\n")
        };
        let other = line("master", "0-5 [7-<-292f]");
        for (own, is_importing) in [
            (line("myself,master", "6-9"), false),
            (line("myself,master", "6-9 [6->-292f]"), false),
            (line("myself,master", "6-9 [6->-292f] [10-<-292f]"), true),
            (String::new(), false),
        ] {
            assert_eq!(imports(&[other.clone(), own.clone()].concat()), is_importing, "{own}");
        }
        assert!(!imports("") && !imports("\n \n[1-<-2]\n"));
    }
}
