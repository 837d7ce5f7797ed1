//! The tool as a user runs it: a process, its output and its exit code. And fleets over a real Redis.

#[cfg(test)]
#[path = "it/budget.rs"]
mod budget;
#[cfg(test)]
#[path = "it/chaos.rs"]
mod chaos;
#[cfg(test)]
#[path = "it/fleet.rs"]
mod fleet;
#[cfg(test)]
#[path = "it/gap.rs"]
mod gap;
#[cfg(test)]
#[path = "it/limits.rs"]
mod limits;
#[cfg(test)]
#[path = "it/load.rs"]
mod load;
#[cfg(test)]
#[path = "it/removals.rs"]
mod removals;
#[cfg(test)]
#[path = "it/retried.rs"]
mod retried;
#[cfg(test)]
#[path = "it/served.rs"]
mod served;
#[cfg(test)]
#[path = "it/server.rs"]
mod server;

#[cfg(test)]
mod tool {
    use std::path::Path;
    use std::process::Command;

    /// Runs the tool; gives its exit code, standard output and standard error.
    pub(crate) fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_measure")).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// The path of a trace that comes with the project.
    pub(crate) fn trace(file: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../traces").join(file);
        path.into_os_string().into_string().unwrap()
    }
}
