//! The real medium: a folder of the file system.
//!
//! The folder is for its owner alone (mode 0700, files 0600, where there are modes), and no symbolic link in it is
//! followed.

use std::any::Any;
use std::fs::{self, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use cache_core::Wall;
use twox_hash::XxHash3_64;

use crate::medium::{Facts, File, Medium};

/// The file that is locked while a process uses the folder. It is always empty.
const LOCK: &str = "LOCK";

/// Where Linux says which boot this is.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// A folder of the file system.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn options(&self, name: &str) -> io::Result<(OpenOptions, PathBuf)> {
        let path = self.path.join(name);
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other(format!("{name} is not a plain file")));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        owner_only(&mut options);
        Ok((options, path))
    }
}

impl Medium for Folder {
    fn lock(&self) -> io::Result<Box<dyn Any + Send>> {
        make_folder(&self.path)?;
        let (mut options, path) = self.options(LOCK)?;
        let file = options.create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(Locked(file))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.path)?;
        // A name that is not text is none of ours.
        entries.filter_map(|entry| entry.map(|it| it.file_name().into_string().ok()).transpose()).collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let (options, path) = self.options(name)?;
        Ok(Arc::new(Plain(options.open(path)?)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let (mut options, path) = self.options(name)?;
        Ok(Arc::new(Plain(options.create_new(true).open(path)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }

    fn facts(&self) -> Facts {
        let boot = fs::read(BOOT).ok().filter(|id| !id.is_empty());
        Facts {
            boot: boot.map(|id| XxHash3_64::oneshot(&id)),
            wall: wall(),
            seed: RandomState::new().hash_one(&self.path),
        }
    }
}

/// The lock, until it is dropped.
struct Locked(fs::File);

impl Drop for Locked {
    fn drop(&mut self) {
        // To close the file would not do: a process that this one is just starting may have it open too.
        let _unlocked = self.0.unlock();
    }
}

/// The wall time; the epoch if the clock stands before it, so that everything with an end counts as of the future.
#[expect(clippy::disallowed_methods, reason = "what is stored outlives every clock but this")]
fn wall() -> Wall {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[derive(Debug)]
struct Plain(fs::File);

impl File for Plain {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match read_some(&self.0, &mut buffer[done..], at + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match write_some(&self.0, bytes, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => (bytes, at) = (&bytes[written..], at + written as u64),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(unix)]
fn read_some(file: &fs::File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

#[cfg(unix)]
fn write_some(file: &fs::File, bytes: &[u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, at)
}

#[cfg(windows)]
fn read_some(file: &fs::File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, at)
}

#[cfg(windows)]
fn write_some(file: &fs::File, bytes: &[u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, at)
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn owner_only(_options: &mut OpenOptions) {}

#[cfg(unix)]
fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

#[cfg(not(unix))]
fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    match fs::File::open(path)?.sync_all() {
        // Some file systems know no sync of a folder; there its changes last as they do.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        synced => synced,
    }
}

/// Elsewhere a folder is no file that could be synced, and its changes are in the file system's own journal.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}
