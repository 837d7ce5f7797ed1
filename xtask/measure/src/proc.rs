//! What a process of this machine takes of it, as the kernel counts it: memory and processor time.
//!
//! A figure is `None` where there is no such file, process or line.

use std::fs;
use std::time::Duration;

/// The most memory that this process ever held.
pub(crate) fn own_peak() -> Option<u64> {
    status("self", "VmHWM")
}

/// The memory that this process holds now.
pub(crate) fn own_now() -> Option<u64> {
    status("self", "VmRSS")
}

/// The most memory that another process ever held.
pub(crate) fn peak_of(process: u32) -> Option<u64> {
    status(&process.to_string(), "VmHWM")
}

/// The memory that another process holds now.
pub(crate) fn resident_of(process: u32) -> Option<u64> {
    status(&process.to_string(), "VmRSS")
}

/// The processor time that another process has had, its own and the kernel's for it, in steps of 10 ms.
pub(crate) fn cpu_of(process: u32) -> Option<Duration> {
    cpu(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// A line of `/proc/{process}/status`, in bytes.
fn status(process: &str, line: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    value(&text, line)
}

fn value(text: &str, line: &str) -> Option<u64> {
    let rest = text.lines().find_map(|candidate| candidate.strip_prefix(line)?.strip_prefix(':'))?;
    let kibibytes: u64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The fields `utime` and `stime`, 14 and 15. The name of the program, in parentheses, may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * TICK_MS))
}

/// What Linux tells user space in, whatever it counts in itself.
const TICK_MS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let text = "Name:\tx\nVmHWM:\t   12 kB\nVmRSS:\t    8 kB\n";
        assert_eq!((value(text, "VmHWM"), value(text, "VmRSS")), (Some(12_288), Some(8_192)));
        assert_eq!((value(text, "Vm"), value("VmHWM: many", "VmHWM")), (None, None));
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 25 17 0 0 20 0";
        assert_eq!((cpu(stat), cpu("7 (x")), (Some(Duration::from_millis(420)), None));
    }
}
