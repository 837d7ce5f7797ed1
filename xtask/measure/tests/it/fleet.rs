//! Real processes on a real Redis: every answer is judged, and each key is loaded once.

use serde_json::Value;

use crate::tool::run;

#[test]
fn real_processes_keep_their_promises_and_load_each_key_once() {
    let (code, out, error) = run(&["fleet", "--json", "--quick", "--writes", "8000"]);
    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let (writes, loads) = (&report["writes"], &report["loads"]);
    let of = |field: &str| writes[field].as_u64().unwrap();
    assert_eq!([of("wrong"), of("errors"), of("open")], [0; 3], "{out}");
    assert!(of("writes") >= 8_000 && of("reads") >= 2 * of("writes") && of("removals") > 2000, "{out}");
    assert!(of("samples") > 300 && of("late") > 0, "too little to say anything: {out}");
    let count = |trial: &str, field: &str| loads[trial][field].as_u64().unwrap();
    assert_eq!([count("cold", "loads"), count("cold", "most")], [count("cold", "keys"), 1], "{out}");
    assert_eq!([count("killed", "kills"), count("killed", "loads")], [2, 3], "{out}");
    assert_eq!(
        [count("stale", "fresh"), count("stale", "loads_meanwhile"), count("stale", "loads")],
        [0, 1, 2]
    );
}

#[test]
fn a_process_that_hears_nothing_is_found_out_by_the_judge_and_by_its_monitor() {
    let (code, out, error) = run(&["fleet", "--json", "--quick", "--writes", "1500", "--deaf"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(error.contains("answers are wrong") && error.contains("memory and tier disagree"), "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    // Whether answers were beyond the bound while it ran depends on how fast it was; that processes differ in the end does not.
    assert!(report["writes"]["wrong"].as_u64().unwrap() > 0, "{out}");
    assert!(report["writes"]["open"].as_u64().unwrap() > 0, "{out}");
}
