//! A medium in memory that loses power, fills up, is read-only, fails at a chosen operation, and knows whose process is
//! still alive.
//!
//! What is written and not synced is pending. A power cut keeps of each file some of what is pending, some of it torn, and
//! of the folder's changes the first few, as a journal does.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use cache_core::{Clock, Wall};
use cache_disk::medium::{Facts, File, Medium};
use cache_testkit::clock::ManualClock;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The wall time at the beginning of the clock.
const BEGINNING: u64 = 1_800_000_000_000;

/// One process's view of the medium. What a process that was killed still tries to do fails.
#[derive(Clone, Debug)]
pub(crate) struct Sim {
    world: Arc<Mutex<World>>,
    process: u64,
}

#[derive(Clone, Debug)]
struct World {
    clock: ManualClock,
    /// How much later, or earlier, the machine's clock stands than it should.
    wall_shift: i64,
    names: BTreeMap<String, u64>,
    kept_names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    files: BTreeMap<u64, Content>,
    process: u64,
    locked_by: Option<u64>,
    boot: u64,
    seeds: u64,
    room: Option<usize>,
    read_only: bool,
    /// After so many changes more, all fail.
    fuse: Option<u64>,
    /// How many files were synced.
    syncs: u64,
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    kept: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(String, u64),
    Unlink(String),
    Rename(String, String),
}

impl Sim {
    pub(crate) fn new(clock: &ManualClock) -> Self {
        let world = World {
            clock: clock.clone(),
            wall_shift: 0,
            names: BTreeMap::new(),
            kept_names: BTreeMap::new(),
            name_changes: Vec::new(),
            files: BTreeMap::new(),
            process: 0,
            locked_by: None,
            boot: 1,
            seeds: 0,
            room: None,
            read_only: false,
            fuse: None,
            syncs: 0,
        };
        Self { world: Arc::new(Mutex::new(world)), process: 0 }
    }

    /// Kills the process and starts another.
    pub(crate) fn kill(&self) -> Self {
        let mut world = self.world();
        world.process += 1;
        world.locked_by = None;
        Self { world: Arc::clone(&self.world), process: world.process }
    }

    /// Cuts the power, and starts the machine again.
    pub(crate) fn cut_power(&self, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = self.world();
        world.boot += 1;
        let pending = world.name_changes.len();
        let kept = rng.random_range(0..=pending);
        let mut names = std::mem::take(&mut world.kept_names);
        world.name_changes.iter().take(kept).for_each(|change| change.apply(&mut names));
        world.name_changes.clear();
        (world.names, world.kept_names) = (names.clone(), names);
        world.files.values_mut().for_each(|file| file.lose(&mut rng));
        drop(world);
        self.kill()
    }

    /// The same medium once more, on which other things may happen.
    pub(crate) fn fork(&self) -> Self {
        Self { world: Arc::new(Mutex::new(self.world().clone())), process: self.process }
    }

    /// Lets nothing happen as long as the answer lives.
    pub(crate) fn stop(&self) -> impl Sized + '_ {
        self.world()
    }

    pub(crate) fn set_room(&self, room: Option<usize>) {
        self.world().room = room;
    }

    pub(crate) fn set_read_only(&self, read_only: bool) {
        self.world().read_only = read_only;
    }

    pub(crate) fn set_fuse(&self, changes: Option<u64>) {
        self.world().fuse = changes;
    }

    pub(crate) fn shift_wall(&self, millis: i64) {
        self.world().wall_shift += millis;
    }

    /// How many times a file was synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.world().syncs
    }

    /// What all files take.
    pub(crate) fn bytes(&self) -> usize {
        let world = self.world();
        world.names.values().map(|id| world.files[id].now.len()).sum()
    }

    /// All files, by name.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let world = self.world();
        world.names.iter().map(|(name, id)| (name.clone(), world.files[id].now.clone())).collect()
    }

    /// Writes a file as nobody's business.
    pub(crate) fn overwrite(&self, name: &str, bytes: Vec<u8>) {
        let mut world = self.world();
        let id = world.link(name);
        let file = world.files.entry(id).or_default();
        (file.now, file.kept, file.changes) = (bytes.clone(), bytes, Vec::new());
        world.name_changes.clear();
        world.kept_names = world.names.clone();
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panics with it locked")
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.world();
        if world.process == self.process {
            Ok(world)
        } else {
            Err(io::Error::other("this process was killed"))
        }
    }

    /// For what changes something.
    fn able(&self) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.alive()?;
        if world.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if let Some(left) = &mut world.fuse {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("the fuse has blown"))?;
        }
        Ok(world)
    }

    fn handle(&self, id: u64) -> Arc<dyn File> {
        Arc::new(Handle { sim: self.clone(), id })
    }
}

