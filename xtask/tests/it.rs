//! What `cargo xtask` does, seen from outside: the program runs, and its words and exit code are checked.
//!
//! For every rule of tidy there is a planted violation that it must report, and a tiny clean workspace in which no rule
//! finds anything. Whether this repository is clean is asked by `cargo xtask ci`, not here.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod planted;
#[cfg(unix)]
#[path = "it/readme.rs"]
mod readme;

use std::process::{Command, Output};

use planted::{CASES, QUIET, Workspace};

fn xtask(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(arguments);
    command
}

fn finished(command: &mut Command) -> Output {
    command.output().expect("the program under test starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn tidy(workspace: &Workspace, only: &[&str]) -> Output {
    let mut command = xtask(&["tidy", "--root"]);
    command.arg(workspace.root());
    for rule in only {
        command.args(["--only", rule]);
    }
    finished(&mut command)
}

#[test]
fn a_clean_workspace_breaks_no_rule() {
    let output = tidy(&Workspace::clean(), &[]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("files are clean"), "{}", text(&output.stdout));
}

#[test]
fn every_planted_violation_is_reported() {
    for case in CASES {
        let output = tidy(&Workspace::with(case.edits), &[case.rule]);
        let (path, rule) = (case.path, case.rule);
        let reported = text(&output.stdout);
        let said =
            |line: &str| line.starts_with(&format!("{path}:")) && line.contains(&format!(": {rule}: "));
        assert!(reported.lines().any(said), "{rule} misses {path} in {:?}\n{reported}", case.edits);
        assert_eq!(output.status.code(), Some(1), "{reported}");
    }
}

#[test]
fn what_only_looks_like_a_violation_is_not_reported() {
    for (rule, edits) in QUIET {
        let output = tidy(&Workspace::with(edits), &[rule]);
        assert!(
            output.status.success(),
            "{rule} in {edits:?}\n{}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
}

#[test]
fn every_rule_has_a_planted_violation() {
    let listed = text(&finished(&mut xtask(&["tidy", "--list"])).stdout);
    let rules: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(rules.len() > 15, "{listed}");
    for rule in rules {
        assert!(
            CASES.iter().any(|case| case.rule == rule),
            "plant a violation of `{rule}` in planted/mod.rs"
        );
    }
}

#[test]
fn an_unknown_rule_or_step_is_refused_by_name() {
    for task in ["tidy", "ci"] {
        let output = finished(&mut xtask(&[task, "--only", "polish"]));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("--only polish: no such"), "{}", text(&output.stderr));
    }
}

#[cfg(unix)]
mod with_a_stand_in_for_cargo {
    //! A script in cargo's place says how it was called, and ends as it is told.

    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn called(arguments: &[&str], exit_code: u8) -> Output {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cargo = folder.path().join("cargo");
        let script = format!("#!/bin/sh\nprintf '[%s]' \"$@\"\necho\npwd\nexit {exit_code}\n");
        fs::write(&cargo, script).expect("the stand-in is written");
        fs::set_permissions(&cargo, Permissions::from_mode(0o755)).expect("the stand-in may run");
        finished(xtask(arguments).env("CARGO", &cargo).current_dir(folder.path()))
    }

    #[test]
    fn measuring_gets_every_argument_unread_where_the_user_stands() {
        let output = called(&["hit-ratio", "--help", "--", "a b", "-p=x"], 5);
        let said = text(&output.stdout);
        assert!(said.contains("[--package][peers][--][hit-ratio][--help][--][a b][-p=x]\n"), "{said}");
        assert!(said.contains("[run][--release][--quiet]"), "{said}");
        assert!(!said.contains("xtask\n"), "it runs in the repository instead: {said}");
        assert_eq!(output.status.code(), Some(5), "the exit code goes through");
    }

    #[test]
    fn each_measuring_task_has_its_package() {
        for (task, package) in [("load", "measure"), ("hit-ratio", "peers"), ("bench", "peers")] {
            let said = text(&called(&[task], 0).stdout);
            assert!(said.contains(&format!("[--package][{package}][--][{task}]\n")), "{said}");
        }
    }

    #[test]
    fn tests_stop_at_the_first_failure() {
        let output = called(&["test", "--", "--exact"], 3);
        let said = text(&output.stdout);
        assert_eq!(said.matches("[test]").count(), 1, "{said}");
        assert!(said.contains("[--all-targets]") && said.contains("[--][--exact]"), "{said}");
        assert!(text(&output.stderr).contains("$ cargo test --workspace"), "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(3), "the exit code goes through");
    }

    #[test]
    fn tests_end_with_the_examples_in_the_docs() {
        let output = called(&["test"], 0);
        let said = text(&output.stdout);
        assert!(said.lines().any(|line| line.contains("[test]") && line.contains("[--doc]")), "{said}");
        assert!(output.status.success());
    }

    #[test]
    fn ci_runs_the_other_steps_after_a_failure_and_sums_up() {
        let output = called(&["ci", "--only", "clippy", "--only", "docs"], 1);
        let said = text(&output.stdout);
        let failed = |step: &str| said.lines().any(|line| line.starts_with(step) && line.contains("FAILED"));
        assert!(failed("clippy") && failed("docs"), "{said}");
        assert_eq!(output.status.code(), Some(1));
    }
}
