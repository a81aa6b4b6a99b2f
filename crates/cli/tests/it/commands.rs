//! What is asked of the program itself rather than of a command.

use std::process::Stdio;

use crate::support::{error, run, snowpipe, stdout};

const COMMANDS: [&str; 4] = ["load", "check", "emulator", "demo"];

#[test]
fn help_is_on_stdout_and_fits_a_terminal() {
    let commands = COMMANDS.iter().flat_map(|command| [vec![*command, "--help"], vec![*command, "-h"]]);
    for arguments in [vec!["--help"], vec!["-h"], vec!["help"]].into_iter().chain(commands) {
        let output = run(&mut snowpipe(&arguments));
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let text = stdout(&output);
        assert!(text.contains("Usage: snowpipe "), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
    let text = stdout(&run(&mut snowpipe(&["--help"])));
    assert!(COMMANDS.iter().all(|command| text.contains(&format!("\n  {command} "))), "{text}");
}

#[test]
fn the_version_is_that_of_the_package() {
    for argument in ["--version", "-V"] {
        let output = run(&mut snowpipe(&[argument]));
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert_eq!(stdout(&output), format!("snowpipe {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn an_unknown_command_and_none_are_wrong_use() {
    for (arguments, said) in
        [(vec!["laod"], "\"laod\" is not a command"), (vec!["--json"], "--json"), (vec![], "a command is needed")]
    {
        let output = run(&mut snowpipe(&arguments));
        let error = error(&output, 2);
        assert!(error.contains(said) && error.contains("snowpipe --help"), "{error}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[cfg(unix)]
#[test]
fn an_argument_that_is_not_utf_8_is_wrong_use() {
    let argument = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff.ndjson");
    assert!(error(&run(snowpipe(&["load"]).arg(argument)), 2).contains("not UTF-8"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    for arguments in [["demo"].as_slice(), &["--help"], &["load", "--emulator", "--json"]] {
        let mut program = snowpipe(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(program.stdout.take());
        let output = program.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_error_in_one_line() {
    for arguments in [["demo"].as_slice(), &["--version"], &["load", "--emulator", "--json"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = run(snowpipe(arguments).stdout(full));
        assert!(error(&output, 1).contains("cannot write to standard output"), "{arguments:?}: {output:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_error_leaves_the_exit_code_as_it_is() {
    for arguments in [["laod"].as_slice(), &["load", "--json"], &["check", "x"], &["emulator"], &["demo", "x"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = run(snowpipe(arguments).stderr(full));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
}
