//! Reading an entry: from the index to its place, from there to the value, and nothing that is not vouched for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache_core::{Entry, Frame, Key, Meta, Ttl};

use crate::index::{Cause, Slot};
use crate::medium::File;
use crate::record::{Head, NEVER, Place};
use crate::shared::Shared;

/// Reads entries, one answer per key.
pub(crate) fn entries(shared: &Shared, keys: &[Key]) -> Vec<Option<Entry>> {
    keys.iter().map(|key| entry(shared, key)).collect()
}

fn entry(shared: &Shared, key: &Key) -> Option<Entry> {
    let (hash, now, found) = {
        let mut index = shared.index.lock();
        let (hash, now) = (index.key_hash(key.as_str()), shared.now(&index));
        let store = index.store;
        let found = index.find(hash, now).map(|(slot, file)| (slot, file, store));
        index.stats.misses += u64::from(found.is_none());
        (hash, now, found)
    };
    let (slot, file, store) = found?;
    let outcome = record(store, &file, slot, key);
    let mut index = shared.index.lock();
    let entry = match outcome {
        Outcome::Found(found) => Some(revived(*found, slot.gone, now)),
        Outcome::OtherKey => None,
        Outcome::Damaged => {
            index.take_at(hash, slot.place(), Cause::Corrupt);
            None
        }
        Outcome::Failed => {
            index.stats.io_errors += 1;
            None
        }
    };
    index.stats.hits += u64::from(entry.is_some());
    index.stats.misses += u64::from(entry.is_none());
    entry
}

/// What stands at a place.
enum Outcome {
    Found(Box<(Head, Frame)>),
    /// An entry whose key has the same hash.
    OtherKey,
    Damaged,
    Failed,
}

fn record(store: u64, file: &Arc<dyn File>, slot: Slot, key: &Key) -> Outcome {
    let bytes = match bytes(&**file, slot) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Outcome::Damaged,
        Err(_) => return Outcome::Failed,
    };
    let place = Place { store, segment: slot.segment, offset: slot.offset.into() };
    let head = usize::from(slot.head);
    match Head::read(place, &bytes[..head]) {
        None => Outcome::Damaged,
        Some(found) if found.key != key.as_str() => Outcome::OtherKey,
        Some(found) => Frame::read(key, &bytes.slice(head..))
            .map_or(Outcome::Damaged, |it| Outcome::Found(Box::new((found, it)))),
    }
}

/// The bytes of a record; `None` if the file ends before.
fn bytes(file: &dyn File, slot: Slot) -> io::Result<Option<Bytes>> {
    let length = usize::try_from(slot.bytes()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let read = file.read_at(&mut bytes, slot.offset.into())?;
    Ok((read == length).then(|| bytes.into()))
}

/// The entry with what is left of its lives at this moment.
fn revived((head, frame): (Head, Frame), gone: u64, now: u64) -> Entry {
    let (header, _, value) = frame.into_parts();
    let stale = Duration::from_millis(head.stale);
    let (ttl, stale_for) = if gone == NEVER {
        (Ttl::FOREVER, stale)
    } else {
        let left = Duration::from_millis(gone.saturating_sub(now));
        (Ttl::from(left.saturating_sub(stale)), stale.min(left))
    };
    let tags = header.tags().clone();
    let (version, priority, cost, labels) = (header.version, header.priority, header.cost, header.labels);
    Entry { value, meta: Meta { ttl, stale_for, version, tags, priority, cost, labels } }
}

#[cfg(test)]
mod tests {
    use cache_core::{Content, Header, Life, TypeId, Wall};

    use super::*;
    use crate::record::Kind;
    use crate::replay;

    #[derive(Debug)]
    struct Memory(Vec<u8>);

    impl File for Memory {
        fn bytes(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }

        fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
            let from = usize::try_from(at).expect("a small file");
            let read = buffer.len().min(self.0.len() - from);
            buffer[..read].copy_from_slice(&self.0[from..from + read]);
            Ok(read)
        }

        fn write_at(&self, _bytes: &[u8], _at: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn cut(&self, _bytes: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sync(&self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn a_key_whose_hash_leads_to_another_key_is_missing_and_takes_nothing_away() {
        let [mine, other] = ["mine", "other"].map(|name| Key::new(name).expect("a legal key"));
        let header = Header::new(Life::new(Wall::from_unix_millis(1), Ttl::FOREVER));
        let body = Frame::write(&mine, &header, Content::plain(TypeId(0), 1), b"x").expect("a small one");
        let mut head = Head::about(Kind::Put, Vec::new(), 1, NEVER);
        head.key = mine.as_str().to_owned();
        head.body = u32::try_from(body.len()).expect("a small one");
        let place = Place { store: 1, segment: 1, offset: 0 };
        let mut bytes = Vec::new();
        head.write(place, &mut bytes);
        bytes.extend_from_slice(&body);
        let file: Arc<dyn File> = Arc::new(Memory(bytes));
        let slot = replay::slot(place, &head).expect("a small one");
        assert!(matches!(record(1, &file, slot, &mine), Outcome::Found(_)));
        assert!(matches!(record(1, &file, slot, &other), Outcome::OtherKey));
        assert!(matches!(record(2, &file, slot, &mine), Outcome::Damaged), "it belongs to another store");
    }
}
