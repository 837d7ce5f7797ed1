//! Is it well? A judgement of what was measured, with its reasons.

use schemars::JsonSchema;
use serde::Serialize;

use super::snapshot::Process;
use super::traffic::Traffic;

/// The share of failed answers from which the server is not well any more, and from which it is of no use.
pub(super) const DEGRADED_ERROR_RATE: f64 = 0.01;
const UNHEALTHY_ERROR_RATE: f64 = 0.5;

/// Fewer answers than this say nothing about a rate.
pub(super) const MEANINGFUL_ANSWERS: u64 = 100;

/// How the server is, and why it is not well.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Health {
    pub(crate) status: Status,
    /// Why the status is not `healthy`.
    pub(crate) reasons: Vec<String>,
}

/// How the server is.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Healthy,
    /// It serves, and something is not as it should be.
    Degraded,
    /// It is of no use, or will soon be gone.
    Unhealthy,
}

impl Status {
    /// As it stands in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl Health {
    /// `troubles` are those of the tiers, and of news of other servers.
    pub(super) fn judge(
        traffic: &Traffic,
        process: &Process,
        who_fails: &str,
        troubles: Vec<String>,
    ) -> Self {
        let mut reasons = troubles;
        let rate = if traffic.total_operations >= MEANINGFUL_ANSWERS { traffic.error_rate } else { 0.0 };
        if rate >= DEGRADED_ERROR_RATE {
            reasons.push(format!("{:.1} % of the {who_fails}", rate * 100.0));
        }
        if process.is_nearly_full() {
            let Process { connections, max_connections, .. } = process;
            reasons.push(format!("{connections} of at most {max_connections} connections are open"));
        }
        if process.is_stopping {
            reasons.push("the server is stopping".to_owned());
        }
        let status = match reasons.is_empty() {
            true => Status::Healthy,
            false if process.is_stopping || rate >= UNHEALTHY_ERROR_RATE => Status::Unhealthy,
            false => Status::Degraded,
        };
        Self { status, reasons }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(traffic: (u64, f64), process: Process, trouble: Option<&str>, expected: Status) {
        let traffic = Traffic { total_operations: traffic.0, error_rate: traffic.1, ..Traffic::default() };
        let health =
            Health::judge(&traffic, &process, "answers", trouble.map(str::to_owned).into_iter().collect());
        assert_eq!(health.status, expected, "{health:?}");
        assert_eq!(health.reasons.is_empty(), expected == Status::Healthy);
    }

    #[test]
    fn health_changes_at_its_thresholds() {
        let process = |connections, is_stopping| Process {
            connections,
            max_connections: 10,
            is_stopping,
            ..Process::default()
        };
        check((99, 1.0), process(8, false), None, Status::Healthy);
        check((100, 0.0099), process(8, false), None, Status::Healthy);
        check((100, 0.01), process(8, false), None, Status::Degraded);
        check((100, 0.5), process(8, false), None, Status::Unhealthy);
        check((0, 0.0), process(9, false), None, Status::Degraded);
        check((0, 0.0), process(0, false), Some("a tier is away"), Status::Degraded);
        check((0, 0.0), process(0, true), None, Status::Unhealthy);
    }
}
