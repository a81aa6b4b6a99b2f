use super::line_reader::LineError;
use super::row_reader::Format;
use super::unpacked::read_failed;
use crate::error::{Error, ErrorKind};
use crate::rows::Batch;

/// Says in which line or element of which source a row is bad.
pub(super) fn at_line(error: Error, format: Format, number: u64, name: &str) -> Error {
    let error = error.attempting(format!("read {} {number} of {name}", format.unit())).with_position(number);
    error.or_advise(match format {
        Format::Lines => "correct the line, or leave it empty: the lines after it must keep their numbers",
        Format::Elements => "correct the element: those after it must keep their places",
    })
}

/// Why the next row cannot be found, so that nothing after it can be read either.
pub(super) fn unreadable(name: &str, format: Format, number: u64, error: LineError) -> Error {
    match error {
        LineError::TooLong => {
            let happened = format!("it is longer than {} bytes, the most a row may have", Batch::MAX_ROW_BYTES);
            at_line(Error::new(ErrorKind::Row, happened), format, number, name)
        }
        LineError::Broken(happened) => {
            let error = Error::new(ErrorKind::Row, happened).advise("correct the text from there on");
            at_line(error, format, number, name)
        }
        LineError::Io(error) => {
            // What unpacks the text says by itself what is wrong with it; a stop ends the reading, too.
            let said = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).cloned();
            let failed = said.unwrap_or_else(|| read_failed(error));
            failed.attempting(format!("read {} {number} of {name}", format.unit()))
        }
    }
}

/// The same of a value.
pub(super) fn at_row(error: Error, position: u64) -> Error {
    error
        .attempting(format!("read row {position}"))
        .with_position(position)
        .or_advise("correct the row, or the source, and run it again")
}
