//! What a tier could not be told: the newest of each key, and the removals of groups, until it can be.
//!
//! While something is in here, what the tier says of it is not believed. The list is bounded. What does not fit any more becomes less
//! exact and never wrong: values give way to removals of their keys, those that end sooner first, and keys and groups to the removal of
//! everything that this cache has there.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cache_core::{Entry, Key, Rest, Tags, Time};
use cache_invalidation::Action;
use tokio::sync::Notify;

use super::tell::Group;

/// How many keys wait at most.
const MAX_KEYS: usize = 10_000;
/// How many removals of groups wait at most.
const MAX_GROUPS: usize = 64;
/// How many keys are told between two parts of groups: about as much work as a part.
const KEYS_BETWEEN: usize = 16;
/// How many bytes of values wait at most.
const MAX_BYTES: usize = 16 << 20;

pub(super) struct Backlog {
    /// Everything that the cache has at the tier.
    all: Group,
    waiting: Mutex<Waiting>,
    /// The number of what waits, so that nobody locks for nothing.
    count: AtomicU64,
    overflows: AtomicU64,
    given_up: AtomicU64,
    repaired: AtomicU64,
    emptied: Notify,
}

#[derive(Default)]
struct Waiting {
    /// What each is owed, and since which moment.
    keys: HashMap<Key, (Owed, Moment)>,
    /// The one whose turn it is first.
    groups: VecDeque<OwedGroup>,
    /// How many keys are told before it is the turn of a group again.
    keys_left: usize,
    /// How many keys are passed by, because they could not be told.
    passed: usize,
    bytes: usize,
    /// How often something was owed.
    made: u64,
    /// Whether somebody is at work on it.
    is_attended: bool,
}

/// A group that is to be removed.
#[derive(Clone)]
pub(super) struct OwedGroup {
    pub(super) group: Group,
    /// When it was owed last.
    pub(super) moment: Moment,
    /// What others are to be told when it is done.
    pub(super) action: Action,
    /// Where its removal goes on; `None` before its first part.
    pub(super) rest: Option<Rest>,
}

/// A moment in what is owed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(u64);

/// What is owed to a key.
#[derive(Clone)]
pub(super) struct Owed {
    /// The value; `None` if it is to be removed.
    pub(super) entry: Option<Entry>,
    pub(super) version: u64,
    pub(super) since: Time,
}

/// The next thing to do.
pub(super) enum Next {
    /// A part of a group.
    Group(OwedGroup),
    Key(Key),
}

/// What waited at some moment.
#[derive(Default)]
pub(super) struct Doubted {
    keys: HashSet<Key>,
    groups: Vec<Group>,
}

impl Doubted {
    pub(super) fn contains(&self, key: &Key, tags: &Tags) -> bool {
        self.keys.contains(key) || self.groups.iter().any(|group| group.contains(key, tags))
    }
}

#[derive(Clone, Copy)]
pub(super) struct BacklogStats {
    pub(super) waiting: u64,
    pub(super) overflows: u64,
    pub(super) given_up: u64,
    pub(super) repaired: u64,
}

impl Backlog {
    pub(super) fn new(all: Group) -> Self {
        Self {
            all,
            waiting: Mutex::default(),
            count: AtomicU64::new(0),
            overflows: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            repaired: AtomicU64::new(0),
            emptied: Notify::new(),
        }
    }

    /// Notes what a key is owed, in place of what it was owed before.
    pub(super) fn owe(&self, key: Key, owed: Owed) {
        let mut waiting = self.lock();
        let Waiting { keys, bytes, made, .. } = &mut *waiting;
        *made += 1;
        *bytes += owed.bytes();
        let (size, newest) = (owed.bytes(), Moment(*made));
        if let Some((before, _)) = keys.insert(key, (owed, newest)) {
            *bytes -= before.bytes();
        }
        let is_full = keys.len() > MAX_KEYS;
        let given_up = if is_full { 0 } else { waiting.fit(newest, size) };
        self.given_up.fetch_add(given_up, Relaxed);
        self.settle(&mut waiting, is_full);
    }

