use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

use snowpipe_streaming::Batch;

use super::input::Input;
use crate::{Result, misuse, sample};

/// What the command line asks for.
#[derive(Debug)]
pub struct Options {
    pub input: Input,
    pub profile: Option<String>,
    /// Load into the embedded service.
    pub emulator: bool,
    /// Database, schema, table.
    pub table: Option<[String; 3]>,
    pub pipe: Option<String>,
    /// By default it is named for the file and its first row.
    pub channel: Option<String>,
    pub channels: u32,
    pub pipelined: bool,
    pub elastic: bool,
    pub batch_bytes: usize,
    pub max_errors: u64,
    pub plain_offsets: bool,
    pub commit_timeout: Duration,
    pub retry_budget: Duration,
    pub json: bool,
}

/// Whether to load, or only to say how.
#[derive(Debug)]
pub enum Wanted {
    Load,
    Help,
}

impl Options {
    /// Keeps what was understood, also if something is wrong.
    pub fn read(&mut self, arguments: Vec<OsString>) -> Result<Wanted> {
        let of_channels = OF_CHANNELS.into_iter().find(|option| arguments.iter().any(|argument| argument == option));
        let mut arguments = arguments.into_iter().map(crate::utf8);
        while let Some(argument) = arguments.next().transpose()? {
            let is_option = argument.starts_with('-') && argument != "-";
            match argument.as_str() {
                "--emulator" => self.emulator = true,
                "--pipelined" => self.pipelined = true,
                "--elastic" => self.elastic = true,
                "--plain-offsets" => self.plain_offsets = true,
                "--json" => self.json = true,
                "--help" | "-h" => return Ok(Wanted::Help),
                option if VALUED.contains(&option) => {
                    // An option that follows is none: its own meaning would be lost.
                    let value = arguments.next().transpose()?.filter(|value| !value.starts_with("--"));
                    self.set(option, value.ok_or_else(|| misuse(format!("{option} needs a value; see --help")))?)?;
                }
                unknown if is_option => return Err(misuse(format!("{unknown} is not an option; see --help"))),
                _ if matches!(self.input, Input::Sample) => self.input = Input::named(argument),
                _ => return Err(misuse(format!("{argument}: one file at a time; see --help"))),
            }
        }
        if let Some(option) = of_channels.filter(|_| self.elastic) {
            return Err(misuse(format!(
                "--elastic and {option}: without a channel there is nothing that it could apply to"
            )));
        }
        self.complete()?;
        Ok(Wanted::Load)
    }

    /// What is left out has a default only where rows go into the embedded service.
    fn complete(&mut self) -> Result<()> {
        if self.emulator && self.profile.is_some() {
            return Err(misuse("--profile and --emulator: only one of them can be loaded into"));
        }
        if self.emulator {
            self.table.get_or_insert_with(sample::table);
            return Ok(());
        }
        if matches!(self.input, Input::Sample) {
            return Err(misuse(
                "FILE is missing: name a file, or - for standard input; --emulator loads a sample by itself",
            ));
        }
        if self.profile.is_none() {
            return Err(misuse(
                "there is no connection: name one with --profile FILE, or load into the embedded service with --emulator",
            ));
        }
        Ok(())
    }

    /// The table's database, schema and name.
    pub fn target(&self) -> Result<&[String; 3]> {
        self.table.as_ref().ok_or_else(|| misuse("--table DB.SCHEMA.TABLE is needed: where to load"))
    }

    fn set(&mut self, option: &str, value: String) -> Result<()> {
        match option {
            "--profile" => self.profile = Some(value),
            "--table" => self.table = Some(split_table(&value)?),
            "--pipe" => self.pipe = Some(value),
            "--channel" => self.channel = Some(value),
            "--channels" => self.channels = positive(option, &value)?,
            "--batch-bytes" => self.batch_bytes = positive(option, &value)?,
            "--max-errors" => self.max_errors = whole(option, &value)?,
            "--commit-timeout" => self.commit_timeout = Duration::from_secs(positive(option, &value)?),
            _ => self.retry_budget = Duration::from_secs(whole(option, &value)?),
        }
        Ok(())
    }

