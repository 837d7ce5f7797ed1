//! Opening: what of the segments can be believed, and the index that follows from it.
//!
//! A value may be missing afterwards; one that is wrong, or that was removed, may not be there. So who cannot tell what
//! stood somewhere believes nothing that is older: a removal may have stood there.
//!
//! ```text
//! no state               nothing is known                                          → empty
//! closed                 the state says where everything ends                      → all
//! same boot              a killed process: its writes are with the system          → all but a torn end
//! another boot, power    everything acknowledged was synced                        → all up to the first bad record
//! another boot           what was written last may be missing, removals too        → empty
//! ```

use std::any::Any;
use std::io;
use std::sync::Arc;

use crate::index::{Cause, Index, Segment};
use crate::log::{Active, Limits, OVERHEAD, write_state};
use crate::medium::{Facts, File, Medium};
use crate::names;
use crate::replay::{self, Ending};
use crate::stamp::{HEADER, Header, STATE, State, Unreadable};
use crate::stats::{Start, Stats};

/// A folder in use: what a log goes on from.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Keeps other processes out.
    pub(crate) lock: Box<dyn Any + Send>,
    pub(crate) state: State,
    pub(crate) index: Index,
    pub(crate) active: Option<Active>,
    pub(crate) last: (u64, u64),
    pub(crate) latest: u64,
    pub(crate) owed: Vec<(u64, u64)>,
}

/// Opens the folder, and makes the index anew.
pub(crate) fn open(medium: &dyn Medium, limits: Limits) -> io::Result<Opened> {
    let lock = medium.lock()?;
    let facts = medium.facts();
    let mut segments: Vec<u64> = medium.names()?.iter().filter_map(|name| names::number(name)).collect();
    segments.sort_unstable();
    let (state, start) = judge(read_state(medium)?, &facts, !segments.is_empty());
    let mut found = Found { index: Index::new(state.store), last: (0, 0), latest: 0, start };
    if start == Start::Whole {
        found.read(medium, &segments, state, facts)?;
    }
    found.forget_the_others(medium, &segments)?;
    found.shrink(medium, limits.max_bytes)?;
    if limits.power && !state.power {
        // They were written under a weaker promise than they will be read by.
        found.index.segments.values().try_for_each(|segment| segment.file.sync())?;
    }
    medium.sync()?;
    let boot = facts.boot.unwrap_or_default();
    let was_there = if found.index.segments.is_empty() { 0 } else { found.last.0 };
    let state = State { store: state.store, boot, power: limits.power, found: was_there, closed: None };
    write_state(medium, state)?;
    let owed = found.set_the_time(facts.wall.as_unix_millis());
    let active = found.active(limits);
    let Found { mut index, last, latest, start } = found;
    index.start = start;
    Ok(Opened { lock, state, index, active, last, latest, owed })
}

type Read = Option<Result<State, Unreadable>>;

