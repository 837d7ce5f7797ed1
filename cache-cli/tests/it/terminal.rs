//! On a terminal, which `script` of util-linux makes: what a person sees, and what a stored text cannot do there.

use crate::program::{Ended, Running};

/// Runs the program with a terminal for all its streams, at which this is typed.
fn at_terminal(server: &Running, (arguments, typed): (&[&str], &str), variables: &[(&str, &str)]) -> Ended {
    let mut there = server.command("script");
    let there = there.arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(there, "`script` of util-linux is missing. Run: apt-get install --yes bsdutils");
    let words: Vec<String> = arguments.iter().map(|word| format!("'{word}'")).collect();
    let line = format!("'{}' {}", env!("CARGO_BIN_EXE_strata"), words.join(" "));
    let mut command = server.command("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.env("TERM", "xterm").env("SHELL", "/bin/sh").envs(variables.iter().copied());
    Ended::of(command, typed.as_bytes())
}

#[test]
fn a_person_sees_colours_unless_they_are_not_wanted() {
    let server = Running::start("");
    let seen = at_terminal(&server, (&["health"], ""), &[]).expect(0).text();
    assert!(seen.contains("\u{1b}[32mhealthy\u{1b}[0m"), "{seen:?}");
    let plain = at_terminal(&server, (&["health"], ""), &[("NO_COLOR", "1")]).expect(0).text();
    assert!(plain.contains("healthy") && !plain.contains('\u{1b}'), "{plain:?}");
    let json = at_terminal(&server, (&["health", "--json"], ""), &[]).expect(0).text();
    assert!(json.starts_with("{\"") && !json.contains('\u{1b}'), "{json:?}");
}

#[test]
fn a_terminal_does_not_obey_what_is_stored() {
    let server = Running::start("");
    server.run(&["set", "text", "größe\n\tb"]).expect(0);
    assert!(at_terminal(&server, (&["get", "text"], ""), &[]).expect(0).text().ends_with("größe\r\n\tb\r\n"));
    for value in ["\u{1b}]0;title\u{7}", "over\rwritten", "\u{202e}reversed"] {
        server.run(&["set", "evil", value]).expect(0);
        let refused = at_terminal(&server, (&["get", "evil"], ""), &[]).expect(2).text();
        assert!(refused.contains("send it to a file") && !refused.contains(value), "{refused:?}");
        assert_eq!(server.run(&["get", "evil"]).expect(0).text(), value);
    }
    server.run(&["set", "k\u{202e}x", "v", "--tag", "t\u{200b}"]).expect(0);
    for arguments in [&["keys"][..], &["keys", "--long"], &["tags", "t\u{200b}"]] {
        let seen = at_terminal(&server, (arguments, ""), &[]).expect(0).text();
        assert!(seen.contains("k\\u{202e}x") && !seen.contains(['\u{202e}', '\u{200b}']), "{seen:?}");
    }
}

#[test]
fn what_cannot_be_undone_is_asked_about_first() {
    let server = Running::start("");
    server.run(&["set", "k", "v"]).expect(0);
    let asked = at_terminal(&server, (&["clear"], "no\n"), &[]).expect(2).text();
    assert!(asked.contains("remove everything from the region default of http://127.0.0.1"), "{asked}");
    server.run(&["get", "k"]).expect(0);
    let done = at_terminal(&server, (&["clear"], "yes\n"), &[]).expect(0).text();
    assert!(done.contains("1 removed"), "{done}");
    server.run(&["get", "k"]).expect(1);
}