    /// The pipe's name, which by default is the table's.
    pub fn pipe_name(&self) -> Option<String> {
        if self.pipe.is_some() {
            return self.pipe.clone();
        }
        let [_, _, table] = self.table.as_ref()?;
        Some(match table.strip_suffix('"') {
            Some(open) if open.starts_with('"') => format!("{open}-STREAMING\""),
            _ => format!("{table}-STREAMING"),
        })
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            input: Input::Sample,
            profile: None,
            emulator: false,
            table: None,
            pipe: None,
            channel: None,
            channels: 1,
            pipelined: false,
            elastic: false,
            batch_bytes: Batch::FULL_BYTES,
            max_errors: 0,
            plain_offsets: false,
            commit_timeout: Duration::from_secs(120),
            retry_budget: Duration::from_secs(120),
            json: false,
        }
    }
}

fn positive<N: FromStr + Default + PartialEq>(option: &str, value: &str) -> Result<N> {
    match value.parse() {
        Ok(number) if number != N::default() => Ok(number),
        _ => Err(misuse(format!("{option} {value}: a whole number above zero is needed"))),
    }
}

fn whole(option: &str, value: &str) -> Result<u64> {
    value.parse().map_err(|_| misuse(format!("{option} {value}: a whole number is needed")))
}

/// At the dots outside double quotes; the quotes stay part of the names.
fn split_table(text: &str) -> Result<[String; 3]> {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    for character in text.chars() {
        is_quoted ^= character == '"';
        match parts.last_mut() {
            Some(part) if character != '.' || is_quoted => part.push(character),
            _ => parts.push(String::new()),
        }
    }
    match parts.try_into() {
        Ok(parts) if !is_quoted && names_all(&parts) => Ok(parts),
        _ => Err(misuse(format!("--table {text}: write it like DB.SCHEMA.TABLE"))),
    }
}

fn names_all(parts: &[String; 3]) -> bool {
    parts.iter().all(|part| !part.trim_matches('"').is_empty())
}

const VALUED: [&str; 9] = [
    "--profile",
    "--table",
    "--pipe",
    "--channel",
    "--channels",
    "--batch-bytes",
    "--max-errors",
    "--commit-timeout",
    "--retry-budget",
];

/// What only a load through channels has.
const OF_CHANNELS: [&str; 5] = ["--channel", "--channels", "--pipelined", "--max-errors", "--plain-offsets"];

pub const HELP: &str = "\
Loads a file of NDJSON (one object a line) into a Snowflake table, every row
once, and prints a summary.

Usage: snowpipe load FILE --profile FILE --table TABLE [OPTION]...
       snowpipe load [FILE] --emulator [OPTION]...

  FILE                       - for standard input; gzip and zstd are unpacked;
                             default with --emulator: the bundled sample
  --profile FILE             connection profile (JSON)
  --emulator                 start the embedded service, load into that, show
                             what landed; it ends with the program
  --table DB.SCHEMA.TABLE    target; default with --emulator:
                             DEMO.PUBLIC.FLIGHTS
  --pipe NAME                default <TABLE>-STREAMING
  --channel NAME             default: named for the file and its first row, so
                             that a rerun resumes and another file is loaded
                             from its start. A name that holds rows of another
                             source is refused
  --channels N               load through N channels in parallel; order holds
                             within a channel
  --pipelined                read on a second thread while sending
  --elastic                  at least once, without a channel; rejected rows are
                             only in the table's error table
  --batch-bytes N            upper bound of a request before compression
  --max-errors N             so many rows may be rejected, or left out because
                             they are no JSON objects or too long, those of
                             earlier runs included; default 0
  --plain-offsets            resume after an offset that is a plain line number,
                             written by another client
  --commit-timeout SECONDS   bounds the last wait, and the one for rows that an
                             earlier run has in flight; default 120
  --retry-budget SECONDS     how long one request is repeated; default 120
  --json                     the summary as one JSON line and nothing else, also
                             if the load fails

A pipe takes 2,000 channels. It forgets one that was idle for 30 days, and with
it how far that was loaded.
";
