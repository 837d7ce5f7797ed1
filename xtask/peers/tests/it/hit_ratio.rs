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
fn by_bytes_and_cost_the_capacity_is_in_bytes_and_two_ratios_follow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.csv");
    std::fs::write(&path, "key,size,cost\na,10,1\nb,90,9\na,10,1\nb,90,9\n").unwrap();
    for by in ["bytes", "cost"] {
        let path = path.to_str().unwrap();
        let arguments = ["--trace", path, "--fraction", "0.9", "--policy", "lru,opt", "--by", by, "--json"];
        let (code, out, error) = run(&[&["hit-ratio"], arguments.as_slice()].concat());
        assert_eq!(code, Some(0), "{error}");
        let cells: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(cells[0]["capacity"], 90);
        assert_eq!(cells[0]["hits"], 0, "each makes the other leave");
        assert_eq!(cells[1]["byte_hit_ratio"], 0.5, "all of it is possible by space alone: {out}");
        assert_eq!(cells[1].as_object().unwrap().len(), 8, "{out}");
    }
}

#[test]
fn all_names_every_policy_and_cache_once() {
    let web07 = trace("web07.ctr.zst");
    let arguments =
        ["hit-ratio", "--trace", &web07, "--fraction", "0.1", "--policy", "lru,all,moka", "--json"];
    let (code, out, error) = run(&arguments);
    assert_eq!(code, Some(0), "{error}");
    let cells: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = cells.iter().map(|cell| cell["policy"].as_str().unwrap()).collect();
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), names.len(), "{names:?}");
    for name in ["lru", "sieve", "moka", "moka-lru", "quick_cache", "foyer-s3fifo", "tinyufo", "opt"] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    let best = cells.last().unwrap()["hits"].as_u64();
    assert!(cells.iter().all(|cell| cell["hits"].as_u64() <= best), "{out}");
}

#[test]
fn lifetimes_end_entries_of_ours_and_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lives.csv");
    std::fs::write(&path, "key,ttl,time\na,10,0\na,10,9\na,10,10\nb,0,11\nb,0,99\n").unwrap();
    let path = path.to_str().unwrap();
    let ask = |more: &[&str]| {
        run(&[&["hit-ratio", "--trace", path, "--capacity", "9", "--json", "--policy"], more].concat())
    };
    let (_, out, _) = ask(&["lru,quick_cache", "--ttl"]);
    assert_eq!(out.matches("\"hits\":2").count(), 2, "{out}");
    let (_, out, _) = ask(&["lru,quick_cache"]);
    assert_eq!(out.matches("\"hits\":3").count(), 2, "{out}");
    let (code, _, error) = ask(&["opt", "--ttl"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("opt knows no lifetimes"), "{error}");
}

#[test]
fn a_format_can_be_named_and_a_picture_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks");
    std::fs::write(&path, "0 5 0 0\n2 2 0 1\n").unwrap();
    let pictures = folder.path().join("pictures");
    let (path, plot) = (path.to_str().unwrap(), pictures.to_str().unwrap());
    let arguments = ["hit-ratio", "--trace", path, "--capacity", "1,5", "--policy", "lru,opt"];
    let (code, _, error) = run(&arguments);
    assert_eq!(code, Some(1));
    assert!(error.contains("the name does not say the format"), "{error}");
    let (code, out, error) = run(&[arguments.as_slice(), &["--format", "arc", "--plot", plot]].concat());
    assert_eq!((code, out.lines().count()), (Some(0), 5), "{error}");
    let picture = std::fs::read_to_string(pictures.join("blocks-requests.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.contains("blocks: requests that hit"), "{picture}");
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
    check(&["--capacity", "9", "--policy", "fifo"], &["fifo", "lru", "sieve", "quick_cache", "or all"]);
    check(&["--capacity", "9", "--policy", "lru", "--format", "xml"], &["xml", "ctr, arc, keys, csv"]);
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