    /// Notes that a group is to be removed, or the `rest` of it.
    pub(super) fn owe_group(&self, group: Group, action: Action, rest: Option<Rest>) {
        let mut waiting = self.lock();
        waiting.overtake(|key, tags| group.contains(key, tags));
        waiting.made += 1;
        let moment = Moment(waiting.made);
        let groups = &mut waiting.groups;
        match groups.iter_mut().find(|owed| owed.group == group) {
            // A removal of it that is on its way may have been too early, and so may its parts.
            Some(owed) => {
                (owed.moment, owed.rest) = (moment, None);
                owed.action = owed.action.max(action);
            }
            None => groups.push_back(OwedGroup { group, moment, action, rest }),
        }
        let is_full = groups.len() > MAX_GROUPS;
        self.settle(&mut waiting, is_full);
    }

    /// The tier has removed this group: what waits of it is older.
    pub(super) fn overtake(&self, group: &Group) {
        if self.count.load(Relaxed) > 0 {
            self.lock().overtake(|key, tags| group.contains(key, tags));
        }
    }

    /// Counts, and makes room where there is none.
    fn settle(&self, waiting: &mut Waiting, is_full: bool) {
        if is_full {
            self.overflows.fetch_add(1, Relaxed);
            tracing::warn!("more waits for a tier than can be remembered: all of the cache is removed there");
            waiting.keys.clear();
            waiting.bytes = 0;
            waiting.made += 1;
            waiting.groups = VecDeque::from([self.whole(waiting)]);
        }
        self.count.store((waiting.keys.len() + waiting.groups.len()) as u64, Relaxed);
    }

    /// Whether something waits, or the tier is away, and nobody attends to it; whoever is told so does from now on.
    pub(super) fn begins(&self, is_away: bool) -> bool {
        (is_away || self.count.load(Relaxed) > 0) && !std::mem::replace(&mut self.lock().is_attended, true)
    }

    /// Whether what the tier says of this key, with these tags, is not to be believed.
    pub(super) fn doubts(&self, key: &Key, tags: &Tags) -> bool {
        if self.count.load(Relaxed) == 0 {
            return false;
        }
        let waiting = self.lock();
        waiting.keys.contains_key(key) || waiting.groups.iter().any(|owed| owed.group.contains(key, tags))
    }

    /// What waits now, for whoever is about to ask the tier: it may be told of that before the answer, which is older, is here.
    pub(super) fn doubted(&self, keys: &[Key]) -> Doubted {
        if self.count.load(Relaxed) == 0 {
            return Doubted::default();
        }
        let waiting = self.lock();
        let keys = keys.iter().filter(|key| waiting.keys.contains_key(*key)).cloned().collect();
        Doubted { keys, groups: waiting.groups.iter().map(|owed| owed.group.clone()).collect() }
    }

    /// Now.
    pub(super) fn moment(&self) -> Moment {
        Moment(self.lock().made)
    }

    /// The tier has been told of this key what is newer than all that was owed at that moment. What has come since may be newer.
    pub(super) fn written(&self, key: &Key, moment: Moment) {
        if self.count.load(Relaxed) > 0 {
            let mut waiting = self.lock();
            if waiting.keys.get(key).is_some_and(|(_, since)| since.0 <= moment.0) {
                self.forget(&mut waiting, key);
            }
        }
    }

    /// The tier has nothing of this key any more.
    pub(super) fn settled(&self, key: &Key) {
        if self.count.load(Relaxed) > 0 {
            self.forget(&mut self.lock(), key);
        }
    }

