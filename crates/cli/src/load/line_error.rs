//! What is wrong with a line, in the words of the library's loader.

use std::io;

use snowpipe_streaming::{Error, ErrorKind};

/// Reading failed there.
pub fn failed(error: &io::Error, number: u64, name: &str) -> Error {
    Error::new(ErrorKind::Source, format!("{}reading failed: {error}", attempted(number, name)))
}

pub fn not_a_row(error: &Error, number: u64, name: &str) -> Error {
    Error::new(ErrorKind::Row, format!("{}{error}", attempted(number, name))).with_position(number)
}

/// What was unpacked from a damaged archive may be no row.
pub fn damaged(error: &io::Error, number: u64, name: &str) -> Error {
    let happened = format!("the archive is damaged: {error}; fetch or pack it again");
    Error::new(ErrorKind::Source, format!("{}{happened}", attempted(number, name))).with_position(number)
}

fn attempted(number: u64, name: &str) -> String {
    format!("could not read line {number} of {name}: ")
}
