//! `snowpipe load`: loads rows into a table, exactly once, and prints what landed.
//!
//! Without `--profile` it starts the embedded emulator and loads into that.

mod input;
mod options;
mod progress;
mod summary;

use std::io::{BufRead, BufReader};
use std::process::ExitCode;
use std::time::Instant;

use snowpipe_streaming::emulator::Emulator;
use snowpipe_streaming::{Batch, Client, ClientBuilder, Loader, Pipe, Profile, Source};

use self::options::{HELP, Options};
use self::progress::Progress;
pub use self::summary::Summary;
use crate::Result;
use crate::embedded::{Landed, client_of};

pub fn run(arguments: impl Iterator<Item = String>) -> Result<ExitCode> {
    let Some(options) = Options::parse(arguments)? else {
        return crate::print(HELP);
    };
    // Opened before anything is sent, so that a mistyped name costs nothing.
    let source = options.input.source()?;
    if let Some(profile) = &options.profile {
        let client = ClientBuilder::from_profile(&Profile::from_file(profile)?)?.build()?;
        load(&options, &client, source)?;
        return Ok(ExitCode::SUCCESS);
    }
    let service = Emulator::start()?;
    let rows = load(&options, &client_of(&service)?, source)?;
    if options.json {
        return Ok(ExitCode::SUCCESS);
    }
    Landed::wait_for(&service, &options.table.join("."), rows)?.print()
}

/// Returns how many rows are there in the end.
fn load(options: &Options, client: &Client, source: Source<'_>) -> Result<u64> {
    let [database, schema, table] = &options.table;
    let pipe = match &options.pipe {
        Some(pipe) => client.pipe(database, schema, pipe),
        None => client.table(database, schema, table),
    };
    if options.elastic { load_elastic(options, client, &pipe) } else { load_channel(options, &pipe, source) }
}

fn load_channel(options: &Options, pipe: &Pipe, source: Source<'_>) -> Result<u64> {
    let mut progress = Progress::new(options.input.bytes());
    let mut loader = Loader::new(pipe, &options.channel)
        .batch_bytes(options.batch_bytes)
        .commit_timeout(options.commit_timeout)
        .channels(options.channels)
        .on_progress(|report| progress.show(report.rows_sent, report.rows, report.bytes_sent, report.skipped));
    if options.pipelined {
        loader = loader.pipelined();
    }
    let result = loader.load(source);
    let report = loader.report().clone();
    drop(loader);
    progress.clear();
    // Before the load has begun there is nothing to sum up.
    if result.is_ok() || report != Default::default() {
        Summary::of_load(&report).print(options.json)?;
    }
    Ok(result?.rows)
}

fn load_elastic(options: &Options, client: &Client, pipe: &Pipe) -> Result<u64> {
    let began = Instant::now();
    let (mut rows, mut batches) = (0, 0);
    let mut append_all = || -> Result<()> {
        let elastic = pipe.elastic();
        let mut lines = BufReader::new(options.input.reader()?);
        let mut batch = Batch::new();
        let mut next = Line::default();
        while next.read(&mut lines)? || !batch.is_empty() {
            let is_full = next.text.is_empty() || batch.bytes() + next.text.len() > options.batch_bytes;
            if is_full && !batch.is_empty() {
                elastic.append(&batch)?;
                (rows, batches) = (rows + batch.rows() as u64, batches + 1);
                batch.clear();
            }
            if !next.text.is_empty() {
                batch
                    .push_json(&next.text)
                    .map_err(|error| format!("line {} of {}: {error}", next.number, options.input.name()))?;
            }
        }
        Ok(())
    };
    let result = append_all();
    Summary::of_elastic(rows, batches, client.counters(), began.elapsed()).print(options.json)?;
    result.map(|()| rows)
}

/// The next line that is not blank, with its number; empty at the end.
#[derive(Default)]
struct Line {
    text: Vec<u8>,
    number: u64,
}

impl Line {
    fn read(&mut self, from: &mut impl BufRead) -> Result<bool> {
        loop {
            self.text.clear();
            if from.read_until(b'\n', &mut self.text)? == 0 {
                return Ok(false);
            }
            self.number += 1;
            self.text.pop_if(|last| *last == b'\n');
            if self.number == 1 && self.text.starts_with(b"\xef\xbb\xbf") {
                self.text.drain(..3);
            }
            if !self.text.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }
}
