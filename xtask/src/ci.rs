//! `cargo xtask ci`: what CI runs. Cheap steps come first, and the summary at the end names every step.
//!
//! A failed step does not stop the others: one run tells all that is wrong. Many tests wait for servers, so the model, which only
//! computes, runs beside them, and what it says is shown when it has ended. Lints, docs and feature combinations share
//! what they compile; for that they all check in the development profile, and none of them sets `RUSTFLAGS`. Only the README
//! builds in release mode, because its reader does.

use std::collections::BTreeSet;
use std::process::{Output, Stdio};
use std::{io, thread};

use cargo_metadata::{Metadata, MetadataCommand, Package, Target};

use crate::run::{self, Failure, Outcome};
use crate::{readme, test, tidy, tools};

struct Step {
    name: &'static str,
    run: fn() -> Outcome,
    /// Whether those after it need not wait for it.
    beside: bool,
}

const fn step(name: &'static str, run: fn() -> Outcome) -> Step {
    Step { name, run, beside: false }
}

const STEPS: [Step; 9] = [
    step("fmt", fmt),
    step("tidy", law),
    step("clippy", clippy),
    step("docs", docs),
    step("features", features),
    step("build", test::build),
    Step { beside: true, ..step("shuttle", shuttle) },
    step("test", || test::run(&[])),
    step("readme", || readme::run(&run::root(), readme::README)),
];

/// Prints the names of the steps.
pub(crate) fn list() {
    for Step { name, .. } in &STEPS {
        println!("{name}");
    }
}

/// Runs the named steps, or all of them, and fails if any of them failed.
pub(crate) fn run(only: &[String]) -> Outcome {
    let steps = chosen(only)?;
    let mut summary = Vec::new();
    let mut beside = Vec::new();
    for step in &steps {
        if step.beside && steps.len() > 1 {
            eprintln!("\n== {}: beside those that follow", step.name);
            beside.push((step.name, thread::spawn(|| run::timed(|| apart(step.name)))));
            continue;
        }
        eprintln!("\n== {}", step.name);
        let (outcome, took) = run::timed(step.run);
        summary.push((step.name, outcome.map_err(Failure::report).is_ok(), took));
    }
    for (name, step) in beside {
        let (output, took) = step.join().map_err(|_| Failure::new(format!("{name}: it panicked")))?;
        let output = output.map_err(|error| Failure::new(format!("{name}: cannot be run: {error}")))?;
        eprintln!("\n== {name}\n{}", String::from_utf8_lossy(&output.stderr));
        println!("{}", String::from_utf8_lossy(&output.stdout));
        summary.push((name, output.status.success(), took));
    }
    println!("\n{:<10} {:<7} {:>7}", "step", "result", "seconds");
    for (name, passed, took) in &summary {
        let result = if *passed { "ok" } else { "FAILED" };
        println!("{name:<10} {result:<7} {:>7.1}", took.as_secs_f32());
    }
    if summary.iter().all(|(_, passed, _)| *passed) { Ok(()) } else { Err(Failure::new("")) }
}

/// Runs a step by this program once more, so that what it says can be kept until it has ended. By cargo, as the tests have built
/// this program anew, and the file that runs here is gone.
fn apart(name: &str) -> io::Result<Output> {
    let again = ["run", "--quiet", "--package", "xtask", "--", "ci", "--only", name];
    run::cargo().args(again).stdin(Stdio::null()).output()
}

fn chosen(only: &[String]) -> Result<Vec<&'static Step>, Failure> {
    let known = |name: &String| STEPS.iter().any(|step| step.name == name);
    if let Some(unknown) = only.iter().find(|name| !known(name)) {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        return Err(Failure::new(format!("--only {unknown}: no such step; there are {}", names.join(", "))));
    }
    let wanted = |step: &&Step| only.is_empty() || only.iter().any(|name| name == step.name);
    Ok(const { &STEPS }.iter().filter(wanted).collect())
}

fn fmt() -> Outcome {
    tools::ensure(&[tools::RUSTFMT])?;
    run::run(run::cargo().args(["fmt", "--all", "--check"]))
}

fn law() -> Outcome {
    tidy::run(&run::root(), &[])
}

