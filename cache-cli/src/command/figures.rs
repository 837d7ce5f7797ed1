//! The server's figures and what they mean.

use serde_json::Value;

use crate::error::Error;
use crate::http::Client;
use crate::output::{Out, Style};
use crate::report::{Finding, Region, Report, Stats};
use crate::table::{self, Table};

pub(super) fn stats(client: &Client, out: &mut Out) -> Result<(), Error> {
    let answer = client.server("GET", "/v1/stats").send()?;
    if out.is_json {
        let all: Value = answer.json()?;
        return out.json(&all);
    }
    let report: Report = answer.json()?;
    summary(out, &report.stats)?;
    regions(out, &report.stats.regions)?;
    tiers(out, &report.stats.regions)?;
    findings(out, &report.insights)?;
    for advice in &report.recommendations {
        out.line(format!("  {} {}", out.styled(Style::Bold, &advice.setting), out.shown(&advice.text)))?;
    }
    Ok(())
}

/// The server in a few lines.
pub(super) fn summary(out: &mut Out, stats: &Stats) -> Result<(), Error> {
    let (sum, process, latency) = (&stats.sum, &stats.process, &stats.http.latency);
    let health = &stats.health.status;
    let how = out.styled(Style::of(health), &out.shown(health));
    let uptime = table::life(Some(stats.uptime_seconds));
    out.line(format!("cache-server {}, {how}, up {uptime}", out.shown(&stats.version)))?;
    for reason in &stats.health.reasons {
        out.line(format!("  {}", out.shown(reason)))?;
    }
    out.line(format!(
        "{} reads, {} hits; {} answers, {} errors; p50 {}, p99 {}",
        sum.stats.reads(),
        table::percent(sum.stats.hit_ratio),
        stats.traffic.total_operations,
        stats.traffic.errors,
        table::millis(latency.p50_ms),
        table::millis(latency.p99_ms),
    ))?;
    out.line(format!(
        "{} entries, {}{}; process {}; {} of {} connections",
        sum.stats.entries,
        table::bytes(sum.stats.bytes),
        sum.max_bytes.map_or_else(String::new, |limit| format!(" of {}", table::bytes(limit))),
        process.resident_bytes.map_or_else(|| "-".to_owned(), table::bytes),
        process.connections,
        process.max_connections,
    ))
}

/// What each region is and does.
pub(super) fn regions(out: &mut Out, regions: &[Region]) -> Result<(), Error> {
    out.line("")?;
    let mut table = Table::new(&[
        "region",
        ">entries",
        ">size",
        ">full",
        ">reads/min",
        ">hits now",
        ">hits",
        ">evicted/min",
        ">stored",
        ">expired",
        ">evicted",
        ">life",
        "policy",
    ]);
    for region in regions {
        let (stats, recent) = (&region.stats, &region.recent);
        table.row(vec![
            out.shown(&region.name),
            region
                .max_entries
                .map_or(stats.entries.to_string(), |limit| format!("{}/{limit}", stats.entries)),
            region.max_bytes.map_or(table::bytes(stats.bytes), |limit| {
                format!("{}/{}", table::bytes(stats.bytes), table::bytes(limit))
            }),
            table::percent(region.utilization),
            recent.reads.to_string(),
            table::percent(recent.hit_ratio),
            table::percent(stats.hit_ratio),
            format!("{:.0}", recent.evicted_per_minute),
            stats.inserts.to_string(),
            stats.expired.to_string(),
            stats.evicted.to_string(),
            table::life(region.ttl_seconds),
            region.policy.clone(),
        ]);
    }
    table.write(out)
}

fn tiers(out: &mut Out, regions: &[Region]) -> Result<(), Error> {
    if regions.iter().all(|region| region.tiers.is_empty()) {
        return Ok(());
    }
    out.line("")?;
    let mut table = Table::new(&["region", "tier", ">hits", ">misses", ">errors", ">untold", "state"]);
    for (region, tier) in
        regions.iter().flat_map(|region| region.tiers.iter().map(move |tier| (region, tier)))
    {
        table.row(vec![
            out.shown(&region.name),
            out.shown(&tier.name),
            tier.hits.to_string(),
            tier.misses.to_string(),
            tier.errors.to_string(),
            tier.backlog.to_string(),
            tier.away_seconds
                .map_or_else(|| "asked".to_owned(), |away| format!("away for {}", table::life(Some(away)))),
        ]);
    }
    table.write(out)
}

fn findings(out: &mut Out, findings: &[Finding]) -> Result<(), Error> {
    if !findings.is_empty() {
        out.line("")?;
    }
    for Finding { severity, text, .. } in findings {
        let (style, text) = (Style::of(severity), out.shown(text));
        out.line(format!("{} {text}", out.styled(style, &format!("{severity:<8}"))))?;
    }
    Ok(())
}
