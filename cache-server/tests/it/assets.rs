//! What is handed out beside the server asks for metrics that there are.

use std::collections::BTreeSet;

use cache_core::metric::{self, Kind, Metric};
use serde_json::Value;

const ALERTS: &str = include_str!("../../../assets/alerts.yml");
const ALERT_TESTS: &str = include_str!("../../../assets/alerts.test.yml");
const DASHBOARD: &str = include_str!("../../../assets/grafana.json");

/// The names in a text that can only be metrics of this project.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("cache_") || word.starts_with("process_")).collect()
}

#[track_caller]
fn are_known(names: &BTreeSet<&str>) {
    for name in names {
        let of_histogram = name.strip_suffix("_bucket");
        let is_it = |metric: &Metric| {
            metric.name == *name || metric.kind == Kind::Histogram && Some(metric.name) == of_histogram
        };
        assert!(metric::ALL.iter().any(is_it), "there is no metric {name}");
    }
}

#[test]
fn alerts_and_their_tests_name_metrics_that_there_are() {
    let (alerts, tests) = (names(ALERTS), names(ALERT_TESTS));
    are_known(&alerts);
    assert!(alerts.len() >= 8, "{alerts:?}");
    let untested: Vec<_> = alerts.difference(&tests).collect();
    assert!(untested.is_empty(), "no test of the alerts has {untested:?}");
    for alert in ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(ALERT_TESTS.contains(&format!("alertname: {alert}")), "{alert} has no test");
    }
}

#[test]
fn the_dashboard_names_metrics_that_there_are_and_has_no_panel_upon_another() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut places = BTreeSet::new();
    for panel in panels {
        let number = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        assert!(number("x") + number("w") <= 24, "{panel}");
        for y in number("y")..number("y") + number("h") {
            for x in number("x")..number("x") + number("w") {
                assert!(places.insert((x, y)), "{} is upon another one", panel["title"]);
            }
        }
        for target in panel["targets"].as_array().expect("targets") {
            are_known(&names(target["expr"].as_str().expect("an expression")));
        }
    }
    assert!(panels.len() >= 15);
}
