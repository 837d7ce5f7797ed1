//! Changes that go through all tiers: below first, then memory, in one piece.
//!
//! ```text
//! insert    turn of the key ► tiers, last to first ► memory, under the seal of the fence ► news
//! end       seal ► memory ► turn of the key, or until nobody writes ► tiers ► seal ► memory again: what was read below meanwhile ► news
//! ```
//!
//! Each runs as a task of its own, so that a caller who goes away leaves nothing half done. A cache in memory alone never comes here.

use std::sync::Arc;

use cache_core::{CacheKey, Key, Ttl};
use cache_invalidation::{Action, Target};
use cache_memory::Inserted;
use tokio::sync::oneshot;

use crate::below::Below;
use crate::cache::Shared;
use crate::fence::Ticket;
use crate::hit::Hit;
use crate::sync::Handle;
use crate::tiers::{Group, Turn};
use crate::write::Record;

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// Stores values in all tiers, and says what has become of each in memory.
    pub(crate) async fn insert_through(self: &Arc<Self>, entries: Vec<(K, Record<V>)>) -> Vec<Inserted> {
        let shared = Arc::clone(self);
        let work = async move {
            let rendered: Vec<Option<Key>> =
                entries.iter().map(|(key, _)| shared.namespace.render(key).ok()).collect();
            let ticket = |(key, _): &(K, Record<V>)| Some(shared.teller.as_ref()?.heard().ticket(key));
            let begun: Vec<Option<Ticket>> = entries.iter().map(ticket).collect();
            let mut turn = None;
            if let Some(below) = &shared.below {
                let keys: Vec<Key> = rendered.iter().flatten().cloned().collect();
                let turn = turn.insert(below.tiers.turn(&keys).await);
                shared.put_below(below, turn, rendered.into_iter().zip(&entries)).await;
            }
            let insert = |((key, record), begun): (&(K, Record<V>), Option<Ticket>)| {
                shared.insert_since(begun, key, record)
            };
            let inserted = entries.iter().zip(begun).map(insert).collect();
            drop(turn);
            // What others have is older: as a copy to fall back on it is as good as any.
            shared.tell_keys(entries.iter().map(|(key, _)| key), Action::Expire).await;
            inserted
        };
        whole(work).await.unwrap_or_default()
    }

    async fn put_below<'a>(
        &self,
        below: &Below<V>,
        turn: &Turn<'_>,
        entries: impl Iterator<Item = (Option<Key>, &'a (K, Record<V>))>,
    ) {
        let now = self.memory.clock().now();
        let (mut puts, mut removals) = (Vec::new(), Vec::new());
        for (key, (_, record)) in entries {
            let Some(key) = key else { continue };
            match below.entry(&key, record, now) {
                Some(entry) => {
                    record.told(below.stamp(&key, &entry.value));
                    puts.push((key, entry));
                }
                // What stands below is no longer true, though this cannot stand there.
                None => removals.push(key),
            }
        }
        below.tiers.put(turn, puts).await;
        below.tiers.remove(turn, &removals, self.versions.next()).await;
    }

    /// Ends values in all tiers and says how many there were.
    pub(crate) async fn end_through(self: &Arc<Self>, keys: Vec<K>, action: Action) -> u64 {
        let shared = Arc::clone(self);
        let work = async move {
            let end = |key: &&K| match action {
                Action::Expire => shared.expire(*key),
                Action::Remove => shared.remove(*key),
            };
            let mut ended = keys.iter().filter(end).count() as u64;
            if let Some(below) = &shared.below {
                let rendered: Vec<Key> =
                    keys.iter().filter_map(|key| shared.namespace.render(key).ok()).collect();
                let turn = below.tiers.turn(&rendered).await;
                ended = ended.max(below.tiers.remove(&turn, &rendered, shared.versions.next()).await);
                keys.iter().filter(end).count();
            }
            shared.tell_keys(&keys, action).await;
            ended
        };
        whole(work).await.unwrap_or_default()
    }

    /// Ends a group in all tiers, in memory by `end`, and says how many values that were in memory.
    pub(crate) async fn end_group_through(
        self: &Arc<Self>,
        group: Option<Group>,
        (target, action): (Target, Action),
        end: impl Fn(&Self) -> u64 + Send + Sync + 'static,
    ) -> u64 {
        let shared = Arc::clone(self);
        let work = async move {
            let ended = end(&shared);
            if let (Some(below), Some(group)) = (&shared.below, group) {
                below.tiers.quiet().await;
                below.tiers.remove_group(&group, action).await;
                end(&shared);
            }
            if let Some(teller) = &shared.teller {
                teller.tell(vec![target], action, shared.versions.next()).await;
            }
            ended
        };
        whole(work).await.unwrap_or_default()
    }

    /// Gives a value a new life below memory, and says whether it was there.
    pub(crate) async fn touch_below<Q: CacheKey + ?Sized>(&self, key: &Q, ttl: Ttl) -> bool {
        let Some((below, rendered)) = self.below_key(key) else { return false };
        let turn = below.tiers.turn(std::slice::from_ref(&rendered)).await;
        below.tiers.touch(&turn, &rendered, ttl).await
    }

    /// Reads many values, those that memory does not have from below.
    pub(crate) async fn get_many_below(self: &Arc<Self>, keys: &[K], answers: &mut [Option<Hit<V>>]) {
        let Some(below) = &self.below else { return };
        let missing = (0..keys.len()).filter(|at| answers[*at].is_none());
        let asked = missing.filter_map(|at| Some((at, self.namespace.render(&keys[at]).ok()?)));
        let (places, rendered): (Vec<usize>, Vec<Key>) = asked.unzip();
        if rendered.is_empty() {
            return;
        }
        let tickets: Vec<_> = places.iter().map(|at| self.fence.ticket(&keys[*at])).collect();
        let options = self.defaults.get();
        let (found, silent) = below.fetch(&rendered, &options, || self.memory.clock().now()).await;
        for (((at, rendered), ticket), found) in places.into_iter().zip(rendered).zip(tickets).zip(found) {
            let answer = found.and_then(|found| self.take_found((keys[at].clone(), rendered), found, ticket));
            answers[at] = answer.or_else(|| self.copy(&keys[at], silent));
        }
    }
}

/// Runs work to its end, whether or not its caller waits for it. `None` if it panics or its runtime ends.
pub(crate) async fn whole<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let Ok(runtime) = Handle::try_current() else { return Some(work.await) };
    let (done, outcome) = oneshot::channel();
    runtime.spawn(async move { drop(done.send(work.await)) });
    outcome.await.ok()
}
