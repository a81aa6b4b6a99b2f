use super::bad_rows::{Allowance, BadRow};
use super::line_reader::Line;
use super::row_error::{at_line, at_row};
use super::row_reader::Format;
use super::source::{CheckLine, Source};
use crate::error::{Error, ErrorKind};
use crate::rows::{Batch, Compressor, UnfitValue, check_json};

/// Judges what one reader finds in a source, be it sent or passed over, and leaves out what is no row.
pub(super) struct RowCheck<'l> {
    check_line: CheckLine,
    format: Format,
    allowance: &'l Allowance<'l>,
    /// For rows so long that only compression shows whether a request can carry them.
    compressor: Compressor,
    /// The position left out last. A reader that goes back comes to it again, and to those before it.
    left_out: u64,
    /// Why the source is read no further.
    end: Option<Error>,
}

impl<'l> RowCheck<'l> {
    pub(super) fn of(source: &Source<'_>, allowance: &'l Allowance<'l>) -> RowCheck<'l> {
        let (check_line, format) = (source.check_line, source.format());
        RowCheck { check_line, format, allowance, compressor: Compressor::default(), left_out: 0, end: None }
    }

    /// Whether a line is a row, or left out. An error ends the load.
    pub(super) fn is_row(&mut self, line: Line<'_>, number: u64, name: &str) -> Result<bool, Error> {
        // A line that its writer may not have finished is parsed even if the source is trusted.
        let check_line = if line.is_terminated { self.check_line } else { check_json };
        if let Err(error) = check_line(line.text) {
            return match line.is_terminated {
                true => self.leave_out_line(line, error, number, name),
                false => Err(self.ended(at_line(unfinished(error), self.format, number, name))),
            };
        }
        match too_long(self.compressor.check_line(line.text)) {
            Some(error) => self.leave_out_line(line, error, number, name),
            None => Ok(true),
        }
    }

    /// What the value that was pushed last is instead of a row; then it is not in the batch.
    pub(super) fn unfit(&mut self, pushed: Result<(), UnfitValue>, batch: &mut Batch) -> Option<UnfitValue> {
        if let Err(unfit) = pushed {
            return Some(unfit);
        }
        let error = too_long(self.compressor.check_row(&batch.last_row()))?;
        Some(UnfitValue { error, text: batch.pop().unwrap_or_default() })
    }

    /// An error ends the load.
    pub(super) fn leave_out_value(&mut self, unfit: &UnfitValue, position: u64) -> Result<(), Error> {
        let reason = unfit.error.to_string();
        self.leave_out(&BadRow::new(position, &reason, &unfit.text), at_row(unfit.error.clone(), position))
    }

    /// The error that a row passed over has ended the load with. Its place is committed, so correcting it would make another
    /// source.
    pub(super) fn refusal(&self) -> Result<(), Error> {
        match &self.end {
            None => Ok(()),
            Some(error) => Err(error.clone().advise(
                "rows after it are committed, so leave the source as it is: allow so many with max_errors, and load the \
                 corrected row from a source of its own",
            )),
        }
    }

    fn leave_out_line(&mut self, line: Line<'_>, error: Error, number: u64, name: &str) -> Result<bool, Error> {
        let reason = error.to_string();
        let bad = BadRow::new(number, &reason, line.as_it_stands());
        self.leave_out(&bad, at_line(error, self.format, number, name)).map(|()| false)
    }

    fn leave_out(&mut self, bad: &BadRow<'_>, error: Error) -> Result<(), Error> {
        if bad.position() <= self.left_out {
            return Ok(());
        }
        if let Some(error) = &self.end {
            return Err(error.clone());
        }
        match self.allowance.leave_out(bad, error) {
            Ok(()) => self.left_out = bad.position(),
            Err(error) => return Err(self.ended(error)),
        }
        Ok(())
    }

    fn ended(&mut self, error: Error) -> Error {
        self.end.get_or_insert(error).clone()
    }
}

/// Compression that fails otherwise does so again when the row is sent.
fn too_long(checked: Result<(), Error>) -> Option<Error> {
    checked.err().filter(|error| error.kind() == ErrorKind::Row)
}

pub(super) fn unfinished(error: Error) -> Error {
    Error::new(error.kind(), format!("{error}, and it has no line break: the text may not be complete"))
        .advise("load it again when it is complete")
}
