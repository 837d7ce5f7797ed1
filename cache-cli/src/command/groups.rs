//! Groups of entries: listed by tag and prefix, removed by key, tag, prefix and pattern, and all of a region.

use serde::Deserialize;
use serde_json::{Value, json};

use super::confirm;
use crate::args::Del;
use crate::error::Error;
use crate::http::{Answer, Client, encoded};
use crate::output::Out;
use crate::table::{self, Table};

/// The most keys of one request.
const PAGE: u64 = 1000;

pub(super) fn del(client: &Client, out: &mut Out, del: &Del) -> Result<(), Error> {
    let answer = match (&del.tag, &del.prefix, &del.pattern) {
        (Some(tag), ..) => client.region("DELETE", &format!("/tags/{}", encoded(tag))).send()?,
        (None, Some(prefix), _) => {
            client.region("DELETE", &format!("/entries?prefix={}", encoded(prefix))).send()?
        }
        (None, None, Some(pattern)) => {
            client.region("DELETE", &format!("/keys?pattern={}", encoded(pattern))).send()?
        }
        (None, None, None) => client.region("POST", "/delete-many").json(&json!({"keys": del.keys}))?,
    };
    removed(out, answer)
}

/// Tells how many there were.
pub(super) fn removed(out: &mut Out, answer: Answer) -> Result<(), Error> {
    let body: Value = answer.json()?;
    if out.is_json {
        return out.json(&body);
    }
    out.line(format!("{} removed", body["removed"].as_u64().unwrap_or_default()))
}

pub(super) fn clear(client: &Client, out: &mut Out, (all, yes): (bool, bool)) -> Result<(), Error> {
    let region = client.target().region.as_deref().unwrap_or("default");
    let what = if all {
        "remove everything from all regions".to_owned()
    } else {
        format!("remove everything from the region {region}")
    };
    confirm(out, yes, &format!("{what} of {}", client.target().url))?;
    let request = if all { client.server("POST", "/v1/clear-all") } else { client.region("POST", "/clear") };
    removed(out, request.send()?)
}

pub(super) fn tags(client: &Client, out: &mut Out, tag: &str) -> Result<(), Error> {
    let body: Value = client.region("GET", &format!("/tags/{}", encoded(tag))).send()?.json()?;
    if out.is_json {
        return out.json(&body);
    }
    let keys: Vec<&str> = body["keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for key in &keys {
        out.line(out.shown(key))?;
    }
    if body["truncated"] == true {
        out.note(&format!("these are {} of {}", keys.len(), body["count"]));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Page {
    keys: Vec<Value>,
    next: Option<String>,
}

/// Lists page by page, so that neither side holds more than one.
pub(super) fn keys(
    client: &Client,
    out: &mut Out,
    (prefix, limit, long): (&str, u64, bool),
) -> Result<(), Error> {
    let mut left = if limit == 0 { u64::MAX } else { limit };
    let mut cursor = None;
    while left > 0 {
        let after = cursor.map_or_else(String::new, |cursor: String| format!("&cursor={}", encoded(&cursor)));
        let path = format!("/keys?limit={}&prefix={}{after}", left.min(PAGE), encoded(prefix));
        let page: Page = client.region("GET", &path).send()?.json()?;
        left = left.saturating_sub(page.keys.len() as u64);
        write(out, &page.keys, long)?;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}

fn write(out: &mut Out, keys: &[Value], long: bool) -> Result<(), Error> {
    let name = |out: &Out, key: &Value| out.shown(key["key"].as_str().unwrap_or_default());
    if out.is_json {
        return keys.iter().try_for_each(|key| out.json(key));
    }
    if !long {
        return keys.iter().try_for_each(|key| out.line(name(out, key)));
    }
    let mut table = Table::new(&["key", ">weight", ">life", "type", "tags"]);
    for key in keys {
        let tags: Vec<&str> =
            key["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        table.row(vec![
            name(out, key),
            table::bytes(key["bytes"].as_u64().unwrap_or_default()),
            table::life(key["ttl_seconds"].as_f64()),
            out.shown(key["content_type"].as_str().unwrap_or_default()),
            out.shown(&tags.join(" ")),
        ]);
    }
    table.write(out)
}
