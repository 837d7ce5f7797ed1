//! A removal by prefix: a walk through the keys of all servers, a page at a time, which may be left and gone on with.
//!
//! ```text
//! server ── page ── page ── ... ── page ─► the next one ─► ... ─► has anybody got slots meanwhile, or is being given one? ── no ─► the end
//!   ▲                                                                                         └─── yes ── that one from its first page
//!   └── from its first page where another process answers, as after a restart or a failover
//! ```

use std::sync::Arc;

use cache_core::{Part, Removed, Rest, Result};

use crate::conn::{Cursor, Node, Table};
use crate::fault::Fault;
use crate::store::RedisStore;

const OPERATION: &str = "remove_prefix";
/// How often a Cluster is waited for that does not tell who has which slots, each time for half of a command's timeout.
const MOST_WAITS: u32 = 20;

/// Where a walk has come to.
#[derive(Clone, Debug)]
struct Walk {
    pattern: Arc<[u8]>,
    /// The servers that have been walked through, of the last one maybe only a part, and who had which slots when that began.
    begun: Vec<(Arc<Node>, Arc<Table>)>,
    /// Where the last one is to be gone on with; `None` if it is done.
    next: Option<Cursor>,
    /// How often a Cluster had been asked for its slots when all servers were done: a later answer tells whether they still are all.
    asked: Option<u64>,
    waits: u32,
    /// Those that were walked through once more when all others were done, because they were being given a slot.
    again: Vec<Arc<Node>>,
}

impl Walk {
    fn new(pattern: Arc<[u8]>) -> Self {
        Self { pattern, begun: Vec::new(), next: None, asked: None, waits: 0, again: Vec::new() }
    }

    /// The server whose turn it is, if not all are done.
    fn server(&mut self, table: &Arc<Table>) -> Option<Arc<Node>> {
        // What has come with a slot may have come from a server that was not done.
        let is_whole =
            |(node, then): &(Arc<Node>, Arc<Table>)| table.has(node) && !table.has_gained(node, then);
        if !self.begun.last().is_some_and(is_whole) {
            self.next = None;
        }
        self.begun.retain(is_whole);
        if self.next.is_none() {
            let is_new = |node: &&Arc<Node>| !self.begun.iter().any(|(known, _)| Arc::ptr_eq(known, node));
            let new = Arc::clone(table.nodes().find(is_new)?);
            self.begun.push((new, Arc::clone(table)));
        }
        self.begun.last().map(|(node, _)| Arc::clone(node))
    }
}

impl RedisStore {
    /// Removes what stands on the next page.
    pub(crate) async fn remove_page(&self, prefix: &str, from: Option<&Rest>) -> Result<Part> {
        let redis = self.connection();
        let pattern = [glob(&redis.name('e', prefix)), b"*".to_vec()].concat();
        let left = from.and_then(Rest::downcast_ref::<Walk>).filter(|walk| *walk.pattern == *pattern);
        let mut walk = left.cloned().unwrap_or_else(|| Walk::new(pattern.into()));
        let table = redis.table(OPERATION, walk.asked).await?;
        let mut removed = 0;
        if let Some(node) = walk.server(&table) {
            if walk.next.is_none() {
                // What was asked for before and is still on its way is to be found, too.
                redis.settle(OPERATION, &node).await?;
            }
            let (next, names) = redis.scan(OPERATION, &node, &walk.pattern, walk.next.as_ref()).await?;
            removed = self.unlink(OPERATION, names).await?;
            (walk.next, walk.asked, walk.waits) = (next, None, 0);
        } else {
            let asked = *walk.asked.get_or_insert_with(|| redis.asked_for_tables());
            if table.is_newer(asked) {
                let Some(importing) = self.importing(&walk).await? else {
                    return Ok(Part { removed: Removed::Exactly(0), rest: None });
                };
                walk.begun.retain(|(node, _)| !Arc::ptr_eq(node, &importing));
                walk.again.push(importing);
            } else if walk.waits == MOST_WAITS {
                return Err(Fault::Late.during(OPERATION, false));
            } else {
                walk.waits += 1;
            }
        }
        Ok(Part { removed: Removed::Exactly(removed), rest: Some(Rest::new(walk)) })
    }

    /// A server that is being given a slot key by key, of which some may have come, since it was done, from one that was not. Once more is
    /// enough: by then all others have been walked through, so what comes later has been written later.
    async fn importing(&self, walk: &Walk) -> Result<Option<Arc<Node>>> {
        if !self.connection().is_cluster() {
            return Ok(None);
        }
        for (node, _) in &walk.begun {
            let is_new = !walk.again.iter().any(|known| Arc::ptr_eq(known, node));
            if is_new && self.connection().is_importing(OPERATION, node).await? {
                return Ok(Some(Arc::clone(node)));
            }
        }
        Ok(None)
    }
}

/// A text that matches itself, as a glob.
fn glob(text: &[u8]) -> Vec<u8> {
    let escaped = |byte: &u8| if b"*?[]\\^-".contains(byte) { vec![b'\\', *byte] } else { vec![*byte] };
    text.iter().flat_map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_escaped_where_it_would_be_a_pattern() {
        assert_eq!(glob(b"a*b?[c-d]\\^"), br"a\*b\?\[c\-d\]\\\^");
        assert_eq!(glob("größe:7".as_bytes()), "größe:7".as_bytes());
    }
}
