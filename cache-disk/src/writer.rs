//! The one who writes: owns the log, has it opened again when the folder could not be used, and turns failures of files
//! into errors of the seam.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Error, ErrorKind, Key, Note, Result, Tags, Time};

use crate::log::{Limits, Log};
use crate::medium::Medium;
use crate::open;
use crate::shared::Shared;
use crate::stats::Start;

/// The name in errors.
pub(crate) const PLACE: &str = "disk";

/// A folder that could not be used is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    medium: Arc<dyn Medium>,
    limits: Limits,
    ground: Ground,
}

#[derive(Debug)]
enum Ground {
    Open(Box<Log>),
    /// The folder could not be used; nobody has tried since this moment.
    Waiting(Time),
    Closed,
}

impl Writer {
    /// Opens the folder, if it can be used.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] while another process uses the folder. Everything else may pass, and is waited for.
    pub(crate) fn new(shared: Arc<Shared>, medium: Arc<dyn Medium>, limits: Limits) -> io::Result<Self> {
        let mut writer = Self { shared, medium, limits, ground: Ground::Closed };
        match writer.open() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(writer),
        }
    }

    /// Does something to these keys. What was noted of them before it has ended is forgotten, even if it fails: nobody knows
    /// then what has happened.
    pub(crate) fn change<T>(
        &mut self,
        operation: &'static str,
        keys: &[Key],
        act: impl FnOnce(&mut Log, u64) -> io::Result<T>,
    ) -> Result<T> {
        let acted = self.act(operation, act);
        let mut notes = self.shared.notes.lock();
        for key in keys {
            notes.forget(key);
        }
        acted
    }

    /// The same to all keys that this `covers`, by themselves and the tags that their notes name.
    pub(crate) fn change_all<T>(
        &mut self,
        operation: &'static str,
        covers: impl Fn(&Key, &Tags) -> bool,
        act: impl FnOnce(&mut Log, u64) -> io::Result<T>,
    ) -> Result<T> {
        let acted = self.act(operation, act);
        self.shared.notes.lock().forget_if(covers);
        acted
    }

    /// The same to one key if nothing has happened to it since this note was taken; says whether that is so.
    pub(crate) fn change_noted(
        &mut self,
        operation: &'static str,
        (key, note): (&Key, &Note),
        act: impl FnOnce(&mut Log, u64) -> io::Result<()>,
    ) -> Result<bool> {
        if !self.shared.notes.lock().holds(key, note) {
            self.shared.index.lock().stats.refused += 1;
            return Ok(false);
        }
        self.change(operation, std::slice::from_ref(key), act).map(|()| true)
    }

    /// Does something to the log, at this moment.
    pub(crate) fn act<T>(
        &mut self,
        operation: &'static str,
        act: impl FnOnce(&mut Log, u64) -> io::Result<T>,
    ) -> Result<T> {
        let failed = |error| failure(operation, error);
        self.ready().map_err(failed)?;
        let Ground::Open(log) = &mut self.ground else { return Err(failed(io::ErrorKind::NotFound.into())) };
        let now = self.shared.now(&self.shared.index.lock());
        // What cannot be freed now takes room until it can, and nothing else.
        let _later = log.sweep(now);
        act(log, now).map_err(|error| {
            self.shared.index.lock().stats.io_errors +=
                u64::from(error.kind() != io::ErrorKind::InvalidInput);
            failed(error)
        })
    }

    /// Tells whether everything is synced before it is acknowledged.
    pub(crate) fn syncs(&self) -> bool {
        self.limits.power
    }

    /// Makes everything so far survive a power cut, if that was promised.
    pub(crate) fn sync(&mut self) -> Result<()> {
        match &mut self.ground {
            Ground::Open(log) if self.limits.power => {
                log.sync().inspect_err(|_| self.shared.index.lock().stats.io_errors += 1)
            }
            _ => Ok(()),
        }
        .map_err(|error| failure("sync", error))
    }

    /// Does what is due when nobody wants anything.
    pub(crate) fn idle(&mut self) {
        let _waiting = self.ready();
        if let Ground::Open(log) = &mut self.ground {
            let now = self.shared.now(&self.shared.index.lock());
            let _later = log.settle(now).and_then(|()| log.sweep_all(now));
        }
    }

    /// Ends all use of the folder. What was acknowledged survives whatever comes.
    pub(crate) fn close(&mut self) -> Result<()> {
        let mut closed = Ok(());
        if let Ground::Open(mut log) = std::mem::replace(&mut self.ground, Ground::Closed) {
            let now = self.shared.now(&self.shared.index.lock());
            closed = log.settle(now).and_then(|()| log.close());
        }
        let mut index = self.shared.index.lock();
        index.abandon();
        index.stats.io_errors += u64::from(closed.is_err());
        closed.map_err(|error| failure("close", error))
    }

    /// Has the log open, if that can be.
    fn ready(&mut self) -> io::Result<()> {
        match self.ground {
            Ground::Open(_) => Ok(()),
            Ground::Closed => Err(io::Error::other("the tier is closed")),
            Ground::Waiting(since) if self.shared.clock.now().since(since) < RETRY => {
                Err(io::Error::other("the folder cannot be used; it is tried again every second"))
            }
            Ground::Waiting(_) => self.open(),
        }
    }

    fn open(&mut self) -> io::Result<()> {
        let opened = open::open(&*self.medium, self.limits);
        let now = self.shared.clock.now();
        match opened {
            Ok(mut opened) => {
                opened.index.since = now;
                opened.index.take_books_of(&self.shared.index.lock());
                let (medium, index) = (Arc::clone(&self.medium), Arc::clone(&self.shared.index));
                self.ground = Ground::Open(Box::new(Log::new(medium, self.limits, index, opened)));
                Ok(())
            }
            Err(error) => {
                self.ground = Ground::Waiting(now);
                let mut index = self.shared.index.lock();
                index.start = Start::Waiting;
                index.stats.io_errors += 1;
                Err(error)
            }
        }
    }
}

/// An error of a file as an error of the seam.
fn failure(operation: &'static str, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::InvalidInput => ErrorKind::Invalid,
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::FileTooLarge
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::PermissionDenied => ErrorKind::Refused,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, PLACE, operation).with_source(error)
}
