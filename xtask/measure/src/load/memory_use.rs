//! How much memory a process of this machine takes, as the kernel counts it.

use std::fs;

/// A line of `/proc/{process}/status`, in bytes. `None` where there is no such file, process or line.
fn status(process: &str, line: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    value(&text, line)
}

/// The most memory that this process ever held.
pub(super) fn own_peak() -> Option<u64> {
    status("self", "VmHWM")
}

/// The memory that this process holds now.
pub(super) fn own_now() -> Option<u64> {
    status("self", "VmRSS")
}

/// The most memory that another process ever held.
pub(super) fn peak_of(process: u32) -> Option<u64> {
    status(&process.to_string(), "VmHWM")
}

fn value(text: &str, line: &str) -> Option<u64> {
    let rest = text.lines().find_map(|candidate| candidate.strip_prefix(line)?.strip_prefix(':'))?;
    let kibibytes: u64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let text = "Name:\tx\nVmHWM:\t   12 kB\nVmRSS:\t    8 kB\n";
        assert_eq!((value(text, "VmHWM"), value(text, "VmRSS")), (Some(12_288), Some(8_192)));
        assert_eq!((value(text, "Vm"), value("VmHWM: many", "VmHWM")), (None, None));
    }
}