fn clippy() -> Outcome {
    tools::ensure(&[tools::C_COMPILER, tools::CLIPPY])?;
    let features = all_features(&workspace()?);
    let arguments = ["--workspace", "--all-targets", "--features", &features, "--locked"];
    run::run(run::cargo().arg("clippy").args(arguments).args(DENY_WARNINGS))
}

/// Documents every library, and every program that has none beside it.
fn docs() -> Outcome {
    // Asking for examples turns on what dev-dependencies ask of others, as the lints do, and so shares what they compiled.
    let arguments = ["doc", "--workspace", "--no-deps", "--locked", "--lib", "--examples"];
    let mut command = run::cargo();
    command.env("RUSTDOCFLAGS", "-D warnings").args(arguments);
    let workspace = workspace()?;
    command.args(["--features", &all_features(&workspace)]);
    let packages = workspace.workspace_packages().into_iter();
    let is_library = |target: &Target| target.is_lib() || target.is_proc_macro();
    for package in packages.filter(|package| !package.targets.iter().any(is_library)) {
        command.args(["--bin", &package.name]);
    }
    run::run(&mut command)
}

/// Builds each crate that has features without any, and with each of them alone. Tools, which nobody depends on, have been built as
/// they are used.
fn features() -> Outcome {
    let is_for_users =
        |package: &&Package| package.publish.as_ref().is_none_or(|registries| !registries.is_empty());
    for package in workspace()?.workspace_packages().into_iter().filter(is_for_users) {
        for feature in combinations(package) {
            let mut command = run::cargo();
            command.args(["clippy", "--package", &package.name, "--locked", "--no-default-features"]);
            if let Some(feature) = feature {
                command.args(["--features", feature]);
            }
            run::run(command.args(DENY_WARNINGS))?;
        }
    }
    Ok(())
}

/// Runs the model of strata: its real code, in other orders of its threads and tasks. A hundred thousand of each property, unless
/// the environment says how many; it takes a minute and a half of one core, which is all that it may have beside the tests. The one
/// step that sets `RUSTFLAGS`. It names the target that is meant anyway, because then they hold for that alone, and what runs while
/// compiling, which the other steps have built, need not be built again.
fn shuttle() -> Outcome {
    let mut command = run::cargo();
    command.env("RUSTFLAGS", "--cfg strata_shuttle");
    command.args(["test", "--config", "profile.dev.package.strata.opt-level = 2"]);
    command.args(["--package", "strata", "--test", "it", "--locked"]);
    run::run(command.args(["--target", "host-tuple", "--", "--test-threads", "1"]))
}

fn workspace() -> Result<Metadata, Failure> {
    let metadata = MetadataCommand::new().current_dir(run::root()).no_deps().exec();
    metadata.map_err(|error| Failure::new(format!("cannot read the workspace: {error}")))
}

/// Features that CI leaves out, because what they compile would take it more time than it has.
const APART: [(&str, &str); 3] = [("cache-server", "otel"), ("peers", "cache"), ("peers", "limit")];

/// Features that are not built alone, because the lints have built them with all others, and what they compile takes long or is a test.
const TOGETHER: [(&str, &str); 4] = [
    ("cache-redis", "fred"),
    ("cache-redis", "tls"),
    ("cache-server", "browser"),
    ("cache-server", "prometheus"),
];

/// All features of all packages, as cargo takes them, but for those that are left out.
fn all_features(workspace: &Metadata) -> String {
    let of = |package: &Package| {
        features_of(package).map(|feature| format!("{}/{feature}", package.name)).collect::<Vec<_>>()
    };
    workspace.workspace_packages().into_iter().flat_map(of).collect::<Vec<_>>().join(",")
}

fn features_of(package: &Package) -> impl Iterator<Item = &str> {
    let features = package.features.keys().map(String::as_str);
    features.filter(|feature| !APART.contains(&(package.name.as_str(), feature)))
}

/// No feature at all, then each one alone, the default set being one; nothing for a crate without features.
fn combinations(package: &Package) -> Vec<Option<&str>> {
    let alone = |feature: &&str| !TOGETHER.contains(&(package.name.as_str(), feature));
    let features: BTreeSet<&str> = features_of(package).filter(alone).collect();
    let none = (!features.is_empty()).then_some(None);
    none.into_iter().chain(features.into_iter().map(Some)).collect()
}

const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];
