//! Regions and the keys that are read most: once, or again every second while a person looks.

use serde_json::json;

use super::{figures, watch};
use crate::error::Error;
use crate::http::Client;
use crate::output::Out;
use crate::report::{Report, Stats};
use crate::table::{self, Table};

pub(super) fn run(client: &Client, out: &mut Out, (once, keys): (bool, usize)) -> Result<(), Error> {
    if once || !out.is_terminal {
        let report: Report = client.server("GET", "/v1/stats").send()?.json()?;
        return show(out, &report.stats, keys);
    }
    watch::follow(client, client.server("GET", watch::FIGURES), |event| {
        if event.name == "stats" {
            let report: Report = serde_json::from_str(&event.data).unwrap_or_default();
            if !out.is_json {
                out.clear_screen()?;
            }
            show(out, &report.stats, keys)?;
            out.flush()?;
        }
        Ok(true)
    })
}

fn show(out: &mut Out, stats: &Stats, keys: usize) -> Result<(), Error> {
    if out.is_json {
        return out.json(&shape(stats, keys));
    }
    figures::summary(out, stats)?;
    figures::regions(out, &stats.regions)?;
    out.line("")?;
    let mut table = Table::new(&["region", "key", ">hits", ">share"]);
    for region in &stats.regions {
        for top in region.top_keys.iter().take(keys) {
            table.row(vec![
                out.shown(&region.name),
                out.shown(&top.key),
                format!("~{}", top.hits),
                table::percent(Some(top.share)),
            ]);
        }
    }
    table.write(out)
}

fn shape(stats: &Stats, keys: usize) -> serde_json::Value {
    let regions = stats.regions.iter().map(|region| {
        let top = region.top_keys.iter().take(keys);
        let top: Vec<_> =
            top.map(|top| json!({"key": top.key, "hits": top.hits, "share": top.share})).collect();
        json!({
            "region": region.name,
            "entries": region.stats.entries,
            "bytes": region.stats.bytes,
            "reads": region.recent.reads,
            "hit_ratio": region.recent.hit_ratio,
            "top_keys": top,
        })
    });
    let regions: Vec<_> = regions.collect();
    json!({"uptime_seconds": stats.uptime_seconds, "recent_seconds": stats.recent_seconds, "regions": regions})
}
