//! Real processes on one Redis that fails over: what is strict admits no more than the limit, and the judge would see it.

use serde_json::Value;

use crate::tool::run;

fn of<'a>(report: &'a Value, choice: &str) -> &'a Value {
    let runs = report["runs"].as_array().unwrap();
    runs.iter().find(|run| run["choice"] == choice).unwrap()
}

#[test]
fn four_processes_admit_no_more_than_the_limit_in_any_window_across_a_failover() {
    let arguments = ["limits", "--json", "--seconds", "8", "--limit", "50", "--window-ms", "1000"];
    let choices = ["--choice", "strict-closed", "--choice", "open"];
    let (code, out, error) = run(&[&arguments[..], &choices].concat());
    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let strict = of(&report, "strict-closed");
    assert!(strict["most"].as_u64().unwrap() <= 50, "{out}");
    assert!(strict["admitted"].as_u64().unwrap() > 300 && strict["without_counters"] == 0, "{out}");
    // So the judge sees what is too much.
    let open = of(&report, "open");
    assert!(open["most"].as_u64().unwrap() > 50 && open["too_full"].as_u64().unwrap() > 0, "{out}");
}
