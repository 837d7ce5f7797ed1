//! A fleet whose Redis breaks, for a few seconds each way: nobody sees an error, or what nobody may see any more.

use serde_json::Value;

use crate::tool::run;

#[test]
fn callers_notice_nothing_of_a_redis_that_breaks() {
    let faults = "killed,stopped,restarted-empty,read-only,out-of-memory,slow,cut-in-reply,bus-cut";
    let (code, out, error) = run(&["chaos", "--json", "--quick", "--seconds", "2", "--only", faults]);
    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let rows = report["faults"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["fault"].as_str().unwrap()).collect();
    assert_eq!(names.join(","), faults);
    for row in rows {
        let of = |field: &str| row[field].as_u64().unwrap();
        assert_eq!([of("errors"), of("wrong")], [0, 0], "{row}");
        assert!(of("reads") > 500 && of("changes") > 50, "too little to say anything: {row}");
        // Else nothing was broken.
        let noticed = if row["fault"] == "bus-cut" { "doubts" } else { "tier_errors" };
        assert!(of(noticed) > 0, "{row}");
    }
}

#[test]
fn a_fault_that_is_not_known_is_refused_with_those_that_are() {
    let (code, _, error) = run(&["chaos", "--only", "earthquake"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("killed") && error.contains("bus-cut"), "{error}");
}

#[test]
fn every_event_that_a_bus_has_taken_is_heard_by_all_others() {
    let (code, out, error) = run(&["bus", "--json", "--seconds", "1", "--callers", "4"]);
    assert_eq!(code, Some(0), "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let of = |field: &str| report[field].as_u64().unwrap();
    assert!(of("published") > 0);
    assert_eq!([of("heard"), of("heard_expected")], [2 * of("published"); 2]);
}
