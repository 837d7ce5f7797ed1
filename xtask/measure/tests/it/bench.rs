//! `bench`: what it says where it cannot count.

use std::process::Command;

#[test]
fn without_valgrind_it_says_how_to_install_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_measure")).arg("bench").env("PATH", "").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("apt-get install valgrind"));
}
