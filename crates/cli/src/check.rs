//! Walks the login of a profile step by step and tells which step fails, and the cure.
//!
//! ```text
//! cargo run --example check -- --profile profile.json
//! ```
//!
//! Without `--profile` the connection is read from the variables `SNOWFLAKE_ACCOUNT`, `SNOWFLAKE_USER` and so on.

use std::process::ExitCode;

use snowpipe_streaming::{CheckReport, Client, Error, Profile};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let profile = match &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        [] => Profile::from_environment(),
        ["--profile", file] => Profile::from_file(file),
        _ => {
            eprintln!("usage: check [--profile FILE]");
            return ExitCode::FAILURE;
        }
    };
    match profile.and_then(|profile| check(&profile)) {
        Ok(report) => {
            print!("{report}");
            if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check(profile: &Profile) -> Result<CheckReport, Error> {
    Ok(Client::with_profile(profile)?.build()?.check())
}
