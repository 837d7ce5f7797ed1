//! What the tier stands on: files in one folder, and what only the machine knows.
//!
//! A folder of the file system is the real one. A test puts another in its place, to cut the power, fill the disk
//! or take the right to write away.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;

use cache_core::Wall;

/// A folder of files that belongs to one tier.
///
/// Names are made by the tier, from a closed set and from numbers, never from keys.
pub trait Medium: fmt::Debug + Send + Sync + 'static {
    /// Makes the folder if it is missing, and keeps others out for as long as the answer lives.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] while another holds it.
    fn lock(&self) -> io::Result<Box<dyn Any + Send>>;

    /// The names of all files, in any order.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens a file that is there, for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Makes an empty file that is not there yet.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name, in one step, in place of what had that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Who has it open can go on reading it.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns once what was created, renamed and removed would survive a power cut.
    fn sync(&self) -> io::Result<()>;

    /// What the machine knows, as it is now.
    fn facts(&self) -> Facts;
}

/// An open file. All of it may be called by many threads at once.
pub trait File: fmt::Debug + Send + Sync + 'static {
    /// How many bytes it has.
    fn bytes(&self) -> io::Result<u64>;

    /// Fills the buffer from this place on, as far as the file goes, and says how far that was.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all bytes at this place. After an error any part of them may have been written.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Cuts it to this length.
    fn cut(&self, bytes: u64) -> io::Result<()>;

    /// Returns once what was written would survive a power cut.
    fn sync(&self) -> io::Result<()>;
}

/// What only the machine knows.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Which run of the operating system this is; `None` if it cannot be told.
    ///
    /// What a killed process has written is still there while this is the same, and may be missing when it is not.
    pub boot: Option<u64>,
    /// The wall time.
    pub wall: Wall,
    /// A number that nobody can foresee.
    pub seed: u64,
}
