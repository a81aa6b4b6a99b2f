//! `snowpipe check`: walks the login of a profile step by step and reports which step fails, and the cure.

use std::process::ExitCode;

use snowpipe_streaming::{CheckReport, ClientBuilder, Error, Profile};

use crate::Result;

pub fn run(arguments: impl Iterator<Item = String>) -> Result<ExitCode> {
    let arguments: Vec<String> = arguments.collect();
    let profile = match &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        ["-h" | "--help"] => return crate::print(HELP),
        [] => Profile::from_environment(),
        ["--profile", file] => Profile::from_file(file),
        _ => return Err("check takes --profile FILE and nothing else; see --help".into()),
    };
    let report = check(&profile?)?;
    crate::print(&report)?;
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(profile: &Profile) -> std::result::Result<CheckReport, Error> {
    Ok(ClientBuilder::from_profile(profile)?.build()?.check())
}

const HELP: &str = "\
Walks the login step by step and prints one line a step: passed, or what failed
and what to do about it. Exits with 0 if every step passed, otherwise with 1.

Usage: snowpipe check [--profile FILE]

  --profile FILE    connection profile (JSON); without it the connection is read
                    from SNOWFLAKE_ACCOUNT, SNOWFLAKE_USER and so on
";
