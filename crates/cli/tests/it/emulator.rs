//! `snowpipe emulator`: what it writes is what the other commands take.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::support::{error, json, rows, run, snowpipe};

/// A running emulator, stopped in the end.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str]) -> (Running, String) {
        let mut child = snowpipe(&["emulator"]).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Running(child), line)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn each_profile_that_it_writes_logs_in() {
    for (options, scheme) in [(vec![], "http"), (vec!["--tls"], "https")] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (_running, line) = Running::start(&[&["--dir", &path("")], options.as_slice()].concat());
        assert!(line.starts_with(&format!("listening on {scheme}://127.0.0.1:")), "{line}");
        for profile in ["profile.json", "profile-pat.json", "profile-oauth.json"] {
            let output = run(&mut snowpipe(&["check", "--profile", &path(profile)]));
            assert!(output.status.success(), "{profile}: {output:?}");
        }
        std::fs::write(path("rows.ndjson"), rows(1..=10)).unwrap();
        let load = ["load", "--profile", &path("profile.json"), "--table", "A.B.T", "--json", &path("rows.ndjson")];
        assert_eq!(json(&run(&mut snowpipe(&load)))["rows"], 10);
    }
}

#[test]
fn wrong_arguments_are_one_line() {
    for (arguments, said) in [
        (vec![], "--dir DIR is needed"),
        (vec!["--prot", "1"], "\"--prot\""),
        (vec!["--dir"], "needs a value"),
        (vec!["--dir", "d", "--port", "x"], "\"x\" is not a port"),
        (vec!["--dir", "d", "--pipe", "P"], "NAME=TABLE"),
        (vec!["--dir", "d", "--public-key", "/no/such/key"], "/no/such/key"),
    ] {
        let error = error(&run(snowpipe(&["emulator"]).args(arguments)), 2);
        assert!(error.contains(said), "{said:?} is missing in {error}");
    }
}
