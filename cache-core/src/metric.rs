//! Every metric of Strata, once: its name, its kind, its labels and its meaning.
//!
//! Libraries count in plain fields where they already hold a lock; whoever exports reads those and uses these names.
//! Names follow the Prometheus conventions: base units, `_total` for counters. Labels take values from closed sets or
//! from the configuration, never from keys.

/// What kind of figure a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution, in seconds.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, as scraped.
    pub name: &'static str,
    /// What kind of figure it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// One sentence for whoever reads the scrape.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($id:ident $kind:ident $name:literal [$($label:literal),*] $help:literal)*) => {
        $(
            #[doc = $help]
            pub const $id: Metric =
                Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )*

        /// All of them.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

metrics! {
    REQUESTS Counter "cache_requests_total" ["region", "result"] "Reads of a region by result: hit or miss."
    LOADS Counter "cache_loads_total" ["region", "result"] "Loader runs by result: ok, error or panic."
    WAITERS Counter "cache_coalesced_waiters_total" ["region"] "Reads that joined a load already in flight."
    INSERTS Counter "cache_inserts_total" ["region"] "Entries stored, replacements included."
    REMOVALS Counter "cache_removals_total" ["region", "cause"] "Entries that left, by cause: expired, evicted, replaced or removed."
    REJECTED Counter "cache_rejected_total" ["region"] "Entries refused because they alone exceed the region's limit."
    ENTRIES Gauge "cache_entries" ["region"] "Entries held."
    MEMORY_BYTES Gauge "cache_memory_bytes" ["region"] "Weighed bytes of the entries held."
    MEMORY_LIMIT_BYTES Gauge "cache_memory_limit_bytes" ["region"] "The region's limit in weighed bytes; absent if unlimited."
    ENTRY_LIMIT Gauge "cache_entry_limit" ["region"] "The region's limit in entries; absent if unlimited."
    CONSISTENCY_SAMPLES Counter "cache_consistency_samples_total" ["region", "tier", "result"] "Copies in memory compared with a tier, by result: agrees, alike, older, newer, missing or unknown."
    CONSISTENCY_OPEN Gauge "cache_consistency_open_disagreements" ["region", "tier"] "Keys of which memory and a tier are known to disagree now."
    CONSISTENCY_SECONDS Gauge "cache_consistency_disagreement_seconds" ["region", "tier", "quantile"] "How long memory and a tier disagreed of a key, by quantile: 0.5, 0.99 or 1."
    DISK_REQUESTS Counter "cache_disk_requests_total" ["region", "result"] "Reads of a disk tier by result: hit or miss."
    DISK_INSERTS Counter "cache_disk_inserts_total" ["region"] "Entries stored on disk, replacements included."
    DISK_REMOVALS Counter "cache_disk_removals_total" ["region", "cause"] "Entries that left a disk tier, by cause: expired, evicted, replaced, removed or corrupt."
    DISK_ERRORS Counter "cache_disk_errors_total" ["region", "kind"] "What a disk tier could not do, by kind: io, overflow or size."
    DISK_WRITTEN_BYTES Counter "cache_disk_written_bytes_total" ["region"] "Bytes that a disk tier has written."
    DISK_ENTRIES Gauge "cache_disk_entries" ["region"] "Entries held on disk."
    DISK_BYTES Gauge "cache_disk_bytes" ["region"] "What the files of a disk tier take."
    DISK_LIMIT_BYTES Gauge "cache_disk_limit_bytes" ["region"] "What the files of a disk tier may take."
    TIER_REQUESTS Counter "cache_tier_requests_total" ["region", "tier", "result"] "Reads that reached a tier below memory, by result: hit or miss."
    TIER_WRITES Counter "cache_tier_writes_total" ["region", "tier", "result"] "Values that a tier was given, by result: taken, or overtaken by a change since their load began."
    TIER_ERRORS Counter "cache_tier_errors_total" ["region", "tier", "kind"] "What went wrong at a tier, by kind: failed operations, or unreadable entries."
    TIER_BACKLOG Gauge "cache_tier_backlog" ["region", "tier"] "Keys and groups that a tier is still to be told of."
    TIER_OVERFLOWS Counter "cache_tier_backlog_overflows_total" ["region", "tier"] "Times that the backlog of a tier was full, so that everything of the region is removed there."
    TIER_REPAIRED Counter "cache_tier_repaired_total" ["region", "tier"] "What a tier was told later than it should have been."
    BREAKER_STATE Gauge "cache_breaker_state" ["region", "tier"] "What the breaker of a tier lets pass: 0 for everything, 1 for a probe, 2 for nothing."
    BREAKER_TRANSITIONS Counter "cache_breaker_transitions_total" ["region", "tier", "to"] "Changes of the breaker of a tier, by what it became: open or closed."
    BREAKER_REFUSED Counter "cache_breaker_refused_total" ["region", "tier"] "Operations that the breaker of a tier has refused."
    BUS_EVENTS Counter "cache_bus_events_total" ["result"] "Events of the bus, by result: published, received, or dropped because the outbox was full."
    BUS_MESSAGES Counter "cache_bus_messages_total" ["result"] "Messages of the bus, by result: sent, unsent, received, echo, late, malformed, forged or replayed."
    BUS_GAPS Counter "cache_bus_gaps_total" [] "Holes in the numbers of messages, each of which is news that was missed."
    BUS_DOUBTS Counter "cache_bus_doubts_total" ["why"] "Times that this process has ceased to believe its copies, by what made it."
    BUS_RESUBSCRIBES Counter "cache_bus_resubscribes_total" [] "Subscriptions of the bus after the first."
    BUS_OUTBOX Gauge "cache_bus_outbox_events" [] "Events that wait to be published."
    BUS_WHOLE Gauge "cache_bus_whole" [] "1 while nothing is known to be missing of what others say, else 0."
    REDIS_CONNECTIONS Counter "cache_redis_connections_total" ["result"] "Connections to Redis, by result: made, failed, or lost and to be made again."
    REDIS_ERRORS Counter "cache_redis_errors_total" ["kind"] "Calls of Redis that got no answer, by kind: timeout, or crowded out by others."
    REDIS_REDIRECTS Counter "cache_redis_redirects_total" [] "Answers of a Cluster that named another server."
    REDIS_IN_FLIGHT Gauge "cache_redis_in_flight" [] "Calls of Redis that are on their way."
    HTTP_REQUESTS Counter "cache_http_requests_total" ["route", "status"] "HTTP requests by route and status code."
    HTTP_SECONDS Histogram "cache_http_request_duration_seconds" ["route"] "How long HTTP requests took, one in 16 timed."
    HTTP_REJECTED Counter "cache_connections_rejected_total" ["reason"] "Connections refused, by reason: limit, of all connections, or address, of those from one."
    HTTP_SHED Counter "cache_http_requests_shed_total" [] "Requests turned away because too many others were being answered."
    TLS_HANDSHAKES Counter "cache_tls_handshakes_total" ["result"] "Begun TLS connections by result: ok, plain for those that do not speak TLS, failed, or late."
    AUDIT_LINES Counter "cache_audit_lines_total" ["result"] "Lines of the audit log by result: written, dropped because too many were waiting, or failed."
    LIMIT_DECISIONS Counter "cache_limit_decisions_total" ["class", "result"] "Calls that are limited, by class and result: admitted or denied."
    LIMIT_AWAY Counter "cache_limit_away_total" ["class"] "Of those, the ones that were decided without the counters, as these were away."
    BUDGET_CALLS Counter "cache_budget_calls_total" ["budget", "result"] "Calls of a metered source by result: used, blocked, saved or refused."
    BUDGET_PACE Gauge "cache_budget_pace_ratio" ["budget"] "The share of a budget that is gone by: 1 unless its source has refused."
    REFRESH_RUNS Counter "cache_refresh_runs_total" ["result"] "Runs of scheduled jobs by result: done, failed, postponed or elsewhere."
    REFRESH_QUEUE Gauge "cache_refresh_queue_length" ["priority"] "Jobs that are due and wait for their turn."
    REFRESH_LATENESS Gauge "cache_refresh_lateness_seconds" [] "For how long the job has waited that has waited longest."
    REFRESH_STRATEGY Gauge "cache_refresh_strategy" ["strategy"] "1 for the strategy that a scheduler goes by, and 0 for the others."
    UPTIME Gauge "cache_uptime_seconds" [] "Seconds since the server started."
    BUILD_INFO Gauge "cache_build_info" ["version"] "Always 1; the version is a label."
    RESIDENT Gauge "process_resident_memory_bytes" [] "Resident memory of the process."
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
