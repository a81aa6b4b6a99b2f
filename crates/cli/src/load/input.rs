use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use snowpipe_streaming::{Error, ErrorKind, Source};

use super::first_row::FirstRow;
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
pub struct OpenInput<'i> {
    input: &'i Input,
    rows: Box<dyn BufRead + Send>,
    /// How many bytes of rows there are, where that is known beforehand.
    bytes: Option<u64>,
    /// Whether the file holds the rows as they are, so that the loader can read it again.
    is_plain_file: bool,
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

    pub fn open(&self) -> Result<OpenInput<'_>> {
        let open = |rows, bytes, is_plain_file| OpenInput { input: self, rows, bytes, is_plain_file };
        let file = match self {
            Input::Sample => return Ok(open(Box::new(sample::FLIGHTS), Some(sample::FLIGHTS.len() as u64), false)),
            Input::Stdin => return Ok(open(Box::new(BufReader::new(io::stdin())), None, false)),
            Input::File(file) => file,
        };
        let refuse =
            |error| crate::misuse(format!("cannot open the file {file}: {error}; check the path and the permissions"));
        let opened = File::open(file).map_err(refuse)?;
        let data = opened.metadata().map_err(refuse)?;
        if data.is_dir() {
            return Err(crate::misuse(format!("{file} is a folder; name a file in it")));
        }
        if is_packed(file) {
            return Ok(open(Box::new(BufReader::new(Gunzip::new(BufReader::new(opened)))), None, false));
        }
        // A pipe or a terminal has a path too.
        let length = data.is_file().then_some(data.len());
        Ok(open(Box::new(BufReader::new(opened)), length, length.is_some()))
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

    fn file_name(&self) -> &str {
        match self {
            Input::Sample => sample::FILE_NAME,
            Input::Stdin => "stdin",
            // A shell numbers its descriptors as it likes.
            Input::File(file) if is_descriptor(file) => "stdin",
            Input::File(file) => file,
        }
    }
}

fn is_packed(file: &str) -> bool {
    file.to_ascii_lowercase().ends_with(".gz")
}

/// What a shell puts for `<(command)`.
fn is_descriptor(file: &str) -> bool {
    ["/dev/fd/", "/proc/self/fd/"].iter().any(|folder| {
        file.strip_prefix(folder)
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
    })
}

impl OpenInput<'_> {
    pub fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    pub fn into_rows(self) -> Box<dyn BufRead + Send> {
        self.rows
    }

    /// Rows for the loader.
    pub fn into_source(self) -> Result<Source<'static>> {
        match self.input {
            Input::File(file) if self.is_plain_file => Source::file(file),
            input => Ok(Source::reader(input.name(), self.rows)),
        }
    }

    /// Rows for the loader with the channel that they have by default; nothing if there are none.
    pub fn into_named_source(mut self) -> Result<Option<(String, Source<'static>)>> {
        let Some(first) = FirstRow::read(&mut self.rows, self.input.name())? else { return Ok(None) };
        first.check(self.input.name())?;
        let channel = first.channel(self.input.file_name());
        if !self.is_plain_file {
            self.rows = Box::new(BufReader::new(first.into_read().chain(self.rows)));
        }
        Ok(Some((channel, self.into_source()?)))
    }
}
