//! What is wrong with a line, in the words of the library's loader.

use std::io;

use snowpipe_streaming::{Batch, Error, ErrorKind};

/// Reading failed there.
pub fn failed(error: &io::Error, number: u64, name: &str) -> Error {
    Error::new(ErrorKind::Source, format!("{}reading failed: {error}", attempted(number, name)))
}

pub fn not_a_row(error: &Error, number: u64, name: &str) -> Error {
    Error::new(ErrorKind::Row, format!("{}{error}", attempted(number, name))).with_position(number)
}

/// The row that would name the channel.
pub fn no_first_row(error: &Error, number: u64, name: &str) -> Error {
    let advice = "correct the line, for which the channel is named; nothing was sent";
    Error::new(ErrorKind::Row, format!("{}{error}; {advice}", attempted(number, name))).with_position(number)
}

pub fn too_long(number: u64, name: &str) -> Error {
    let happened = format!("it is longer than {} bytes, the most a row may have", Batch::MAX_ROW_BYTES);
    Error::new(ErrorKind::Row, format!("{}{happened}", attempted(number, name))).with_position(number)
}

/// So is what was unpacked from it.
pub fn damaged(error: &io::Error, number: u64, name: &str) -> Error {
    let happened = format!("the archive is damaged: {error}; fetch or pack it again");
    Error::new(ErrorKind::Source, format!("{}{happened}", attempted(number, name))).with_position(number)
}

fn attempted(number: u64, name: &str) -> String {
    format!("could not read line {number} of {name}: ")
}
