//! `snowpipe load`: loads rows into a table, exactly once, and prints what landed.
//!
//! With `--emulator` it starts the embedded emulator, loads into that and shows what landed.

mod elastic;
mod gunzip;
mod input;
mod line_error;
mod options;
mod progress;
mod summary;

use std::ffi::OsString;
use std::process::ExitCode;

use snowpipe_streaming::{Client, ClientBuilder, Loader, Pipe, Profile, Source};

use self::input::OpenInput;
use self::options::{HELP, Options, Wanted};
use self::progress::Progress;
pub use self::summary::Summary;
use crate::Result;
use crate::embedded::{Landed, client_of, start};

pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    // Wrong arguments are summed up too, wherever among them this one is.
    let mut options = Options { json: arguments.iter().any(|argument| argument == "--json"), ..Options::default() };
    let wanted = options.read(arguments);
    if matches!(wanted, Ok(Wanted::Help)) {
        return crate::print(HELP);
    }
    let mut summary = Summary::of_options(&options);
    match wanted.and_then(|_| load(&options, &mut summary)) {
        Ok(landed) => {
            let printed = summary.print(options.json)?;
            landed.map_or(Ok(printed), |landed| landed.print())
        }
        Err(error) => {
            let message = summary.fail(&error);
            // The load's own failure says more than one to print.
            let _ = summary.print(options.json);
            Ok(crate::fail(error.kind(), &message))
        }
    }
}

/// Returns what the embedded service holds in the end, if that was used and a person wants to see it.
fn load(options: &Options, summary: &mut Summary) -> Result<Option<Landed>> {
    let target = options.target()?;
    // Opened before anything is sent, so that a mistyped name costs nothing.
    let input = if options.elastic {
        OpenInput::Rows(options.input.rows()?)
    } else {
        OpenInput::Source(Box::new(options.input.source()?))
    };
    if let Some(profile) = &options.profile {
        let client = ClientBuilder::from_profile(&Profile::from_file(profile)?)?;
        load_into(options, &client.retry_budget(options.retry_budget).build()?, input, summary)?;
        return Ok(None);
    }
    let service = start()?;
    load_into(options, &client_of(&service)?, input, summary)?;
    if options.json {
        return Ok(None);
    }
    Landed::wait_for(&service, &target.join("."), summary.rows_stored()).map(Some)
}

fn load_into(options: &Options, client: &Client, input: OpenInput, summary: &mut Summary) -> Result<()> {
    let [database, schema, table] = options.target()?;
    let pipe = match &options.pipe {
        Some(pipe) => client.pipe(database, schema, pipe),
        None => client.table(database, schema, table),
    };
    let result = match input {
        OpenInput::Rows(rows) => {
            let result = elastic::load(options, client, &pipe, rows, summary);
            result.map_err(|error| options.input.explain(error))
        }
        OpenInput::Source(source) => load_channel(options, &pipe, *source, summary),
    };
    summary.add_requests(client.counters());
    result
}

fn load_channel(options: &Options, pipe: &Pipe, mut source: Source<'_>, summary: &mut Summary) -> Result<()> {
    let mut progress = Progress::new(options.input.bytes());
    let channel = match &options.channel {
        Some(channel) => Some(channel.clone()),
        None => source.default_channel()?,
    };
    let Some(channel) = channel else {
        summary.nothing_to_load();
        return Ok(());
    };
    summary.channel = Some(channel.clone());
    let mut loader = Loader::new(pipe, channel)
        .batch_bytes(options.batch_bytes)
        .commit_timeout(options.commit_timeout)
        .open_timeout(options.commit_timeout)
        .channels(options.channels)
        .max_errors(options.max_errors)
        .on_progress(|report| progress.show(report.rows_sent, report.rows, report.bytes_sent, report.skipped));
    if options.pipelined {
        loader = loader.pipelined();
    }
    if options.plain_offsets {
        loader = loader.accept_plain_offsets();
    }
    let result = loader.load(source);
    summary.add_load(loader.report());
    drop(loader);
    progress.clear();
    result.map(|_| ())
}
