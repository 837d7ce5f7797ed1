//! Who is told: listeners by namespace, called one after another.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::{Doubt, Event};

/// Somebody who holds copies, and hears when they are no longer true.
///
/// Both methods are called from the one task that receives, in the order of what it receives, so they should take
/// microseconds and must not block. A panic is counted, logged, and no concern of other listeners.
pub trait Listener: Send + Sync {
    /// This was changed by another process. It may be told twice, and late: what was removed already stays removed, and an
    /// older version moves nothing back.
    fn invalidated(&self, event: &Event);

    /// Something may have been missed: whatever was stored before this call is to be checked before it counts as fresh, and
    /// whatever is on its way into the store must not be stored as fresh.
    ///
    /// A doubt that [lasts](Doubt::is_lasting) is told when it begins and again, with the same reason, when it is over. In
    /// between [`Bus::is_whole`](crate::Bus::is_whole) is false, and nothing that is held counts as fresh.
    fn distrust(&self, why: Doubt);
}

/// Keeps a listener attached. Dropping it detaches the listener; a call that has begun may still be running then.
#[must_use = "dropping it detaches the listener"]
pub struct Attachment {
    listeners: Weak<Listeners>,
    namespace: String,
    number: u64,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(listeners) = self.listeners.upgrade() {
            listeners.detach(&self.namespace, self.number);
        }
    }
}

/// All that are attached to a bus.
#[derive(Default)]
pub(crate) struct Listeners {
    attached: Mutex<Attached>,
}

#[derive(Default)]
struct Attached {
    /// The number of the next one.
    next: u64,
    by_namespace: HashMap<String, Vec<Member>>,
}

#[derive(Clone)]
struct Member {
    number: u64,
    listener: Arc<dyn Listener>,
}

impl Listeners {
    pub(crate) fn attach(
        listeners: &Arc<Self>,
        namespace: String,
        listener: Arc<dyn Listener>,
    ) -> Attachment {
        let mut attached = listeners.attached.lock();
        let number = attached.next;
        attached.next += 1;
        attached.by_namespace.entry(namespace.clone()).or_default().push(Member { number, listener });
        drop(attached);
        Attachment { listeners: Arc::downgrade(listeners), namespace, number }
    }

    fn detach(&self, namespace: &str, number: u64) {
        let mut attached = self.attached.lock();
        let Some(members) = attached.by_namespace.get_mut(namespace) else { return };
        let at = members.iter().position(|member| member.number == number);
        let leaving = at.map(|at| members.remove(at));
        if members.is_empty() {
            attached.by_namespace.remove(namespace);
        }
        // Unlock first: with a listener may go a cache, and with it attachments, which take this lock.
        drop(attached);
        drop(leaving);
    }

    /// Tells those of the event's namespace, and returns how many of them have panicked.
    pub(crate) fn invalidated(&self, event: &Event) -> u64 {
        let members = self.attached.lock().by_namespace.get(event.namespace()).cloned();
        call(members.iter().flatten(), |listener| listener.invalidated(event))
    }

    /// Tells everybody, and returns how many have panicked.
    pub(crate) fn distrust(&self, why: Doubt) -> u64 {
        let (members, _) = self.since(0);
        call(members.iter(), |listener| listener.distrust(why))
    }

    /// Tells everybody, then does what has to be done when nobody is left who was not told. Who is attached during the calls is
    /// told as well; who is attached after them finds that done.
    pub(crate) fn distrust_and_then(&self, why: Doubt, done: impl FnOnce()) -> u64 {
        let (mut panics, mut told) = (0, 0);
        loop {
            let attached = self.attached.lock();
            if told == attached.next {
                done();
                return panics;
            }
            drop(attached);
            let (members, next) = self.since(told);
            panics += call(members.iter(), |listener| listener.distrust(why));
            told = next;
        }
    }

    /// Those with this number or a later one, in the order in which they came, and the number of the next one.
    fn since(&self, number: u64) -> (Vec<Member>, u64) {
        let attached = self.attached.lock();
        let members = attached.by_namespace.values().flatten().filter(|member| member.number >= number);
        let mut members: Vec<_> = members.cloned().collect();
        members.sort_by_key(|member| member.number);
        (members, attached.next)
    }
}

/// Calls each, with no lock held, as they may attach and detach.
fn call<'a>(members: impl Iterator<Item = &'a Member>, tell: impl Fn(&dyn Listener)) -> u64 {
    let panics = |member: &Member| catch_unwind(AssertUnwindSafe(|| tell(&*member.listener))).is_err();
    members.map(|member| u64::from(panics(member))).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

    use super::*;

    /// Attaches another one the first time it is told.
    struct Brings(Arc<Listeners>, Arc<Counts>, Mutex<Option<Attachment>>);

    #[derive(Default)]
    struct Counts(AtomicU64);

    impl Listener for Counts {
        fn invalidated(&self, _: &Event) {}

        fn distrust(&self, _: Doubt) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    impl Listener for Brings {
        fn invalidated(&self, _: &Event) {}

        fn distrust(&self, _: Doubt) {
            let attachment = Listeners::attach(&self.0, "n".into(), Arc::clone(&self.1) as _);
            *self.2.lock() = Some(attachment);
        }
    }

    #[test]
    fn who_comes_while_others_are_told_is_told_before_it_is_done() {
        let (listeners, late) = (Arc::<Listeners>::default(), Arc::<Counts>::default());
        let brings = Brings(Arc::clone(&listeners), Arc::clone(&late), Mutex::default());
        let _attachment = Listeners::attach(&listeners, "n".into(), Arc::new(brings));
        let done = AtomicBool::new(false);
        listeners.distrust_and_then(Doubt::Missed, || {
            assert_eq!(late.0.load(SeqCst), 1);
            done.store(true, SeqCst);
        });
        assert!(done.load(SeqCst));
    }

    #[test]
    fn nothing_is_left_of_who_was_detached() {
        let (listeners, counts) = (Arc::<Listeners>::default(), Arc::<Counts>::default());
        let pair =
            ["n", "m"].map(|name| Listeners::attach(&listeners, name.into(), Arc::clone(&counts) as _));
        listeners.distrust(Doubt::Missed);
        drop(pair);
        listeners.distrust(Doubt::Missed);
        assert_eq!((counts.0.load(SeqCst), Arc::strong_count(&counts)), (2, 1));
        assert!(listeners.attached.lock().by_namespace.is_empty());
    }
}