fn read_state(medium: &dyn Medium) -> io::Result<Read> {
    let file = match medium.open(names::STATE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    // One byte more than there should be, to see that there are no more.
    let mut bytes = [0; STATE + 1];
    let read = file.read_at(&mut bytes, 0)?;
    Ok(Some(State::read(&bytes[..read])))
}

/// Which store the folder belongs to from now on, and whether the segments are to be looked at.
fn judge(read: Read, facts: &Facts, segments: bool) -> (State, Start) {
    let fresh = State { store: facts.seed, boot: 0, power: false, found: 0, closed: None };
    match read {
        None if segments => (fresh, Start::Unreadable),
        None => (fresh, Start::New),
        Some(Err(Unreadable::Version)) => (fresh, Start::OtherVersion),
        Some(Err(Unreadable::Damaged)) => (fresh, Start::Unreadable),
        Some(Ok(state)) => {
            let vouched = state.closed.is_some() || state.power || same_boot(state, facts);
            if vouched { (state, Start::Whole) } else { (fresh, Start::Unsynced) }
        }
    }
}

fn same_boot(state: State, facts: &Facts) -> bool {
    facts.boot.is_some_and(|boot| boot == state.boot)
}

/// What was found in the segments.
struct Found {
    index: Index,
    /// The last segment, and how many bytes of it count.
    last: (u64, u64),
    latest: u64,
    start: Start,
}

impl Found {
    /// Reads all segments, oldest first, and believes what stands behind the last damage.
    fn read(&mut self, medium: &dyn Medium, segments: &[u64], state: State, facts: Facts) -> io::Result<()> {
        let closed = state.closed;
        self.latest = closed.map_or(0, |end| end.at);
        let files: Vec<_> =
            segments.iter().map(|number| Part::open(medium, *number)).collect::<io::Result<_>>()?;
        let mut parts: Vec<_> = files.into_iter().map(|part| part.judged(state.store)).collect();
        // Nothing was acknowledged that stood in a segment whose header was not written yet.
        let here = same_boot(state, &facts);
        let newly_torn = |part: &Part| part.is_stub || !here && part.number > state.found;
        let unfinished = |part: &Part| part.header.is_none() && newly_torn(part);
        if closed.is_none() {
            parts.pop_if(|part| unfinished(part));
        }
        for at in 0..parts.len() {
            let (part, next) = (&parts[at], parts.get(at + 1));
            let follows = at == 0 || parts[at - 1].number + 1 == part.number;
            // What was there when the last process came, nobody has written to since, if power cuts were to be survived. If
            // it is torn nevertheless, a sync of it had failed, and who was told otherwise may rely on what is missing.
            let torn_end = next.is_none() && closed.is_none() && (here || part.number > state.found);
            let end = match (next, closed) {
                (Some(next), _) => next.header.map_or(part.bytes, |header| header.before),
                (None, Some(end)) if end.segment == part.number => end.bytes,
                (None, Some(_)) => u64::MAX,
                (None, None) => part.bytes,
            };
            if !follows {
                self.believe_nothing_so_far();
            }
            let (ending, latest) = self.replay(part, end);
            self.latest = self.latest.max(latest);
            let stop = match ending {
                Ending::Whole => Some(end),
                Ending::Torn(place) if torn_end => Some(place),
                // Bad bytes at the very end after a power cut are what was not synced, and so not acknowledged.
                Ending::Damaged(place) if place > 0 && torn_end && !here => Some(place),
                Ending::Torn(_) | Ending::Damaged(_) => None,
            };
            match stop {
                Some(stop) => self.keep(part, stop)?,
                None => self.believe_nothing_so_far(),
            }
        }
        if closed.is_some_and(|end| end.segment != segments.last().copied().unwrap_or_default()) {
            self.believe_nothing_so_far();
        }
        if self.index.segments.is_empty() {
            let headed = parts.iter().filter(|part| part.header.is_some()).map(|part| part.number);
            self.last = (headed.max().unwrap_or_default(), 0);
        }
        Ok(())
    }

    /// Reads the records of a segment. What cannot be read is as bad as what is damaged.
    fn replay(&mut self, part: &Part, end: u64) -> (Ending, u64) {
        if part.header.is_none() || part.bytes < end || end < HEADER as u64 || end > u64::from(u32::MAX) {
            return (Ending::Damaged(0), 0);
        }
        self.index.segments.insert(part.number, Segment::new(Arc::clone(&part.file), end, false));
        let read = replay::segment(&*part.file, part.number, end, &mut self.index);
        read.unwrap_or((Ending::Damaged(0), 0))
    }

    fn keep(&mut self, part: &Part, end: u64) -> io::Result<()> {
        if part.bytes > end {
            part.file.cut(end)?;
        }
        if let Some(segment) = self.index.segments.get_mut(&part.number) {
            segment.bytes = end;
        }
        self.last = (part.number, end);
        Ok(())
    }

    fn believe_nothing_so_far(&mut self) {
        self.index = Index::new(self.index.store);
        self.start = Start::Damaged;
    }

    /// Lets time go on from the machine's, and at least from what was written; answers the entries, no longer in the
    /// index, whose end cannot be told because the machine's was set back.
    fn set_the_time(&mut self, wall: u64) -> Vec<(u64, u64)> {
        self.index.wall = wall.max(self.latest);
        let timeless = if wall < self.latest { self.index.mortal() } else { Vec::new() };
        let ended = timeless
            .into_iter()
            .filter_map(|hash| Some((hash, self.index.take(hash, Cause::Expired)?.segment)));
        let owed = ended.collect();
        self.index.expire(self.index.wall, usize::MAX);
        self.index.stats = Stats { loaded: self.index.len() as u64, ..Stats::default() };
        owed
    }

    /// The last segment, if it can grow and its growth is within the limit.
    ///
    /// A sync of it may have failed, whoever tried it, and no sync to come says anything about that: what is to survive a
    /// power cut must not stand behind it.
    fn active(&self, limits: Limits) -> Option<Active> {
        let (number, end) = self.last;
        let segment = self.index.segments.get(&number)?;
        let most = self.index.bytes() - end + limits.segment_bytes + OVERHEAD;
        let grows = !limits.power && end < limits.segment_bytes && most <= limits.max_bytes;
        grows.then(|| Active { number, file: Arc::clone(&segment.file) })
    }

    /// Removes the segments that are not believed, oldest first, so that a part of the removal is no less right.
    fn forget_the_others(&mut self, medium: &dyn Medium, segments: &[u64]) -> io::Result<()> {
        for number in segments.iter().filter(|number| !self.index.segments.contains_key(number)) {
            medium.remove(&names::segment(*number))?;
        }
        Ok(())
    }

    /// Gives up the oldest segments if the limit is lower than it was.
    fn shrink(&mut self, medium: &dyn Medium, max_bytes: u64) -> io::Result<()> {
        while self.index.bytes() + OVERHEAD > max_bytes {
            let Some(oldest) = self.index.segments.first_key_value().map(|(number, _)| *number) else {
                break;
            };
            medium.remove(&names::segment(oldest))?;
            for hash in self.index.written(oldest) {
                if self.index.resident(hash, oldest).is_some() {
                    self.index.take(hash, Cause::Evicted);
                }
            }
            self.index.segments.remove(&oldest);
        }
        Ok(())
    }
}

/// A segment as it lies in the folder.
struct Part {
    number: u64,
    file: Arc<dyn File>,
    bytes: u64,
    header: Option<Header>,
    /// Whether it is so short that its header was never written whole.
    is_stub: bool,
}

impl Part {
    fn open(medium: &dyn Medium, number: u64) -> io::Result<Self> {
        let file = medium.open(&names::segment(number))?;
        let bytes = file.bytes()?;
        let mut header = [0; HEADER];
        let read = file.read_at(&mut header, 0)?;
        let header = Header::read(&header[..read]).ok();
        Ok(Self { number, file, bytes, header, is_stub: bytes < HEADER as u64 })
    }

    /// The same without a header that belongs elsewhere.
    fn judged(mut self, store: u64) -> Self {
        self.header = self.header.filter(|header| header.store == store && header.segment == self.number);
        self
    }
}
