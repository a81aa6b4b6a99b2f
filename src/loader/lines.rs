use std::collections::VecDeque;

use super::file_range::FileRange;
use super::fill::Fill;
use super::line_reader::{LineError, LineReader, Next};
use super::partition::Partition;
use super::resume_point::ResumePoint;
use super::row_check::RowCheck;
use super::row_error::unreadable;
use super::row_reader::Format;
use crate::error::{Error, ErrorKind};
use crate::rows::{Batch, Fingerprint, RowOffset};

/// A file with one row a line; the position is the line number.
pub(super) struct Lines<'s> {
    name: String,
    file: FileRange,
    check: RowCheck<'s>,
    partition: Partition,
    reader: LineReader,
    /// Of the rows of the partition up to the line read last.
    fingerprint: Fingerprint,
    /// Where batches began, so that going back is a short read.
    checkpoints: VecDeque<Checkpoint>,
}

#[derive(Clone, Copy, Default)]
struct Checkpoint {
    /// The position before the one that begins here.
    position: u64,
    offset: u64,
    fingerprint: Fingerprint,
}

/// Whether the lines passed over were judged before.
#[derive(Clone, Copy)]
enum Passing {
    FirstTime,
    /// The text of a line and the line as it stands are the same.
    Again,
}

/// What was found up to a position.
#[derive(Default)]
struct Skipped {
    /// Without those left out.
    rows: u64,
    /// Be it left out or not.
    last: Option<RowOffset>,
}

impl<'s> Lines<'s> {
    pub(super) fn new(name: String, file: FileRange, check: RowCheck<'s>, partition: Partition) -> Lines<'s> {
        let (reader, fingerprint) = (LineReader::default(), Fingerprint::default());
        let checkpoints = VecDeque::from([Checkpoint::default()]);
        Lines { name, file, check, partition, reader, fingerprint, checkpoints }
    }

    pub(super) fn fill(&mut self, batch: &mut Batch, fill: &Fill<'_>) -> Result<(), Error> {
        let (reader, bytes, name) = (&mut self.reader, &mut self.file, &self.name);
        loop {
            let number = reader.number() + 1;
            let line = match reader.peek(bytes, || batch.is_empty() || !fill.is_overdue()) {
                Ok(Next::Line(line)) => line,
                Ok(Next::NotBuffered | Next::End) => break,
                Err(LineError::TooLong) if !self.partition.holds(number) => {
                    reader
                        .discard_line(bytes)
                        .map_err(|error| unreadable(name, Format::Lines, number, LineError::Io(error)))?;
                    continue;
                }
                Err(error) => return Err(unreadable(name, Format::Lines, number, error)),
            };
            let length = line.text.len();
            if self.partition.holds(number) && !line.is_blank() {
                if !batch.is_empty() && batch.bytes() + length >= fill.max_bytes {
                    break;
                }
                if self.check.is_row(line, number, name)? {
                    batch.push_checked(line.text);
                    self.fingerprint = self.fingerprint.with_row(line.text);
                    batch.mark(RowOffset { position: number, fingerprint: self.fingerprint });
                } else {
                    self.fingerprint = self.fingerprint.with_row(line.as_it_stands());
                }
            }
            reader.advance(length);
        }
        self.checkpoints.push_back(self.checkpoint());
        Ok(())
    }

    /// Checks what it skips, and leaves out what is no row. That the source is another one shows before that.
    pub(super) fn skip_to(&mut self, point: ResumePoint) -> Result<u64, Error> {
        let skipped = self.skip_lines(point.position(), Passing::FirstTime)?;
        match skipped.last {
            Some(row) if point.is_at(row) => {}
            Some(row) if row.position == point.position() => return Err(point.other_source(row)),
            None if point.is_start() => {}
            Some(_) | None => return Err(point.no_row()),
        }
        self.check.refusal()?;
        self.checkpoints = VecDeque::from([self.checkpoint()]);
        Ok(skipped.rows)
    }

    pub(super) fn rewind_to(&mut self, point: ResumePoint) -> Result<(), Error> {
        self.checkpoints.retain(|checkpoint| checkpoint.position <= point.position());
        let near = self.checkpoints.back().copied().unwrap_or_default();
        self.file.move_to(near.offset);
        self.reader.moved_to(near.offset, near.position);
        self.fingerprint = near.fingerprint;
        let here = RowOffset { position: near.position, fingerprint: near.fingerprint };
        let last = self.skip_lines(point.position(), Passing::Again)?.last.unwrap_or(here);
        if point.is_start() || point.is_at(last) {
            return Ok(());
        }
        // It was there when it was sent.
        Err(Error::new(ErrorKind::Source, "the file has changed since the load began")
            .attempting(format!("read line {} of {} again", point.position(), self.name))
            .with_position(point.position())
            .advise("load a file that no other program changes"))
    }

    /// Compares everything up to the last row with the file once more, if it was written to meanwhile.
    pub(super) fn check_unchanged(&mut self, last: ResumePoint) -> Result<(), Error> {
        let modified = self.file.is_modified();
        if !modified.map_err(|error| unreadable(&self.name, Format::Lines, last.position(), LineError::Io(error)))? {
            return Ok(());
        }
        self.file.move_to(0);
        self.reader.moved_to(0, 0);
        self.fingerprint = Fingerprint::default();
        let found = self.skip_lines(last.position(), Passing::Again)?.last;
        if last.is_start() || found.is_some_and(|row| last.is_at(row)) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Source,
            "the file was changed while it was loaded, so the table has rows that it lacks now",
        )
        .attempting(format!("read {}", self.name))
        .advise("compare the table with the file; a file that is being loaded may only grow"))
    }

    fn skip_lines(&mut self, position: u64, passing: Passing) -> Result<Skipped, Error> {
        let mut skipped = Skipped::default();
        while self.reader.number() < position {
            let number = self.reader.number() + 1;
            let bytes = &mut self.file;
            let line = match self.reader.peek(bytes, || true) {
                Ok(Next::Line(line)) => line,
                Ok(Next::NotBuffered | Next::End) => break,
                Err(LineError::TooLong) if !self.partition.holds(number) => {
                    let passed = self.reader.discard_line(bytes);
                    passed.map_err(|error| unreadable(&self.name, Format::Lines, number, LineError::Io(error)))?;
                    continue;
                }
                Err(error) => return Err(unreadable(&self.name, Format::Lines, number, error)),
            };
            let length = line.text.len();
            if self.partition.holds(number) && !line.is_blank() {
                let is_row = match passing {
                    // What ends the load is kept.
                    Passing::FirstTime => self.check.is_row(line, number, &self.name).unwrap_or(false),
                    Passing::Again => true,
                };
                self.fingerprint = self.fingerprint.with_row(if is_row { line.text } else { line.as_it_stands() });
                skipped.rows += u64::from(is_row);
                skipped.last = Some(RowOffset { position: number, fingerprint: self.fingerprint });
            }
            self.reader.advance(length);
        }
        Ok(skipped)
    }

    pub(super) fn forget_before(&mut self, position: u64) {
        while self.checkpoints.get(1).is_some_and(|next| next.position <= position) {
            self.checkpoints.pop_front();
        }
    }

    fn checkpoint(&self) -> Checkpoint {
        let (position, offset) = (self.reader.number(), self.reader.offset());
        Checkpoint { position, offset, fingerprint: self.fingerprint }
    }
}
