use std::time::Duration;

use snowpipe_streaming::Batch;

use super::input::Input;
use crate::Result;

/// What the command line asks for.
#[derive(Debug)]
pub struct Options {
    pub input: Input,
    pub profile: Option<String>,
    /// Database, schema, table.
    pub table: [String; 3],
    pub pipe: Option<String>,
    pub channel: String,
    pub channels: u32,
    pub pipelined: bool,
    pub elastic: bool,
    pub batch_bytes: usize,
    pub commit_timeout: Duration,
    pub json: bool,
}

impl Options {
    /// Nothing when only help was wanted.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>> {
        let mut options = Options::default();
        let mut input = None;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value; see --help"));
            match argument.as_str() {
                "--profile" => options.profile = Some(value()?),
                "--table" => options.table = split_table(&value()?)?,
                "--pipe" => options.pipe = Some(value()?),
                "--channel" => options.channel = value()?,
                "--channels" => options.channels = u32::try_from(positive(&argument, &value()?)?)?,
                "--pipelined" => options.pipelined = true,
                "--elastic" => options.elastic = true,
                "--batch-bytes" => options.batch_bytes = positive(&argument, &value()?)?,
                "--commit-timeout" => {
                    options.commit_timeout = Duration::from_secs(positive(&argument, &value()?)? as u64);
                }
                "--json" => options.json = true,
                "--help" | "-h" => return Ok(None),
                unknown if unknown.starts_with('-') && unknown != "-" => {
                    return Err(format!("{unknown} is not an option; see --help").into());
                }
                _ if input.is_none() => input = Some(Input::named(argument)),
                _ => return Err(format!("{argument}: one file at a time; see --help").into()),
            }
        }
        options.input = input.unwrap_or(options.input);
        Ok(Some(options))
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            input: Input::Sample,
            profile: None,
            table: ["DEMO", "PUBLIC", "FLIGHTS"].map(String::from),
            pipe: None,
            channel: "load-1".into(),
            channels: 1,
            pipelined: false,
            elastic: false,
            batch_bytes: Batch::FULL_BYTES,
            commit_timeout: Duration::from_secs(120),
            json: false,
        }
    }
}

fn positive(option: &str, value: &str) -> Result<usize> {
    match value.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{option} {value}: a whole number above zero is needed").into()),
    }
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
        _ => Err(format!("--table {text}: write it like DB.SCHEMA.TABLE").into()),
    }
}

fn names_all(parts: &[String; 3]) -> bool {
    parts.iter().all(|part| !part.trim_matches('"').is_empty())
}

pub const HELP: &str = "\
Loads a file of NDJSON (one object a line) into a Snowflake table, every row
once, and prints a summary.

Usage: snowpipe load [FILE] [OPTION]...

  FILE                       default: the bundled sample; - for standard input;
                             .gz is unpacked
  --profile FILE             connection profile (JSON); without it, the embedded
                             service is used
  --table DB.SCHEMA.TABLE    target; default DEMO.PUBLIC.FLIGHTS
  --pipe NAME                default <TABLE>-STREAMING
  --channel NAME             default load-1; a rerun with the same name resumes
  --channels N               load through N channels in parallel; order holds
                             within a channel
  --pipelined                read on a second thread while sending
  --elastic                  at least once, without a channel
  --batch-bytes N            upper bound of a request before compression
  --commit-timeout SECONDS   bounds the last wait; default 120
  --json                     the summary as one JSON line and nothing else
";
