//! The audit log: who did what when, and what was decided. One line of JSON each.
//!
//! Lines go through a bounded queue to a thread that writes them. Nobody waits for it: a line that finds the queue full
//! is dropped and counted, and so is one that cannot be written.

mod file;

use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use self::file::Rotated;
use crate::class::Class;
use crate::decision::{Answer, Decision};

/// How many lines wait for the writer.
const QUEUE: usize = 4096;
/// How long whoever closes a log waits for its last lines.
const LAST_LINES: Duration = Duration::from_secs(5);
/// What is longer is cut.
const LONGEST_TEXT: usize = 256;

/// Writes down decisions, without making anybody wait.
///
/// ```
/// use cache_ratelimit::{Audit, Class, ClassLimiter, Classes, Subject};
/// # pollster::block_on(async {
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("audit.log");
/// let audit = Audit::to_file(&path, 1 << 20, 5)?;
/// let limiter = ClassLimiter::local(Classes::default())?.with_audit(audit.clone());
/// let root = Subject::named("root")?;
/// let _ = limiter.take(Class::Admin, &root, "DELETE /v1/entries?token=secret").await;
/// audit.close();
/// let line = std::fs::read_to_string(path)?;
/// assert!(line.contains(r#""who":"root","what":"DELETE /v1/entries","class":"admin","decision":"now""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Audit {
    shared: Arc<Shared>,
}

struct Shared {
    /// Gone once it is closed.
    lines: parking_lot::Mutex<Option<(SyncSender<String>, Ends)>>,
    counts: Arc<Counts>,
    now: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// Hears nothing, and is hung up when the writer has ended.
type Ends = Receiver<()>;

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// What has become of the lines of an audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditStats {
    /// Lines that were written.
    pub written: u64,
    /// Lines that found the queue full, or the log closed.
    pub dropped: u64,
    /// Lines that could not be written.
    pub failed: u64,
}

/// What is written down.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Who it was; never a secret: see [`Subject::secret`](crate::Subject::secret).
    pub who: &'a str,
    /// What he asked for. What follows a question mark is left out, as it may hold secrets.
    pub what: &'a str,
    /// As whom.
    pub class: Class,
    /// What was decided, in a word.
    pub decision: &'a str,
    /// Who has decided it, in a word.
    pub by: &'a str,
    /// What was answered, where that is known.
    pub status: Option<u16>,
}

impl<'a> Record<'a> {
    /// What a limiter has decided: `now`, `wait` or `never`.
    pub fn of(who: &'a str, what: &'a str, class: Class, decision: &Decision) -> Self {
        let word = match decision.answer {
            Answer::Now => "now",
            Answer::Wait(_) => "wait",
            Answer::Never => "never",
        };
        Self { who, what, class, decision: word, by: decision.by.as_str(), status: None }
    }
}

