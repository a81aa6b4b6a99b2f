use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;
use snowpipe_streaming::Source;

use crate::{Result, sample};

/// Where the rows come from.
#[derive(Debug)]
pub enum Input {
    Sample,
    Stdin,
    File(String),
}

impl Input {
    /// What an argument names.
    pub fn named(argument: String) -> Input {
        if argument == "-" { Input::Stdin } else { Input::File(argument) }
    }

    pub fn name(&self) -> &str {
        match self {
            Input::Sample => sample::NAME,
            Input::Stdin => "-",
            Input::File(file) => file,
        }
    }

    /// Rows for the loader; a plain file is handed over as one, because the loader can read it again.
    pub fn source(&self) -> Result<Source<'static>> {
        match self {
            Input::Sample => Ok(sample::source()),
            Input::File(file) if !is_gzip(file) => Ok(Source::file(file)?),
            _ => Ok(Source::reader(self.name(), self.reader()?)),
        }
    }

    pub fn reader(&self) -> Result<Box<dyn Read + Send>> {
        let file = match self {
            Input::Sample => return Ok(Box::new(sample::FLIGHTS)),
            Input::Stdin => return Ok(Box::new(io::stdin())),
            Input::File(file) => file,
        };
        let input = File::open(file).map_err(|error| format!("cannot open the file {file}: {error}"))?;
        Ok(if is_gzip(file) { Box::new(MultiGzDecoder::new(BufReader::new(input))) } else { Box::new(input) })
    }

    /// How many bytes of rows there are, where that is known beforehand.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Input::Sample => Some(sample::FLIGHTS.len() as u64),
            Input::File(file) if !is_gzip(file) => {
                std::fs::metadata(file).ok().filter(|data| data.is_file()).map(|data| data.len())
            }
            _ => None,
        }
    }
}

fn is_gzip(file: &str) -> bool {
    file.ends_with(".gz")
}
