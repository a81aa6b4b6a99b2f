use super::fill::Fill;
use super::resume_point::ResumePoint;
use super::row_check::RowCheck;
use super::row_error::at_row;
use super::source::{NextRow, NoRow};
use crate::error::Error;
use crate::rows::{Batch, RowOffset, UnfitValue};

/// Values in a sequence; the position counts from one.
pub(super) struct Values<'s> {
    next: NextRow<'s>,
    check: RowCheck<'s>,
    /// Of the value that went into a batch, or was left out, last.
    last: RowOffset,
    /// A row that did not fit into its batch any more.
    left_over: Option<Vec<u8>>,
}

/// What the source gave.
enum Found {
    Row,
    NoRow(UnfitValue),
    End,
}

impl<'s> Values<'s> {
    pub(super) fn new(next: NextRow<'s>, check: RowCheck<'s>) -> Values<'s> {
        Values { next, check, last: RowOffset::default(), left_over: None }
    }

    pub(super) fn fill(&mut self, batch: &mut Batch, fill: &Fill<'_>) -> Result<(), Error> {
        let (mut looks, mut taken) = (fill.looks(), 0);
        if let Some(row) = self.left_over.take() {
            batch.push_checked(&row);
            self.mark(batch);
        }
        while batch.bytes() < fill.max_bytes {
            match self.take(batch)? {
                Found::End => return Ok(()),
                Found::NoRow(unfit) => {
                    self.check.leave_out_value(&unfit, self.last.position + 1)?;
                    self.last = self.last.next(&unfit.text);
                }
                Found::Row if batch.bytes() > fill.max_bytes && batch.rows() > 1 => {
                    self.left_over = batch.pop();
                    return Ok(());
                }
                Found::Row => self.mark(batch),
            }
            taken += 1;
            if !batch.is_empty() && looks.is_due(taken) && fill.is_overdue() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn take(&mut self, batch: &mut Batch) -> Result<Found, Error> {
        let pushed = match (self.next)(batch) {
            None => return Ok(Found::End),
            Some(Err(NoRow::SourceFailed(error))) => return Err(at_row(error, self.last.position + 1)),
            Some(Err(NoRow::Unfit(unfit))) => Err(unfit),
            Some(Ok(())) => Ok(()),
        };
        Ok(self.check.unfit(pushed, batch).map_or(Found::Row, Found::NoRow))
    }

    fn mark(&mut self, batch: &mut Batch) {
        self.last = self.last.next(batch.last_row().text());
        batch.mark(self.last);
    }

    /// Encodes what it skips, since only that shows whether it is the same source, and leaves out what is no row.
    pub(super) fn skip_to(&mut self, point: ResumePoint) -> Result<u64, Error> {
        let (mut batch, mut rows) = (Batch::new(), 0);
        while self.last.position < point.position() {
            batch.clear();
            match self.take(&mut batch)? {
                Found::End => return Err(point.no_row()),
                Found::NoRow(unfit) => {
                    // What ends the load is kept: that the source is another one shows before that.
                    let _ = self.check.leave_out_value(&unfit, self.last.position + 1);
                    self.last = self.last.next(&unfit.text);
                }
                Found::Row => {
                    self.last = self.last.next(batch.last_row().text());
                    rows += 1;
                }
            }
        }
        if !point.is_start() && !point.is_at(self.last) {
            return Err(other_values(point, self.last));
        }
        self.check.refusal().map(|()| rows)
    }
}

/// The text of a value may differ from run to run although the value is the same.
pub(super) fn other_values(point: ResumePoint, found: RowOffset) -> Error {
    point.other_source(found).advise(
        "give this source a channel name of its own; values must have the same text in every run, which those with a HashMap \
         have not: use a BTreeMap",
    )
}
