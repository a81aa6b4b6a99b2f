//! `snowpipe check`: walks the login of a profile step by step and reports which step fails, and the cure.

use std::process::ExitCode;

use snowpipe_streaming::{CheckOutcome, CheckReport, CheckStep, ClientBuilder, Error, Profile};

use crate::Result;

pub fn run(arguments: impl Iterator<Item = String>) -> Result<ExitCode> {
    let arguments: Vec<String> = arguments.collect();
    let profile = match &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        ["-h" | "--help"] => return crate::print(HELP),
        [] => Profile::from_environment(),
        ["--profile", file] => Profile::from_file(file),
        _ => return Err(crate::misuse("check takes --profile FILE and nothing else; see --help")),
    };
    let report = ClientBuilder::from_profile(&profile?)?.build()?.check();
    crate::print(&report)?;
    match failure(&report) {
        Some(error) => Err(error.clone()),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Why the first step that failed did so; the steps after it were not reached.
fn failure(report: &CheckReport) -> Option<&Error> {
    CheckStep::ALL.iter().find_map(|step| match report.outcome(*step) {
        CheckOutcome::Failed(error) => Some(error),
        _ => None,
    })
}

const HELP: &str = "\
Walks the login step by step and prints one line a step: passed, or what failed
and what to do about it. Exits with 0 if every step passed; otherwise with 2
(the call, the profile), 6 (refused) or 7 (out of reach).

Usage: snowpipe check [--profile FILE]

  --profile FILE    connection profile (JSON); without it the connection is read
                    from SNOWFLAKE_ACCOUNT, SNOWFLAKE_USER and so on
";
