//! What does not go: the exit code tells which way, the text tells what to do.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::Value;

use crate::program::{Ended, Running, program, text};

#[track_caller]
fn check(ended: Ended, code: i32, says: &[&str]) {
    let ended = ended.expect(code);
    for part in says {
        assert!(ended.err.contains(part), "{part}: {}", ended.err);
    }
}

#[test]
fn each_way_to_fail_has_its_code_and_says_what_to_do() {
    let server = Running::start("body_limit_bytes = 1000");
    check(server.run(&["get", "none"]), 1, &["there is no entry of the key none"]);
    check(server.run(&["ttl", "none"]), 1, &["none"]);
    check(server.run(&["meta", "none"]), 1, &["none"]);
    check(server.run(&["ttl", "none", "5m"]), 1, &["none"]);
    check(server.run(&["got", "k"]), 2, &["unrecognized subcommand", "get"]);
    check(server.run(&["del"]), 2, &["required"]);
    check(server.run(&["-s", "localhost", "get", "k"]), 2, &["http://host:port"]);
    check(server.run(&["set", "k", "v", "--tag", "a,b"]), 2, &["strata import"]);
    check(server.run(&["-r", "none", "get", "k"]), 4, &["404", "region", "strata regions add"]);
    check(server.run(&["set", "k", "v", "--ttl", "soon"]), 4, &["400", "ttl", "seconds"]);
    check(server.run(&["get", ""]), 4, &["400", "key"]);
    let large = Ended::of(server.program(&["set", "k"]), &[0; 5000]);
    check(large, 4, &["413", "body_limit_bytes", "hint:"]);
    check(server.run(&["set", "k", "--file", "/no/such"]), 5, &["/no/such"]);
    check(server.run(&["set", "k", "--file", "/"]), 5, &["directory"]);
    // What was refused has changed nothing.
    check(server.run(&["get", "k"]), 1, &[]);
}

#[test]
fn a_server_that_is_away_or_silent_or_another_is_told_as_such() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", free.local_addr().expect("bound"));
    let silent = program(&["-s", &address, "get", "k", "--timeout", "100ms"]);
    check(Ended::of(silent, b""), 3, &["has said nothing for 100ms", "--timeout"]);
    let json = program(&["-s", &address, "health", "--timeout", "100ms", "--json"]);
    let told: Value = serde_json::from_str(&Ended::of(json, b"").expect(3).err).expect("JSON");
    assert!(told["exit_code"] == 3 && told["hint"].is_string(), "{told}");

    let stranger = std::thread::spawn(move || {
        // Those that waited for an answer in vain come first.
        for connection in free.incoming().take(4) {
            let mut connection = connection.expect("a connection");
            let _ = connection.read(&mut [0; 1000]);
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n<html>");
        }
    });
    let cut = program(&["-s", &address, "get", "k"]);
    check(Ended::of(cut, b""), 3, &["broke off"]);
    let html = program(&["-s", &address, "regions"]);
    check(Ended::of(html, b""), 3, &[]);
    stranger.join().expect("no panic");
    check(Ended::of(program(&["-s", &address, "get", "k"]), b""), 3, &["nobody listens at", "STRATA_URL"]);
}

#[test]
fn a_token_comes_from_the_environment_or_a_file_and_is_never_shown() {
    let server = Running::start("token = \"top-secret\"");
    check(server.run(&["get", "k"]), 4, &["401", "STRATA_TOKEN", "--token-file"]);
    server.run(&["health"]).expect(0);
    let with = |name: &str, value: &str| {
        let mut command = server.program(&["set", "k", "v"]);
        command.env(name, value);
        Ended::of(command, b"")
    };
    with("STRATA_TOKEN", "top-secret").expect(0);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), "top-secret\n").expect("a writable file");
    let path = file.path().to_str().expect("text");
    with("STRATA_TOKEN_FILE", path).expect(0);
    server.run(&["get", "k", "--token-file", path]).expect(0);
    server.run(&["get", "k", "--token", "top-secret"]).expect(0);
    for (name, value) in [
        ("STRATA_TOKEN", "wrong-secret"),
        ("STRATA_TOKEN", "wrong secret"),
        ("STRATA_TOKEN_FILE", "/no/secret-file"),
    ] {
        let ended = with(name, value);
        assert!(ended.code != Some(0) && !ended.err.contains("wrong"), "{}", ended.err);
    }
    let help = program(&["--help"]);
    let help = Ended::of(help, b"").expect(0).text();
    assert!(help.contains("Warning: everyone on this machine can read"), "{help}");
}

#[test]
fn nobody_who_does_not_look_is_shown_colours_or_bars() {
    let server = Running::start("");
    for arguments in [&["stats"][..], &["regions"], &["health"], &["top"], &["get", "none"]] {
        let ended = server.run(arguments);
        assert!(!ended.text().contains('\u{1b}') && !ended.err.contains('\u{1b}'), "{ended:?}");
    }
    let mut asked = server.program(&["health", "--color", "always"]);
    asked.env("NO_COLOR", "1");
    assert!(Ended::of(asked, b"").expect(0).text().contains("\u{1b}[32mhealthy"));
}

#[test]
fn whoever_stops_reading_has_enough() {
    let server = Running::start("");
    let lines = text((0..20_000).map(|at| format!("{{\"key\": \"{at}\", \"value\": 1}}")));
    Ended::of(server.program(&["import"]), lines.as_bytes()).expect(0);
    let mut child = server.program(&["keys"]).spawn().expect("it starts");
    let mut first = [0; 2];
    child.stdout.take().expect("piped").read_exact(&mut first).expect("a key");
    assert_eq!(&first, b"0\n");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Ended::of(program(&["completions", shell]), b"").expect(0).text();
        assert!(["import", "watch", "token-file"].iter().all(|word| script.contains(word)), "{shell}");
    }
}
