//! What was found, in words and figures, and whether it is good enough.

use std::fmt;

use serde::Serialize;

use super::crowd::Tally;
use super::good::Latencies;
use crate::Outcome;

/// The memory of the server, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Memory {
    /// With the good clients alone.
    pub(super) alone: u64,
    /// With all that are idle.
    pub(super) with_idle: u64,
    /// The most it ever held.
    pub(super) with_all: u64,
}

/// How the good clients were served in one stretch.
#[derive(Clone, Copy, Debug, Serialize)]
struct Stretch {
    requests: u64,
    p50_us: u64,
    p99_us: u64,
    /// What one in a thousand answers exceeds.
    #[serde(rename = "p99_9_us")]
    rare_us: u64,
    max_us: u64,
}

impl Stretch {
    fn of(latencies: &Latencies) -> Self {
        let at = |quantile| latencies.value_at_quantile(quantile);
        let (p50_us, p99_us, rare_us) = (at(0.5), at(0.99), at(0.999));
        Self { requests: latencies.len(), p50_us, p99_us, rare_us, max_us: latencies.max() }
    }
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    idle: u32,
    slow: u32,
    before: Stretch,
    among: Stretch,
    after: Stretch,
    memory: Memory,
    /// What memory grew by for each idle connection.
    bytes_per_idle: u64,
    crowd: Tally,
    /// Entries that were not what was acknowledged last.
    lost: u64,
}

/// How much slower the good clients may be served in the crowd: 99 of a hundred answers within so many times what they take alone.
const TIMES: u64 = 2;
/// What the server's memory may grow by, for each idle connection, for each slow one, and for all that is refused.
const IDLE_BYTES: u64 = 16 << 10;
const SLOW_BYTES: u64 = 128 << 10;
const REFUSED_BYTES: u64 = 32 << 20;

impl Report {
    pub(super) fn new(
        (idle, slow): (u32, u32),
        stretches: &[Latencies; 3],
        memory: Memory,
        (crowd, lost): (Tally, u64),
    ) -> Self {
        let [before, among, after] = stretches.each_ref().map(Stretch::of);
        let bytes_per_idle = memory.with_idle.saturating_sub(memory.alone) / u64::from(idle);
        Self { idle, slow, before, among, after, memory, bytes_per_idle, crowd, lost }
    }

    /// What 99 of a hundred answers take at most while there is no crowd: the larger of two stretches, as a machine is never quite alone.
    fn normal_us(&self) -> u64 {
        self.before.p99_us.max(self.after.p99_us)
    }

    fn bound(&self) -> u64 {
        let of_crowd = u64::from(self.idle) * IDLE_BYTES + u64::from(self.slow) * SLOW_BYTES;
        self.memory.alone + of_crowd + REFUSED_BYTES
    }

    pub(super) fn verdict(&self) -> Outcome {
        let Tally { idle, slow_ended, oversize, malformed, accepted } = self.crowd;
        let (p99, normal) = (self.among.p99_us, self.normal_us());
        let faults = [
            (self.lost > 0, format!("{} entries are not what was acknowledged", self.lost)),
            (accepted > 0, format!("{accepted} requests were accepted that nobody may send")),
            (idle < u64::from(self.idle), format!("{idle} idle connections were left of {}", self.idle)),
            (
                slow_ended == 0 || oversize == 0 || malformed == 0,
                "the crowd did not do what it is for, so nothing is shown".to_owned(),
            ),
            (
                self.memory.with_all > self.bound(),
                format!(
                    "memory grew to {}, over {}",
                    mebibytes(self.memory.with_all),
                    mebibytes(self.bound())
                ),
            ),
            (
                p99 > TIMES * normal,
                format!(
                    "99 % of answers took {p99} us in the crowd, over {TIMES} times the {normal} us without"
                ),
            ),
        ];
        let said: Vec<String> =
            faults.into_iter().filter_map(|(is_so, text)| is_so.then_some(text)).collect();
        if said.is_empty() { Ok(()) } else { Err(said.join("; ").into()) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { idle, slow, memory, crowd, .. } = self;
        writeln!(
            f,
            "{:<16} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "good clients", "requests", "p50 us", "p99 us", "p99.9 us", "max us"
        )?;
        for (name, stretch) in
            [("alone", self.before), ("in the crowd", self.among), ("alone again", self.after)]
        {
            let Stretch { requests, p50_us, p99_us, rare_us, max_us } = stretch;
            writeln!(f, "{name:<16} {requests:>9} {p50_us:>9} {p99_us:>9} {rare_us:>9} {max_us:>9}")?;
        }
        let Tally { idle: open, slow_ended, oversize, malformed, accepted } = crowd;
        writeln!(
            f,
            "crowd            {open} of {idle} idle connections open at the end; of {slow} slow ones, {slow_ended} ended and begun again"
        )?;
        writeln!(
            f,
            "                 {oversize} bodies over the limit and {malformed} malformed requests refused, {accepted} accepted"
        )?;
        let [alone, with_idle, with_all, bound] =
            [memory.alone, memory.with_idle, memory.with_all, self.bound()].map(mebibytes);
        writeln!(
            f,
            "memory           {alone} alone, {with_idle} with all that are idle ({} bytes each), {with_all} at most, of {bound}",
            self.bytes_per_idle
        )?;
        writeln!(f, "lost             {} entries", self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(us: u64) -> Latencies {
        let mut latencies = Latencies::new(3).unwrap();
        latencies.record_n(us, 1000).unwrap();
        latencies
    }

    fn report(change: impl FnOnce(&mut Report)) -> Report {
        let memory = Memory { alone: 10 << 20, with_idle: 20 << 20, with_all: 30 << 20 };
        let crowd = Tally { idle: 1000, slow_ended: 9, oversize: 9, malformed: 9, accepted: 0 };
        let stretches = [latencies(500), latencies(1900), latencies(1000)];
        let mut report = Report::new((1000, 50), &stretches, memory, (crowd, 0));
        change(&mut report);
        report
    }

    #[test]
    fn each_fault_is_told_and_what_is_good_enough_is_none() {
        report(|_| {}).verdict().unwrap();
        let told = |change: fn(&mut Report), part: &str| {
            let error = report(change).verdict().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        told(|report| report.lost = 1, "1 entries are not what was acknowledged");
        told(|report| report.crowd.accepted = 2, "2 requests were accepted");
        told(|report| report.crowd.idle = 999, "999 idle connections were left of 1000");
        told(|report| report.crowd.slow_ended = 0, "nothing is shown");
        told(|report| report.memory.with_all = 70 << 20, "memory grew to 70.0 MiB");
        told(|report| report.among.p99_us = 2100, "over 2 times the 1000 us");
        assert_eq!(report(|_| {}).bytes_per_idle, 10_485);
    }
}
