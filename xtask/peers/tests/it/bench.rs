//! `bench`: a brief run of everything, and what it says where it cannot count.

use std::process::Command;

use serde_json::Value;

use crate::tool::run;

#[test]
fn without_valgrind_it_says_how_to_install_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_peers")).arg("bench").env("PATH", "").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("apt-get install valgrind"));
}

#[test]
fn a_brief_run_times_every_engine_and_tells_it_as_one_object() {
    let (code, out, error) = run(&["bench", "memory", "--quick", "--json"]);
    assert_eq!(code, Some(0), "{error}");
    let json: Value = serde_json::from_str(&out).unwrap();
    let workloads = json["workloads"].as_array().unwrap();
    for keys in ["integer", "string"] {
        for threads in [1, 2] {
            let of = |row: &&Value| row["keys"] == keys && row["threads"] == threads;
            let rows: Vec<&Value> = workloads.iter().filter(of).collect();
            assert!(rows.len() >= 8, "{keys} on {threads}: {}", rows.len());
            for row in rows {
                let times: Vec<f64> =
                    row["ns"].as_object().unwrap().values().map(|it| it.as_f64().unwrap()).collect();
                assert!(times.len() >= 7 && times.iter().all(|&time| time > 0.0), "{row}");
            }
        }
    }
    for mean in ["geomean", "geomean_strings"] {
        let means = json[mean].as_object().unwrap();
        assert_eq!(means.len(), 8, "{mean}: {means:?}");
        assert!(means.values().all(|mean| mean.as_f64().unwrap() > 0.0), "{mean}: {means:?}");
    }
    for (kind, least) in [("8+8", 16.0), ("32+100", 132.0)] {
        let bytes = json["bytes_per_entry"][kind].as_object().unwrap();
        assert_eq!(bytes.len(), 10, "{bytes:?}");
        assert!(bytes.values().all(|it| it.as_f64().unwrap() > least), "{kind}: {bytes:?}");
    }
}

#[test]
fn engines_and_workloads_can_be_chosen_and_wrong_ones_are_named() {
    let (code, out, error) =
        run(&["bench", "memory", "--quick", "--engine", "strata,quick_cache", "--workload", "insert"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("insert-16k") && !out.contains("read-zipf") && !out.contains(" moka"), "{out}");
    let (code, _, error) = run(&["bench", "memory", "--engine", "redis"]);
    assert_ne!(code, Some(0));
    assert!(error.contains("redis") && error.contains("strata, strata-ttl, moka"), "{error}");
    let (code, _, error) = run(&["bench", "memory", "--quick", "--workload", "sleep"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("--workload sleep: no such workload"), "{error}");
}

#[test]
fn a_brief_run_times_a_hit_of_every_cache_and_wakes_every_waiter() {
    let (code, out, error) = run(&["bench", "cache", "--quick", "--json"]);
    assert_eq!(code, Some(0), "{error}");
    let json: Value = serde_json::from_str(&out).unwrap();
    let workloads = json["workloads"].as_array().unwrap();
    assert_eq!(workloads.len(), 4);
    for workload in workloads {
        for lane in [
            "strata",
            "strata-ages",
            "strata-tags",
            "strata-local",
            "memory",
            "moka",
            "moka-with",
            "foyer-fetch",
        ] {
            assert!(workload["ns"][lane].as_f64().unwrap() > 0.0, "{lane}: {workload}");
        }
        if let Some(counted) = workload["allocations"]["strata"].as_f64() {
            assert!(counted.abs() < f64::EPSILON, "{workload}");
        }
    }
    let bounds = json["bounds"].as_array().unwrap();
    assert_eq!(bounds.len(), 12);
    assert!(bounds.iter().all(|bound| bound["holds"].is_boolean()), "{bounds:?}");
    let ours = &json["waiters"]["strata"];
    assert_eq!((ours["loads"].as_u64(), ours["woken"].as_u64()), (Some(1), ours["waiters"].as_u64()));
}

#[test]
fn lanes_can_be_chosen_and_wrong_ones_are_named() {
    let (code, out, error) = run(&["bench", "cache", "--quick", "--lane", "strata,moka"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("strata ") && !out.contains("foyer"), "{out}");
    let (code, _, error) = run(&["bench", "cache", "--lane", "redis"]);
    assert_ne!(code, Some(0));
    assert!(error.contains("redis") && error.contains("strata-ttl"), "{error}");
}

#[cfg(feature = "redis")]
#[test]
fn a_brief_run_compares_what_carries_news() {
    let (code, out, error) = run(&["bench", "redis", "--carriers", "--quick", "--json"]);
    assert_eq!(code, Some(0), "{error}");
    let json: Value = serde_json::from_str(&out).unwrap();
    let rows = json["rows"].as_array().unwrap();
    for carrier in ["channel", "stream", "tracking"] {
        for callers in [1, 32] {
            for figure in ["events", "heard after, median", "heard after, 99 of 100", "kept by the server"] {
                let what = format!("{carrier}, {callers} callers a node: {figure}");
                let row =
                    rows.iter().find(|row| row["what"] == *what).unwrap_or_else(|| panic!("{what}: {out}"));
                assert!(figure.starts_with("kept") || row["found"].as_f64().unwrap() > 0.0, "{row}");
            }
        }
    }
}

#[cfg(feature = "redis")]
#[test]
fn a_brief_run_compares_the_redis_tier_with_its_bare_client() {
    let (code, out, error) = run(&["bench", "redis", "--quick", "--json"]);
    assert_eq!(code, Some(0), "{error}");
    let json: Value = serde_json::from_str(&out).unwrap();
    let rows = json["rows"].as_array().unwrap();
    let row =
        |what: &str| rows.iter().find(|row| row["what"] == what).unwrap_or_else(|| panic!("{what}: {out}"));
    for act in ["get", "set"] {
        for callers in [1, 32, 256] {
            for side in ["bare", "ours", "fred"] {
                let calls = row(&format!("{act}, {callers} callers: {side}, calls"));
                assert!(calls["found"].as_f64().unwrap() > 0.0, "{calls}");
            }
            let ratio = row(&format!("{act}, {callers} callers: ours of bare"));
            assert_eq!((&ratio["at_least"], ratio["holds"].is_boolean()), (&0.85.into(), true), "{ratio}");
        }
    }
    assert!(row("100 keys in one call, faster")["found"].as_f64().unwrap() > 1.0, "{out}");
    let command = row("removal of 2000 keys by prefix: longest command")["found"].as_f64().unwrap();
    assert!(command > 0.0, "{out}");
    for (what, unit) in [
        ("removal of a tag of 1000 entries", "ms"),
        ("removal of 2000 keys by prefix: longest wait of another client", "ms"),
    ] {
        assert_eq!((&row(what)["unit"], row(what)["holds"].is_boolean()), (&unit.into(), true));
    }
}

#[test]
fn a_brief_run_floods_a_limiter_and_times_its_decisions() {
    let (code, out, error) = run(&["bench", "limit", "--quick", "--json"]);
    assert_eq!(code, Some(0), "{error}");
    let json: Value = serde_json::from_str(&out).unwrap();
    let decisions = json["decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 12);
    assert!(decisions.iter().all(|row| row["ns"]["window"].as_f64().unwrap() > 0.0), "{decisions:?}");
    assert_eq!(
        (&json["flood"]["held"], &json["flood"]["come"]),
        (&Value::from(10_000), &Value::from(100_000))
    );
    let first = &json["bounds"][0];
    assert_eq!((&first["bound"], &first["holds"]), (&Value::from("at most 10000 keys"), &Value::from(true)));
}