    /// What is to be told next: groups first, but after a part of one that is not done yet it is the turn of others, and of some keys, so
    /// that a removal of millions holds up no other. `None`, and nobody attends any more, if there is nothing.
    pub(super) fn next(&self) -> Option<Next> {
        let mut waiting = self.lock();
        let Waiting { keys, groups, keys_left, passed, .. } = &mut *waiting;
        if let Some(owed) = groups.front()
            && (*keys_left == 0 || keys.is_empty())
        {
            return Some(Next::Group(owed.clone()));
        }
        if let Some(first) = keys.keys().next() {
            *keys_left = keys_left.saturating_sub(1);
            return Some(Next::Key(keys.keys().nth(*passed % keys.len()).unwrap_or(first).clone()));
        }
        waiting.is_attended = false;
        self.emptied.notify_waiters();
        None
    }

    /// Waits until whoever attends to it finds nothing left to tell.
    pub(super) async fn emptied(&self) {
        loop {
            let mut emptied = pin!(self.emptied.notified());
            // What happens from here on is not missed.
            emptied.as_mut().enable();
            if self.count.load(Relaxed) == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// What the key is owed by now.
    pub(super) fn owed(&self, key: &Key) -> Option<Owed> {
        self.lock().keys.get(key).map(|(owed, _)| owed.clone())
    }

    /// This group will never be removed there by itself: all of the cache is to be, or, if that is the group, nothing.
    pub(super) fn owe_all(&self, group: &Group) {
        let mut waiting = self.lock();
        waiting.made += 1;
        let all = self.whole(&waiting);
        waiting.groups.retain(|owed| owed.group != *group && owed.group != self.all);
        if *group != self.all {
            waiting.groups.push_back(all);
        }
        self.settle(&mut waiting, false);
    }

    /// The value that a key is owed will never be taken: the key is to be removed instead.
    pub(super) fn owe_removal(&self, key: &Key) {
        let mut waiting = self.lock();
        let Waiting { keys, bytes, .. } = &mut *waiting;
        if let Some((owed, _)) = keys.get_mut(key) {
            *bytes -= owed.bytes();
            owed.entry = None;
        }
    }

    /// The tier has been told of this key, as it stood in here.
    pub(super) fn repaired(&self, key: &Key) {
        self.repaired.fetch_add(1, Relaxed);
        self.forget(&mut self.lock(), key);
    }

    /// The tier has removed this group, as it was owed at that moment: if it was owed again since, it still is.
    pub(super) fn repaired_group(&self, group: &Group, moment: Moment) {
        self.repaired.fetch_add(1, Relaxed);
        let mut waiting = self.lock();
        waiting.groups.retain(|owed| owed.group != *group || owed.moment != moment);
        self.count.store((waiting.keys.len() + waiting.groups.len()) as u64, Relaxed);
    }

    /// The tier has removed a part of this group, as it was owed at that moment: if it was owed again since, that is to begin anew.
    pub(super) fn went_on(&self, group: &Group, moment: Moment, rest: &Rest) {
        if let Some(owed) = self.lock().give_way(group).filter(|owed| owed.moment == moment) {
            owed.rest = Some(rest.clone());
        }
    }

    /// This group could not be removed at the moment: others come first.
    pub(super) fn defer_group(&self, group: &Group) {
        self.lock().give_way(group);
    }

    /// The key whose turn it was could not be told at the moment: others come first.
    pub(super) fn defer_key(&self) {
        let mut waiting = self.lock();
        waiting.passed = waiting.passed.wrapping_add(1);
    }

    /// Nobody attends to it any more.
    pub(super) fn leave(&self) {
        self.lock().is_attended = false;
    }

    pub(super) fn stats(&self) -> BacklogStats {
        BacklogStats {
            waiting: self.count.load(Relaxed),
            overflows: self.overflows.load(Relaxed),
            given_up: self.given_up.load(Relaxed),
            repaired: self.repaired.load(Relaxed),
        }
    }

    /// The removal of all, in place of what could not be remembered or removed by itself.
    fn whole(&self, waiting: &Waiting) -> OwedGroup {
        let action = waiting.groups.iter().map(|owed| owed.action).max().unwrap_or(Action::Expire);
        OwedGroup { group: self.all.clone(), moment: Moment(waiting.made), action, rest: None }
    }

    fn forget(&self, waiting: &mut Waiting, key: &Key) {
        if let Some((owed, _)) = waiting.keys.remove(key) {
            waiting.bytes -= owed.bytes();
        }
        self.count.store((waiting.keys.len() + waiting.groups.len()) as u64, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Has values give way to removals of their keys until the rest fits, and says how many. The one that has just come goes first if it
    /// never fits; else those that end sooner. It looks at all that waits, 10,000 keys at most, whenever there is no room.
    fn fit(&mut self, newest: Moment, size: usize) -> u64 {
        if self.bytes <= MAX_BYTES {
            return 0;
        }
        if size > MAX_BYTES {
            self.give_up(|moment| moment == newest);
            return 1;
        }
        let values = self.keys.values().filter(|(owed, _)| owed.bytes() > 0);
        let ends = values.map(|(owed, moment)| Reverse((owed.ends(), moment.0, owed.bytes())));
        let mut soonest: BinaryHeap<_> = ends.collect();
        let (mut left, mut moments) = (self.bytes, HashSet::new());
        while left > MAX_BYTES
            && let Some(Reverse((_, moment, bytes))) = soonest.pop()
        {
            left -= bytes;
            moments.insert(moment);
        }
        self.give_up(|moment| moments.contains(&moment.0));
        moments.len() as u64
    }

    fn give_up(&mut self, is_meant: impl Fn(Moment) -> bool) {
        for (owed, _) in self.keys.values_mut().filter(|(_, moment)| is_meant(*moment)) {
            self.bytes -= owed.bytes();
            owed.entry = None;
        }
    }

    /// Puts a group behind all others, and behind some keys.
    fn give_way(&mut self, group: &Group) -> Option<&mut OwedGroup> {
        let at = self.groups.iter().position(|owed| owed.group == *group)?;
        let owed = self.groups.remove(at)?;
        self.groups.push_back(owed);
        self.keys_left = KEYS_BETWEEN;
        self.groups.back_mut()
    }

    fn overtake(&mut self, is_meant: impl Fn(&Key, &Tags) -> bool) {
        for (key, (owed, _)) in &mut self.keys {
            if owed.entry.as_ref().is_some_and(|entry| is_meant(key, &entry.meta.tags)) {
                self.bytes -= owed.bytes();
                owed.entry = None;
            }
        }
    }
}

impl Owed {
    /// When its value is of no use to anybody any more.
    fn ends(&self) -> Time {
        let life = self.entry.as_ref().and_then(|entry| entry.meta.keep_for().finite());
        life.map_or(Time::NEVER, |life| self.since.after(life))
    }

    fn bytes(&self) -> usize {
        self.entry.as_ref().map_or(0, |entry| entry.value.len())
    }
}

#[cfg(test)]
mod tests {
    use cache_core::Tag;

    use super::*;

    #[test]
    fn what_waited_when_the_tier_was_asked_is_doubted_though_it_is_told_before_the_answer() {
        let backlog = Backlog::new(Group::All("c".into()));
        let [key, tagged, other] = ["c:1", "c:2", "c:3"].map(|text| Key::new(text).expect("legal"));
        let tags = Tags::new(["c:t"]).expect("legal");
        let group = Group::Tag(Tag::new("c:t").expect("legal"));
        backlog.owe(key.clone(), Owed { entry: None, version: 1, since: Time::ZERO });
        backlog.owe_group(group, Action::Remove, None);
        let doubted = backlog.doubted(&[key.clone(), tagged.clone(), other.clone()]);
        backlog.repaired(&key);
        let Some(Next::Group(OwedGroup { group, moment, .. })) = backlog.next() else { panic!("it is owed") };
        backlog.repaired_group(&group, moment);
        assert!(!backlog.doubts(&key, &Tags::NONE) && !backlog.doubts(&tagged, &tags));
        assert!(doubted.contains(&key, &Tags::NONE) && doubted.contains(&tagged, &tags));
        assert!(!doubted.contains(&other, &Tags::NONE));
        assert!(!backlog.doubted(std::slice::from_ref(&key)).contains(&key, &tags));
    }

    #[test]
    fn a_group_that_is_owed_again_while_it_is_removed_is_still_owed() {
        let (backlog, key) = (Backlog::new(Group::All("c".into())), Key::new("c:1").expect("legal"));
        let group = Group::Prefix("c:".into());
        backlog.owe_group(group.clone(), Action::Remove, None);
        let Some(Next::Group(OwedGroup { moment: begun, .. })) = backlog.next() else { panic!("it is owed") };
        backlog.owe_group(group.clone(), Action::Remove, None);
        backlog.repaired_group(&group, begun);
        assert!(backlog.doubts(&key, &Tags::NONE), "what was written between the two is to be removed");
        let Some(Next::Group(OwedGroup { moment: again, .. })) = backlog.next() else { panic!("it is owed") };
        backlog.repaired_group(&group, again);
        assert!(!backlog.doubts(&key, &Tags::NONE) && backlog.next().is_none());
    }

    #[test]
    fn a_group_that_is_owed_again_while_its_parts_are_removed_begins_anew() {
        let backlog = Backlog::new(Group::All("c".into()));
        let group = Group::Prefix("c:".into());
        backlog.owe_group(group.clone(), Action::Expire, Some(Rest::new(1_u8)));
        let part = || {
            let Some(Next::Group(owed)) = backlog.next() else { panic!("it is owed") };
            (owed.action, owed.moment, owed.rest.and_then(|rest| rest.downcast_ref::<u8>().copied()))
        };
        let (action, begun, rest) = part();
        assert_eq!((action, rest), (Action::Expire, Some(1)), "where its caller has come to");
        backlog.went_on(&group, begun, &Rest::new(2_u8));
        assert_eq!(part().2, Some(2));
        backlog.owe_group(group.clone(), Action::Remove, Some(Rest::new(7_u8)));
        assert_eq!(part().2, None, "what was written since is behind both");
        backlog.went_on(&group, begun, &Rest::new(3_u8));
        let (action, again, rest) = part();
        assert_eq!((action, rest), (Action::Remove, None), "that was a part of the one before");
        backlog.repaired_group(&group, again);
        assert!(backlog.next().is_none());
    }

    #[test]
    fn a_group_of_many_parts_holds_up_neither_others_nor_keys() {
        let backlog = Backlog::new(Group::All("c".into()));
        let (long, short) = (Group::Prefix("c:long".into()), Group::Prefix("c:short".into()));
        backlog.owe_group(long.clone(), Action::Remove, None);
        backlog.owe_group(short.clone(), Action::Remove, None);
        let keys = (0..3).map(|number| Key::new(format!("c:{number}")).expect("legal"));
        for key in keys {
            backlog.owe(key, Owed { entry: None, version: 1, since: Time::ZERO });
        }
        let (mut parts, mut told, mut hangs) = (0, HashSet::new(), None);
        while told.len() < 3 || backlog.doubts(&Key::new("c:short").expect("legal"), &Tags::NONE) {
            match backlog.next() {
                Some(Next::Group(OwedGroup { group, moment, .. })) if group == long => {
                    parts += 1;
                    backlog.went_on(&group, moment, &Rest::new(parts));
                }
                Some(Next::Group(OwedGroup { group, moment, .. })) => backlog.repaired_group(&group, moment),
                Some(Next::Key(key)) => {
                    told.insert(key.clone());
                    if *hangs.get_or_insert_with(|| key.clone()) == key {
                        backlog.defer_key();
                    } else {
                        backlog.repaired(&key);
                    }
                }
                None => panic!("it is owed"),
            }
            assert!(parts < 3, "{} keys were told after {parts} parts", told.len());
        }
        backlog.defer_group(&long);
        assert_eq!(backlog.stats().waiting, 2, "what is long, and what hangs");
    }
}
