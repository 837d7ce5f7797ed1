//! Regions: which there are, and making and removing them.

use serde_json::{Map, Value, json};

use super::{confirm, groups};
use crate::args::Regions;
use crate::error::Error;
use crate::http::{Client, encoded};
use crate::output::Out;
use crate::table::{self, Table};

pub(super) fn run(client: &Client, out: &mut Out, what: Option<&Regions>) -> Result<(), Error> {
    match what {
        None => list(client, out),
        Some(Regions::Add { name, max_entries, max_bytes, ttl, policy }) => {
            let said =
                json!({"max_entries": max_entries, "max_bytes": max_bytes, "ttl": ttl, "policy": policy});
            let Value::Object(said) = said else { return Ok(()) };
            let said: Map<String, Value> = said.into_iter().filter(|(_, value)| !value.is_null()).collect();
            let region: Value = client.server("PUT", &path(name)).json(&Value::Object(said))?.json()?;
            if out.is_json { out.json(&region) } else { out.line("made") }
        }
        Some(Regions::Remove { name, yes }) => {
            let url = &client.target().url;
            confirm(out, *yes, &format!("remove the region {name} of {url} with all that is in it"))?;
            groups::removed(out, client.server("DELETE", &path(name)).send()?)
        }
    }
}

pub(super) fn path(name: &str) -> String {
    format!("/v1/regions/{}", encoded(name))
}

fn list(client: &Client, out: &mut Out) -> Result<(), Error> {
    let body: Value = client.server("GET", "/v1/regions").send()?.json()?;
    if out.is_json {
        return out.json(&body);
    }
    let mut table = Table::new(&["region", ">entries", ">size", ">limit", ">life", "policy", ">hits"]);
    for region in body["regions"].as_array().into_iter().flatten() {
        let (text, stats) = (|name: &str| region[name].as_str().unwrap_or_default(), &region["stats"]);
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        table.row(vec![
            out.shown(text("name")),
            number(&stats["entries"]).to_string(),
            table::bytes(number(&stats["bytes"])),
            region["max_bytes"].as_u64().map_or_else(|| "-".to_owned(), table::bytes),
            table::life(region["ttl_seconds"].as_f64()),
            text("policy").to_owned(),
            table::percent(stats["hit_ratio"].as_f64()),
        ]);
    }
    table.write(out)
}
