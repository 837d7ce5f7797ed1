//! A node of a fleet: a bus, and a listener that writes down what it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_core::Transport;
use cache_invalidation::{Action, Attachment, Bus, BusBuilder, Doubt, Event, Listener, Target};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What a listener was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Changed(String),
    Distrust(Doubt),
}

#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Vec<Told>>);

impl Notes {
    /// What was told since this was last asked.
    pub(crate) fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Listener for Notes {
    fn invalidated(&self, event: &Event) {
        self.0.lock().unwrap().push(Told::Changed(event.target().text().to_owned()));
    }

    fn distrust(&self, why: Doubt) {
        self.0.lock().unwrap().push(Told::Distrust(why));
    }
}

pub(crate) struct Node {
    pub(crate) bus: Bus,
    pub(crate) notes: Arc<Notes>,
    attachment: Attachment,
}

impl Node {
    /// A node whose identity is this number.
    pub(crate) fn open(transport: Arc<dyn Transport>, number: u64) -> Self {
        Self::of(Bus::builder(transport).with_seed(number))
    }

    pub(crate) fn of(builder: BusBuilder) -> Self {
        let (bus, notes) = (builder.open().expect("legal"), Arc::<Notes>::default());
        let attachment = bus.attach("n", Arc::clone(&notes) as _);
        Self { bus, notes, attachment }
    }

    /// Waits until it is whole, and forgets what it was told until then.
    pub(crate) async fn is_ready(&self) {
        while !self.bus.is_whole() {
            passes(MS).await;
        }
        self.notes.take();
    }

    pub(crate) fn detach(self) -> (Bus, Arc<Notes>) {
        drop(self.attachment);
        (self.bus, self.notes)
    }
}

pub(crate) fn remove(key: impl Into<String>) -> Event {
    Event::new("n", Target::Key(key.into()), Action::Remove).expect("legal")
}

pub(crate) fn changed(key: &str) -> Told {
    Told::Changed(key.to_owned())
}

/// Lets time pass, and all that happens meanwhile happen.
pub(crate) async fn passes(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}
