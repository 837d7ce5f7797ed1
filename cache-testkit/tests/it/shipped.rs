//! The traces that come with the project are what their README says.

use std::path::{Path, PathBuf};

use cache_testkit::load::{Shape, Workload};
use cache_testkit::trace::Trace;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces")
}

/// The rows `| name | requests | unique keys | ...` of the README's first table.
fn rows() -> Vec<(String, usize, u32)> {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let table = readme.lines().skip_while(|line| !line.starts_with("| file |")).skip(2);
    let row = |line: &str| {
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().replace([',', '`'], "")).collect();
        (cells[1].clone(), cells[2].parse().unwrap(), cells[3].parse().unwrap())
    };
    table.take_while(|line| line.starts_with('|')).map(row).collect()
}

#[test]
fn every_trace_has_the_counts_of_the_readme() {
    let rows = rows();
    assert!(rows.len() >= 3);
    for (file, requests, unique) in rows {
        let trace = Trace::open(folder().join(&file)).unwrap();
        assert_eq!((trace.len(), trace.unique()), (requests, unique), "{file}");
    }
}

#[test]
fn every_file_has_a_row_and_they_stay_small() {
    let named: Vec<String> = rows().into_iter().map(|(file, ..)| file).collect();
    let mut total = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let entry = entry.unwrap();
        total += entry.metadata().unwrap().len();
        let name = entry.file_name().into_string().unwrap();
        let described = named.contains(&name) || ["README.md", "LICENSE-APACHE"].contains(&name.as_str());
        assert!(described, "{name} is not in the table");
    }
    assert!(total < 400_000, "{total} bytes of traces");
}

#[test]
fn the_loop_is_what_the_generator_makes() {
    let trace = Trace::open(folder().join("loop.ctr.zst")).unwrap();
    let workload = Workload::new(Shape::Loop, trace.unique().try_into().unwrap());
    assert!(workload.ids().take(trace.len()).eq(trace.keys().iter().copied()));
}
