//! A file that is appended to, and begun anew when it is full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

pub(super) struct Rotated {
    path: PathBuf,
    max_bytes: u64,
    kept: u32,
    file: File,
    bytes: u64,
    /// Whether the last line could not be written whole, by this process or one before it.
    is_torn: bool,
}

impl Rotated {
    pub(super) fn open(path: &Path, max_bytes: u64, kept: u32) -> io::Result<Self> {
        let file = appended(path)?;
        let bytes = file.metadata()?.len();
        let is_torn = bytes > 0 && !ends_a_line(path).unwrap_or(false);
        Ok(Self { path: path.to_owned(), max_bytes, kept, file, bytes, is_torn })
    }

    pub(super) fn append(&mut self, line: &str) -> io::Result<()> {
        let more = line.len() as u64;
        if self.bytes > 0 && self.bytes + more > self.max_bytes {
            self.rotate()?;
        }
        // A line that could not be written whole is not glued to the next one.
        let line = if std::mem::take(&mut self.is_torn) { format!("\n{line}") } else { line.to_owned() };
        self.file.write_all(line.as_bytes()).inspect_err(|_| self.is_torn = true)?;
        self.bytes += more;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..=self.kept).rev() {
            let from = if number == 1 { self.path.clone() } else { self.numbered(number - 1) };
            if from.exists() {
                fs::rename(from, self.numbered(number))?;
            }
        }
        if self.kept == 0 {
            fs::remove_file(&self.path)?;
        }
        // Whatever comes of the new file, this one has made way: it is not moved again.
        self.bytes = 0;
        self.file = appended(&self.path)?;
        self.is_torn = false;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn appended(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn ends_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_makes_way_and_so_many_are_kept() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("audit.log");
        fs::write(&path, "from before\n")?;
        let mut log = Rotated::open(&path, 20, 2)?;
        for number in 0..8 {
            log.append(&format!("line {number}\n"))?;
        }
        let read = |end: &str| fs::read_to_string(format!("{}{end}", path.display()));
        assert_eq!(read("")?, "line 7\n");
        assert_eq!(read(".1")?, "line 5\nline 6\n");
        assert_eq!(read(".2")?, "line 3\nline 4\n");
        assert_eq!(fs::read_dir(folder.path())?.count(), 3);
        log.append(&"x".repeat(100))?;
        assert_eq!(read("")?.len(), 100, "a line is never torn");
        Ok(())
    }

    #[test]
    fn a_line_that_a_process_could_not_finish_is_not_glued_to_the_next() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("audit.log");
        for (before, after) in [("", "next\n"), ("whole\n", "whole\nnext\n"), ("hal", "hal\nnext\n")] {
            fs::write(&path, before)?;
            Rotated::open(&path, 100, 1)?.append("next\n")?;
            assert_eq!(fs::read_to_string(&path)?, after);
        }
        fs::write(&path, "hal")?;
        Rotated::open(&path, 5, 1)?.append("next\n")?;
        assert_eq!(fs::read_to_string(&path)?, "next\n", "a new file begins with a line");
        Ok(())
    }
}
