//! Jobs: long work that nobody waits for, how far it is, and an end of it.

use serde_json::Value;

use crate::args::Jobs;
use crate::error::Error;
use crate::http::Client;
use crate::output::{Out, Style};
use crate::table::{self, Table};

pub(super) fn run(client: &Client, out: &mut Out, what: Option<&Jobs>) -> Result<(), Error> {
    match what {
        None => list(client, out),
        Some(Jobs::End { id }) => {
            let job: Value = client.server("DELETE", &format!("/v1/jobs/{id}")).send()?.json()?;
            if out.is_json { out.json(&job) } else { out.line(state(&job)) }
        }
    }
}

fn list(client: &Client, out: &mut Out) -> Result<(), Error> {
    let body: Value = client.server("GET", "/v1/jobs").send()?.json()?;
    if out.is_json {
        return out.json(&body);
    }
    let mut table = Table::new(&[">id", "state", "how far", ">took", "what"]);
    for job in body["jobs"].as_array().into_iter().flatten() {
        let state = state(job);
        table.row(vec![
            job["id"].to_string(),
            out.styled(Style::of(&state), &state),
            progress(job),
            table::life(job["seconds"].as_f64()),
            out.shown(job["what"].as_str().unwrap_or_default()),
        ]);
    }
    table.write(out)
}

/// How it is, and with which status it failed, if it did.
fn state(job: &Value) -> String {
    match job["status"].as_u64() {
        Some(status) if status >= 400 => format!("failed: {status}"),
        _ => job["state"].as_str().unwrap_or_default().to_owned(),
    }
}

fn progress(job: &Value) -> String {
    let done = job["done"].as_u64().unwrap_or_default();
    match (job["total"].as_u64(), job["percent"].as_f64()) {
        (Some(total), Some(percent)) => {
            format!("{done} of {total}, {}", table::percent(Some(percent / 100.0)))
        }
        _ => done.to_string(),
    }
}
