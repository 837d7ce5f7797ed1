//! Is the server well? For people, for scripts, and for whoever probes a container.

use serde_json::Value;

use crate::error::Error;
use crate::http::Client;
use crate::output::{Out, Style};
use crate::table;

pub(super) fn run(client: &Client, out: &mut Out, ready: bool) -> Result<(), Error> {
    if ready {
        return client.server("GET", "/readyz").send()?.checked().map(drop);
    }
    let body: Value = client.server("GET", "/health").send()?.json()?;
    let status = body["status"].as_str().unwrap_or_default();
    if out.is_json {
        out.json(&body)?;
    } else {
        let (metrics, shown) = (&body["metrics"], out.shown(status));
        out.line(out.styled(Style::of(status), &shown))?;
        for reason in body["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            out.line(format!("  {}", out.shown(reason)))?;
        }
        let rate = |name: &str| table::percent(metrics[name].as_f64());
        let time = table::millis(metrics["average_response_time_ms"].as_f64());
        let answers = metrics["total_operations"].as_u64().unwrap_or_default();
        out.line(format!(
            "{answers} answers, {} hits, {} errors, {time} on average",
            rate("hit_rate"),
            rate("error_rate")
        ))?;
    }
    // Degraded means that it serves.
    if status == "healthy" || status == "degraded" { Ok(()) } else { Err(Error::Unwell(status.to_owned())) }
}
