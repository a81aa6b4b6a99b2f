use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use snowpipe_streaming::{Error, ErrorKind, Source};

use super::gunzip::Gunzip;
use super::line_error::damaged;
use crate::{Result, sample};

/// Where the rows come from.
#[derive(Debug)]
pub enum Input {
    Sample,
    Stdin,
    File(String),
}

/// An input that is there and can be read.
pub enum OpenInput {
    /// For the loader.
    Source(Box<Source<'static>>),
    /// Unpacked, for a load without a channel.
    Rows(Box<dyn BufRead>),
}

impl Input {
    /// What an argument names.
    pub fn named(argument: String) -> Input {
        if argument == "-" { Input::Stdin } else { Input::File(argument) }
    }

    pub fn name(&self) -> &str {
        match self {
            Input::Sample => sample::NAME,
            Input::Stdin => "standard input",
            Input::File(file) => file,
        }
    }

    /// What the argument was.
    pub fn argument(&self) -> Option<&str> {
        match self {
            Input::Sample => None,
            Input::Stdin => Some("-"),
            Input::File(file) => Some(file),
        }
    }

    /// Rows for the loader.
    pub fn source(&self) -> Result<Source<'static>> {
        match self {
            Input::Sample => Ok(Source::reader(sample::FILE_NAME, sample::FLIGHTS)),
            Input::Stdin => Ok(Source::stdin()),
            Input::File(file) => Source::file(file),
        }
    }

    /// How many bytes of rows there are, where that is known beforehand.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Input::Sample => Some(sample::FLIGHTS.len() as u64),
            Input::Stdin => None,
            Input::File(file) if is_packed(file) => None,
            // A pipe or a terminal has a path too.
            Input::File(file) => std::fs::metadata(file).ok().filter(|data| data.is_file()).map(|data| data.len()),
        }
    }

    /// The lines of a load without a channel.
    pub fn rows(&self) -> Result<Box<dyn BufRead>> {
        let file = match self {
            Input::Sample => return Ok(Box::new(sample::FLIGHTS)),
            Input::Stdin => return Ok(Box::new(BufReader::new(io::stdin()))),
            Input::File(file) => file,
        };
        // It refuses what is no file of rows; a pipe can be opened once only.
        if Path::new(file).is_file() || Path::new(file).is_dir() {
            self.source()?;
        }
        let refuse =
            |error| crate::misuse(format!("cannot open the file {file}: {error}; check the path and the permissions"));
        let opened = BufReader::new(File::open(file).map_err(refuse)?);
        Ok(if is_packed(file) { Box::new(BufReader::new(Gunzip::new(opened))) } else { Box::new(opened) })
    }

    /// A bad row of a damaged archive is no row that anybody wrote. The archive's end shows it, which the load did not reach.
    pub fn explain(&self, error: Error) -> Error {
        let Some(number) = error.position().filter(|_| error.kind() == ErrorKind::Row) else { return error };
        match self.damage() {
            Some(damage) => damaged(&damage, number, self.name()),
            None => error,
        }
    }

    /// What is wrong with a packed file, read as a whole.
    fn damage(&self) -> Option<io::Error> {
        let Input::File(file) = self else { return None };
        // A pipe cannot be read again.
        if !is_packed(file) || !Path::new(file).is_file() {
            return None;
        }
        let packed = BufReader::new(File::open(file).ok()?);
        io::copy(&mut Gunzip::new(packed), &mut io::sink()).err()
    }
}

fn is_packed(file: &str) -> bool {
    file.to_ascii_lowercase().ends_with(".gz")
}
