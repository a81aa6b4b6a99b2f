use std::io;

use super::line_reader::LineError;
use crate::error::{Error, ErrorKind};
use crate::rows::Batch;

/// Says in which line of which source a row is bad.
pub(super) fn at_line(error: Error, number: u64, name: &str) -> Error {
    error
        .attempting(format!("read line {number} of {name}"))
        .with_position(number)
        .or_advise("correct the line, or leave it empty: the lines after it must keep their numbers")
}

pub(super) fn unreadable(name: &str, number: u64, error: LineError) -> Error {
    match error {
        LineError::TooLong => {
            let happened = format!("it is longer than {} bytes, the most a row may have", Batch::MAX_ROW_BYTES);
            at_line(Error::new(ErrorKind::Row, happened), number, name)
        }
        LineError::Io(error) => source_failed(error).attempting(format!("read line {number} of {name}")),
    }
}

fn source_failed(error: io::Error) -> Error {
    match error.downcast() {
        // A stop ends the reading, too.
        Ok(own) => own,
        Err(error) => Error::new(ErrorKind::Source, format!("reading failed: {error}")).with_source(error),
    }
}

/// The same of a value.
pub(super) fn at_row(error: Error, position: u64) -> Error {
    error
        .attempting(format!("read row {position}"))
        .with_position(position)
        .or_advise("correct the row, or the source, and run it again")
}
