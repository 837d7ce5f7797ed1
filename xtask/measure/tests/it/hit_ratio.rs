//! `hit-ratio`: its table, its JSON, and what it says to wrong arguments.

use serde_json::Value;

use crate::tool::{run, trace};

#[test]
fn json_has_one_object_per_line_with_these_fields() {
    let multi3 = trace("multi3.ctr.zst");
    let (code, out, _) =
        run(&["hit-ratio", "--trace", &multi3, "--fraction", "0.1,0.5", "--policy", "lru,sieve", "--json"]);
    assert_eq!(code, Some(0));
    let cells: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |field: &str| cells.iter().map(|cell| cell[field].clone()).collect::<Vec<_>>();
    assert_eq!(of("trace"), ["multi3"; 4]);
    assert_eq!(of("policy"), ["lru", "sieve", "lru", "sieve"]);
    assert_eq!(of("capacity"), [745, 745, 3_727, 3_727]);
    assert_eq!(of("requests"), [30_241; 4]);
    for cell in &cells {
        assert_eq!(cell.as_object().unwrap().len(), 6, "{cell}");
        let share = cell["hits"].as_f64().unwrap() / 30_241.0;
        assert!((cell["hit_ratio"].as_f64().unwrap() - share).abs() < 1e-12, "{cell}");
    }
}

#[test]
fn the_table_is_aligned() {
    let (multi3, web07) = (trace("multi3.ctr.zst"), trace("web07.ctr.zst"));
    let (code, out, _) =
        run(&["hit-ratio", "--trace", &multi3, "--trace", &web07, "--capacity", "5,5000", "--policy", "lru"]);
    assert_eq!(code, Some(0));
    let ends: Vec<usize> = out.lines().map(|line| line.chars().count()).collect();
    assert_eq!(ends, [ends[0]; 5], "\n{out}");
}

#[test]
fn wrong_arguments_are_named_with_what_would_be_right() {
    #[track_caller]
    fn check(arguments: &[&str], expected: &[&str]) {
        let multi3 = trace("multi3.ctr.zst");
        let all = [&["hit-ratio", "--trace", multi3.as_str()], arguments].concat();
        let (code, out, error) = run(&all);
        assert_ne!(code, Some(0));
        assert!(out.is_empty(), "{out}");
        for part in expected {
            assert!(error.contains(part), "{part} is missing in {error}");
        }
    }
    check(&["--capacity", "9", "--policy", "fifo"], &["fifo", "lru", "sieve"]);
    check(&["--capacity", "0", "--policy", "lru"], &["--capacity", "0 is not in 1.."]);
    check(&["--fraction", "0", "--policy", "lru"], &["'0'", "above 0 and up to 1"]);
    check(&["--fraction", "1.5", "--policy", "lru"], &["'1.5'", "above 0 and up to 1"]);
    check(&["--policy", "lru"], &["--capacity", "--fraction"]);
    check(&["--capacity", "9", "--fraction", "0.1", "--policy", "lru"], &["cannot be used with"]);
    check(&["--capacity", "9"], &["--policy"]);
    check(
        &["--trace", "absent.ctr.zst", "--capacity", "9", "--policy", "lru"],
        &["absent.ctr.zst", "expected a readable"],
    );
}
