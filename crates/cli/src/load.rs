//! Loads a file of NDJSON into a table, exactly once, and prints what landed.
//!
//! Without `--profile` it starts the embedded service and loads into that; `--help` tells the rest.

mod options;
mod progress;
mod summary;

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use options::Options;
use progress::Progress;
use snowpipe_emulator::Emulator;
use snowpipe_streaming::{Batch, Client, Credentials, Loader, Pipe, PrivateKey, Profile, Source};
use summary::Summary;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| options.map_or(Ok(()), |options| run(&options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    // Opened before anything is sent, so that a mistyped name costs nothing.
    let source = source(&options.file)?;
    if let Some(profile) = &options.profile {
        let client = Client::with_profile(&Profile::from_file(profile)?)?.build()?;
        return load(options, &client, source).map(drop);
    }
    let service = Emulator::start()?;
    let rows = load(options, &embedded_client(&service)?, source)?;
    if options.json { Ok(()) } else { show_landed(&service, &options.table.join("."), rows) }
}

/// Tells how many rows are there in the end.
fn load(options: &Options, client: &Client, source: Source<'_>) -> Result<u64> {
    let [database, schema, table] = &options.table;
    let pipe = match &options.pipe {
        Some(pipe) => client.pipe(database, schema, pipe),
        None => client.table(database, schema, table),
    };
    if options.elastic { load_elastic(options, client, &pipe) } else { load_channel(options, &pipe, source) }
}

/// The client of a service that was just started on this machine, which knows one user and its key.
fn embedded_client(service: &Emulator) -> Result<Client> {
    let key = service.private_key_pem().ok_or("the embedded service has no key")?;
    let credentials = Credentials::key_pair(service.user(), PrivateKey::from_pem(key)?);
    Ok(Client::builder(service.account(), credentials).url(service.url()).build()?)
}

fn load_channel(options: &Options, pipe: &Pipe, source: Source<'_>) -> Result<u64> {
    let mut progress = Progress::new(&options.file);
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
        Summary::of_load(&report).print(options.json);
    }
    Ok(result?.rows)
}

fn load_elastic(options: &Options, client: &Client, pipe: &Pipe) -> Result<u64> {
    let began = Instant::now();
    let (mut rows, mut batches) = (0, 0);
    let mut append_all = || -> Result<()> {
        let elastic = pipe.elastic();
        let mut lines = BufReader::new(reader(&options.file)?);
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
                    .map_err(|error| format!("line {} of {}: {error}", next.number, options.file))?;
            }
        }
        Ok(())
    };
    let result = append_all();
    Summary::of_elastic(rows, batches, client.counters(), began.elapsed()).print(options.json);
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

fn source(file: &str) -> Result<Source<'static>> {
    if file == "-" || file.ends_with(".gz") {
        return Ok(Source::reader(file, reader(file)?));
    }
    Ok(Source::file(file)?)
}

fn reader(file: &str) -> Result<Box<dyn Read + Send>> {
    if file == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let input = std::fs::File::open(file).map_err(|error| format!("cannot open the file {file}: {error}"))?;
    let is_gzip = Path::new(file).extension().is_some_and(|extension| extension == "gz");
    Ok(if is_gzip { Box::new(MultiGzDecoder::new(BufReader::new(input))) } else { Box::new(input) })
}

/// Elastic rows become visible some time after they were acknowledged.
fn show_landed(service: &Emulator, table: &str, expected: u64) -> Result<()> {
    let timeout = Instant::now() + Duration::from_secs(5);
    let landed = loop {
        let landed = service.rows(table);
        let count = landed.iter().filter(|byte| **byte == b'\n').count() as u64;
        if count >= expected || Instant::now() > timeout {
            break landed;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let text = String::from_utf8(landed)?;
    let first = text.lines().next().unwrap_or_default();
    println!("in {table} of the embedded service: {} rows, the first of them {first}", text.lines().count());
    Ok(())
}
