use super::fill::Fill;
use super::resume_point::ResumePoint;
use super::source::NextRow;
use crate::error::{Error, ErrorKind};
use crate::rows::{Batch, RowOffset};

/// Values in a sequence; the position counts from one.
pub(super) struct Values<'s> {
    next: NextRow<'s>,
    /// Of the value that went into a batch last.
    last: RowOffset,
    /// A row that did not fit into its batch any more.
    left_over: Option<Vec<u8>>,
}

impl<'s> Values<'s> {
    pub(super) fn new(next: NextRow<'s>) -> Values<'s> {
        Values { next, last: RowOffset::default(), left_over: None }
    }

    pub(super) fn fill(&mut self, batch: &mut Batch, fill: &Fill<'_>) -> Result<(), Error> {
        let mut looks = fill.looks();
        if let Some(row) = self.left_over.take() {
            batch.push_checked(&row);
            self.mark(batch);
        }
        while batch.bytes() < fill.max_bytes {
            match (self.next)(batch) {
                None => return Ok(()),
                Some(Err(error)) => return Err(at_row(error, self.last.position + 1)),
                Some(Ok(())) => {}
            }
            if batch.bytes() > fill.max_bytes && batch.rows() > 1 {
                self.left_over = batch.pop();
                return Ok(());
            }
            self.mark(batch);
            if looks.is_due(batch.rows()) && fill.is_overdue() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn mark(&mut self, batch: &mut Batch) {
        self.last = self.last.next(batch.last_row().text());
        batch.mark(self.last);
    }

    /// Encodes what it skips, since only that shows whether it is the same source.
    pub(super) fn skip_to(&mut self, point: ResumePoint) -> Result<u64, Error> {
        let mut batch = Batch::new();
        while self.last.position < point.position() {
            batch.clear();
            match (self.next)(&mut batch) {
                None => return Err(point.no_row()),
                Some(Err(error)) if error.kind() == ErrorKind::Source => {
                    return Err(at_row(error, self.last.position + 1));
                }
                // A value that is no row was none when the channel committed this one either.
                Some(Ok(()) | Err(_)) => self.last = self.last.next(batch.last_row().text()),
            }
        }
        if point.is_start() || point.is_at(self.last) {
            Ok(self.last.position)
        } else {
            Err(other_values(point, self.last))
        }
    }
}

/// The text of a value may differ from run to run although the value is the same.
pub(super) fn other_values(point: ResumePoint, found: RowOffset) -> Error {
    point.other_source(found).advise(
        "give this source a channel name of its own; values must have the same text in every run, which those with a HashMap \
         have not: use a BTreeMap",
    )
}

pub(super) fn at_row(error: Error, position: u64) -> Error {
    error
        .attempting(format!("read row {position}"))
        .with_position(position)
        .or_advise("correct the row, or the source, and run it again")
}