impl Audit {
    /// A log in this file, which only its owner may read if it is new. One that would exceed `max_bytes` is renamed to `.1` first, and
    /// what was `.1` to `.2`, up to `kept` of them; the oldest is removed.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn to_file(path: &Path, max_bytes: u64, kept: u32) -> io::Result<Self> {
        let mut file = Rotated::open(path, max_bytes, kept)?;
        Self::to(move |line| file.append(line))
    }

    /// A log that this function writes, on a thread of its own.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn to(write: impl FnMut(&str) -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let (writes, ends) = sync_channel(0);
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        let thread = thread::Builder::new().name("strata-audit".to_owned());
        thread.spawn(move || {
            let _writes = writes;
            write_all(&receiver, write, &counted);
        })?;
        let lines = parking_lot::Mutex::new(Some((sender, ends)));
        Ok(Self { shared: Arc::new(Shared { lines, counts, now: Box::new(unix_millis) }) })
    }

    /// Takes a line, or drops it.
    pub fn record(&self, record: &Record<'_>) {
        let line = line(record, (self.shared.now)());
        let lines = self.shared.lines.lock();
        let taken = lines.as_ref().is_some_and(|(sender, _)| sender.try_send(line).is_ok());
        if !taken {
            self.shared.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Takes no more lines, and waits until those that were taken are written, but for no longer than five seconds. Says whether they
    /// are, which those of a writer that has panicked count as.
    pub fn close(&self) -> bool {
        self.close_within(LAST_LINES)
    }

    fn close_within(&self, patience: Duration) -> bool {
        let Some((sender, ends)) = self.shared.lines.lock().take() else { return true };
        drop(sender);
        ends.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }

    /// What has become of its lines.
    pub fn stats(&self) -> AuditStats {
        let counts = &self.shared.counts;
        AuditStats {
            written: counts.written.load(Relaxed),
            dropped: counts.dropped.load(Relaxed),
            failed: counts.failed.load(Relaxed),
        }
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Ends when the last handle is dropped, after what was taken is written.
fn write_all(lines: &Receiver<String>, mut write: impl FnMut(&str) -> io::Result<()>, counts: &Counts) {
    for line in lines {
        let count = if write(&line).is_ok() { &counts.written } else { &counts.failed };
        count.fetch_add(1, Relaxed);
    }
}

fn line(record: &Record<'_>, at_ms: u64) -> String {
    let what = record.what.split_once('?').map_or(record.what, |(path, _)| path);
    let mut line = format!("{{\"at_ms\":{at_ms},\"who\":");
    put_text(&mut line, record.who);
    line.push_str(",\"what\":");
    put_text(&mut line, what);
    // Writing to a string cannot fail.
    let _ = write!(line, ",\"class\":\"{}\",\"decision\":", record.class.name());
    put_text(&mut line, record.decision);
    line.push_str(",\"by\":");
    put_text(&mut line, record.by);
    if let Some(status) = record.status {
        let _ = write!(line, ",\"status\":{status}");
    }
    line.push_str("}\n");
    line
}

/// A string of JSON, in one line whatever is in it.
fn put_text(line: &mut String, text: &str) {
    line.push('"');
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    for character in text[..end].chars() {
        match character {
            '"' | '\\' => line.extend(['\\', character]),
            control if control.is_control() => {
                let _ = write!(line, "\\u{:04x}", u32::from(control));
            }
            plain => line.push(plain),
        }
    }
    line.push('"');
}

#[expect(clippy::disallowed_methods, reason = "people read when it was, on any machine")]
fn unix_millis() -> u64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_hangs_is_not_waited_for_for_ever() -> io::Result<()> {
        let (release, gate) = sync_channel::<()>(0);
        let audit = Audit::to(move |_| gate.recv().map_err(io::Error::other))?;
        let limiter = crate::LocalLimiter::new(crate::Rule::from(crate::Plan::MESSENGER.global));
        audit.record(&Record::of("root", "GET /v1", Class::Admin, &limiter.take("k")));
        let handle = audit.clone();
        assert!(!audit.close_within(Duration::from_millis(1)), "it hangs");
        drop(release);
        assert!(handle.close(), "and is closed once");
        Ok(())
    }

    #[test]
    fn a_line_is_one_line_and_holds_no_query() {
        let limiter = crate::LocalLimiter::new(crate::Rule::from(crate::Plan::MESSENGER.global));
        let decision = limiter.take("k");
        let long = "ö".repeat(200);
        for (who, what) in [("a\n\"b\\", "GET /x?api_key=secret"), (long.as_str(), "\u{7f}\u{0}")] {
            let line = line(&Record::of(who, what, Class::Admin, &decision), 7);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert!(!line.contains("secret") && line.len() < 2 * LONGEST_TEXT, "{line}");
            assert!(
                line.starts_with("{\"at_ms\":7,\"who\":\"") && line.ends_with("\"by\":\"local\"}\n"),
                "{line}"
            );
        }
    }
}
