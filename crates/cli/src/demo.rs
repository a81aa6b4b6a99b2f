//! `snowpipe demo`: loads the bundled sample into an embedded emulator and prints what landed.

use std::process::ExitCode;

use snowpipe_streaming::Loader;

use crate::embedded::{Landed, client_of, start};
use crate::load::Summary;
use crate::{Result, misuse, sample, unexpected};

pub fn run(arguments: impl Iterator<Item = String>) -> Result<ExitCode> {
    let arguments: Vec<String> = arguments.collect();
    let as_json = match &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        ["-h" | "--help"] => return crate::print(HELP),
        [] => false,
        ["--json"] => true,
        _ => return Err(misuse("demo takes --json and nothing else; see --help")),
    };
    let service = start()?;
    let pipe = client_of(&service)?.table("DEMO", "PUBLIC", "FLIGHTS");
    let report = Loader::new(&pipe, CHANNEL).load(sample::source())?;
    let landed = Landed::wait_for(&service, "DEMO.PUBLIC.FLIGHTS", report.rows)?;
    if landed.rows() != report.rows {
        return Err(unexpected(format!("{} rows were loaded, but {} landed", report.rows, landed.rows())));
    }
    let summary = Summary::of_load(CHANNEL, &report);
    if as_json {
        let mut summary = serde_json::json!(summary);
        summary["rows_landed"] = landed.rows().into();
        crate::print(format_args!("{summary}\n"))
    } else {
        crate::print(summary.text())?;
        landed.print()
    }
}

const CHANNEL: &str = "demo";

const HELP: &str = "\
Loads 10,000 bundled flights into an embedded emulator of the service and
prints what landed. Needs no account and no network.

Usage: snowpipe demo [--json]

  --json    the summary as one JSON line and nothing else
";