impl World {
    fn find(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn link(&mut self, name: &str) -> u64 {
        let next = self.files.len() as u64;
        let id = *self.names.entry(name.to_owned()).or_insert(next);
        self.files.entry(id).or_default();
        id
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn used(&self) -> usize {
        self.names.values().map(|id| self.files[id].now.len()).sum()
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link(name, id) => drop(names.insert(name.clone(), *id)),
            Self::Unlink(name) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
        }
    }
}

impl Content {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.changes.push(change);
    }

    fn lose(&mut self, rng: &mut StdRng) {
        for change in std::mem::take(&mut self.changes) {
            match (rng.random_range(0..4), change) {
                (0, _) => {}
                (1, Change::Write(at, bytes)) => {
                    let torn = bytes[..rng.random_range(0..=bytes.len())].to_vec();
                    Change::Write(at, torn).apply(&mut self.kept);
                }
                (2, Change::Write(at, mut bytes)) => {
                    // The length reached the disk, and of the content not all.
                    let from = rng.random_range(0..=bytes.len());
                    bytes[from..].fill(0);
                    Change::Write(at, bytes).apply(&mut self.kept);
                }
                (_, change) => change.apply(&mut self.kept),
            }
        }
        self.now = self.kept.clone();
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, new) => {
                bytes.resize(bytes.len().max(at + new.len()), 0);
                bytes[*at..at + new.len()].copy_from_slice(new);
            }
            Self::Cut(length) => bytes.resize(*length, 0),
        }
    }
}

impl Medium for Sim {
    fn lock(&self) -> io::Result<Box<dyn Any + Send>> {
        let mut world = self.able()?;
        if world.locked_by.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        world.locked_by = Some(self.process);
        Ok(Box::new(Lock(self.clone())))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.alive()?.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.handle(self.alive()?.find(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut world = self.able()?;
        if world.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = world.files.len() as u64;
        world.files.insert(id, Content::default());
        world.change_names(NameChange::Link(name.to_owned(), id));
        Ok(self.handle(id))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.able()?;
        world.find(from)?;
        world.change_names(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.able()?;
        world.find(name)?;
        world.change_names(NameChange::Unlink(name.to_owned()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.able()?;
        world.kept_names = world.names.clone();
        world.name_changes.clear();
        Ok(())
    }

    fn facts(&self) -> Facts {
        let mut world = self.world();
        world.seeds += 1;
        let passed = i64::try_from(world.clock.now().as_nanos() / 1_000_000).expect("no test runs that long");
        let wall = BEGINNING.checked_add_signed(passed + world.wall_shift).expect("after 1970");
        Facts { boot: Some(world.boot), wall: Wall::from_unix_millis(wall), seed: world.seeds }
    }
}

struct Lock(Sim);

impl Drop for Lock {
    fn drop(&mut self) {
        let mut world = self.0.world();
        world.locked_by.take_if(|process| *process == self.0.process);
    }
}

#[derive(Debug)]
struct Handle {
    sim: Sim,
    id: u64,
}

impl File for Handle {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.sim.alive()?.files[&self.id].now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let world = self.sim.alive()?;
        let bytes = &world.files[&self.id].now;
        let from = usize::try_from(at).expect("small files").min(bytes.len());
        let read = buffer.len().min(bytes.len() - from);
        buffer[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).expect("small files");
        let able = self.sim.able().map(drop);
        let mut world = self.sim.alive()?;
        if able.is_err() && !world.read_only {
            // What fails in the middle has written the first half.
            let file = world.files.get_mut(&self.id).expect("a file is never forgotten");
            file.change(Change::Write(at, bytes[..bytes.len() / 2].to_vec()));
        }
        able?;
        let used = world.used();
        let room = world.room.map_or(usize::MAX, |room| room.saturating_sub(used));
        let file = world.files.get_mut(&self.id).expect("a file is never forgotten");
        let growth = (at + bytes.len()).saturating_sub(file.now.len());
        // As on a real disk, what fits is written before the rest is refused.
        let fitting = bytes.len() - growth.saturating_sub(room).min(bytes.len());
        file.change(Change::Write(at, bytes[..fitting].to_vec()));
        if fitting < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        let mut world = self.sim.able()?;
        let file = world.files.get_mut(&self.id).expect("a file is never forgotten");
        file.change(Change::Cut(usize::try_from(bytes).expect("small files")));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let able = self.sim.able().map(|mut world| world.syncs += 1);
        let mut world = self.sim.alive()?;
        let file = world.files.get_mut(&self.id).expect("a file is never forgotten");
        // As on a real system, what a failed sync was about can be read, and no later sync writes it.
        let pending = std::mem::take(&mut file.changes);
        if able.is_ok() {
            for change in &pending {
                change.apply(&mut file.kept);
            }
        }
        able
    }
}
