use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use super::line_reader::{LineError, LineReader, Next, is_blank};
use super::partition::Partition;
use super::partition_queue::QueueReader;
use super::source::{self, NextRow, PushLine, Source};
use crate::clock::{Clock, Moment};
use crate::error::{Error, ErrorKind};
use crate::rows::Batch;

/// Turns a source into batches whose rows carry their position, and goes back to any position that was sent.
pub(super) struct BatchReader<'s> {
    name: String,
    input: Rows<'s>,
    /// Why a source that is read once gave no more: what follows its failure is not its next row.
    failure: Option<Error>,
}

/// The outcome of reading one batch.
#[derive(Debug)]
pub(super) enum ReadOutcome {
    Rows,
    /// The batch is empty: there are no more rows.
    End,
    /// The batch has the rows before the failure.
    Failed(Error),
}

enum Rows<'s> {
    Lines(Lines<'s>),
    Values(Values<'s>),
    Queue(QueueReader<'s>),
}

impl<'s> BatchReader<'s> {
    /// Reads the rows of one partition out of the whole source.
    pub(super) fn new(source: Source<'s>, partition: Partition) -> BatchReader<'s> {
        let name = source.name.clone();
        let lines = |bytes| Rows::Lines(Lines::new(source.name, bytes, source.push_line, partition));
        let input = match source.input {
            source::Input::File(file) => lines(Bytes::File(file)),
            source::Input::Stream(reader) => lines(Bytes::Stream(reader)),
            source::Input::Values(next) => Rows::Values(Values { next, position: 0, left_over: None }),
        };
        BatchReader { name, input, failure: None }
    }

    /// Takes the rows of one partition that another thread reads out of the source of this name.
    pub(super) fn of_queue(name: &str, queue: QueueReader<'s>) -> BatchReader<'s> {
        BatchReader { name: name.to_string(), input: Rows::Queue(queue), failure: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether rows that were read can be read again.
    pub(super) fn can_rewind(&self) -> bool {
        matches!(&self.input, Rows::Lines(Lines { bytes: Bytes::File(_), .. }))
    }

    /// Fills an empty batch up to `max_bytes`, or with the rows of [`MAX_FILL_TIME`]; a longer row goes alone. After a
    /// failure the next call fails again.
    pub(super) fn read_batch(&mut self, batch: &mut Batch, max_bytes: usize, clock: &dyn Clock) -> ReadOutcome {
        if let Some(error) = &self.failure {
            return ReadOutcome::Failed(error.clone());
        }
        let fill = Fill { max_bytes, clock, began: clock.now() };
        let filled = match &mut self.input {
            Rows::Lines(lines) => lines.fill(batch, &fill),
            Rows::Values(values) => values.fill(batch, &fill),
            Rows::Queue(queue) => {
                queue.take(batch, MAX_FILL_TIME);
                Ok(())
            }
        };
        match filled {
            Ok(()) if batch.is_empty() => ReadOutcome::End,
            Ok(()) => ReadOutcome::Rows,
            Err(error) => {
                if !self.can_rewind() {
                    self.failure = Some(error.clone());
                }
                ReadOutcome::Failed(error)
            }
        }
    }

    /// Skips everything up to a position that must hold a row; returns the number of rows skipped.
    pub(super) fn skip_to(&mut self, position: u64) -> Result<u64, Error> {
        match &mut self.input {
            Rows::Lines(lines) => lines.skip_to(position),
            Rows::Values(values) => values.skip_to(position),
            Rows::Queue(_) if position == 0 => Ok(0),
            // The thread that reads the source skips them.
            Rows::Queue(queue) => queue.skip_committed(),
        }
    }

    /// Goes back to just after a position, where the source [can](BatchReader::can_rewind).
    pub(super) fn rewind_to(&mut self, position: u64) -> Result<(), Error> {
        match &mut self.input {
            Rows::Lines(lines) => lines.rewind_to(position),
            Rows::Values(_) | Rows::Queue(_) => Ok(()),
        }
    }

    /// Frees what going back to before this position would need.
    pub(super) fn forget_before(&mut self, position: u64) {
        if let Rows::Lines(lines) = &mut self.input {
            lines.forget_before(position);
        }
    }
}

/// When a batch is full, or has waited long enough: a slow source does not hold back the rows it has given.
struct Fill<'c> {
    max_bytes: usize,
    clock: &'c dyn Clock,
    began: Moment,
}

impl Fill<'_> {
    fn is_overdue(&self) -> bool {
        self.clock.now().since(self.began) >= MAX_FILL_TIME
    }
}

/// A text with one row a line; the position is the line number.
struct Lines<'s> {
    name: String,
    bytes: Bytes<'s>,
    push_line: PushLine,
    partition: Partition,
    reader: LineReader,
    /// Where batches began, so that going back is a seek and a short read.
    checkpoints: VecDeque<Checkpoint>,
}

enum Bytes<'s> {
    File(File),
    Stream(Box<dyn Read + Send + 's>),
}

#[derive(Clone, Copy)]
struct Checkpoint {
    /// The position before the one that begins here.
    position: u64,
    offset: u64,
}

/// What was found up to a position.
enum Skipped {
    Rows(u64),
    /// The position is not that of a row.
    NoRow,
}

impl<'s> Lines<'s> {
    fn new(name: String, bytes: Bytes<'s>, push_line: PushLine, partition: Partition) -> Lines<'s> {
        let checkpoints = VecDeque::from([Checkpoint { position: 0, offset: 0 }]);
        Lines { name, bytes, push_line, partition, reader: LineReader::default(), checkpoints }
    }

    fn fill(&mut self, batch: &mut Batch, fill: &Fill<'_>) -> Result<(), Error> {
        let (reader, bytes, name) = (&mut self.reader, self.bytes.as_read(), &self.name);
        loop {
            let number = reader.number() + 1;
            let line = match reader.peek(bytes, || batch.is_empty() || !fill.is_overdue()) {
                Ok(Next::Line(line)) => line,
                Ok(Next::NotBuffered | Next::End) => break,
                Err(error) => return Err(unreadable(name, number, error)),
            };
            let length = line.len();
            if self.partition.holds(number) && !is_blank(line) {
                if !batch.is_empty() && batch.bytes() + length >= fill.max_bytes {
                    break;
                }
                let pushed = (self.push_line)(batch, line);
                pushed.map_err(|error| error.attempting(format!("read line {number} of {name}")))?;
                batch.mark(number);
            }
            reader.advance(length);
        }
        self.checkpoints.push_back(Checkpoint { position: self.reader.number(), offset: self.reader.offset() });
        Ok(())
    }

    /// The number of rows skipped.
    fn skip_to(&mut self, position: u64) -> Result<u64, Error> {
        let Skipped::Rows(rows) = self.skip_lines(position)? else { return Err(not_a_row(position)) };
        self.checkpoints = VecDeque::from([Checkpoint { position, offset: self.reader.offset() }]);
        Ok(rows)
    }

    fn rewind_to(&mut self, position: u64) -> Result<(), Error> {
        let Bytes::File(file) = &mut self.bytes else { return Ok(()) };
        self.checkpoints.retain(|checkpoint| checkpoint.position <= position);
        let near = self.checkpoints.back().copied().unwrap_or(Checkpoint { position: 0, offset: 0 });
        self.reader.moved_to(near.offset, near.position);
        file.seek(SeekFrom::Start(near.offset))
            .map_err(|error| unreadable(&self.name, near.position + 1, LineError::Io(error)))?;
        match self.skip_lines(position)? {
            Skipped::Rows(_) => Ok(()),
            // It was there when it was sent.
            Skipped::NoRow => Err(Error::new(ErrorKind::Source, "the file has changed since the load began")
                .attempting(format!("read line {position} of {} again", self.name))
                .advise("load a file that no other program changes")),
        }
    }

    fn skip_lines(&mut self, position: u64) -> Result<Skipped, Error> {
        let (mut rows, mut last_is_row) = (0, true);
        while self.reader.number() < position {
            let number = self.reader.number() + 1;
            let line = match self.reader.peek(self.bytes.as_read(), || true) {
                Ok(Next::Line(line)) => line,
                Ok(Next::NotBuffered | Next::End) => return Ok(Skipped::NoRow),
                Err(error) => return Err(unreadable(&self.name, number, error)),
            };
            let length = line.len();
            last_is_row = self.partition.holds(number) && !is_blank(line);
            rows += u64::from(last_is_row);
            self.reader.advance(length);
        }
        Ok(if last_is_row { Skipped::Rows(rows) } else { Skipped::NoRow })
    }

    fn forget_before(&mut self, position: u64) {
        while self.checkpoints.get(1).is_some_and(|next| next.position <= position) {
            self.checkpoints.pop_front();
        }
    }
}

impl Bytes<'_> {
    fn as_read(&mut self) -> &mut dyn Read {
        match self {
            Bytes::File(file) => file,
            Bytes::Stream(reader) => reader,
        }
    }
}

/// Values in a sequence; the position counts from one.
struct Values<'s> {
    next: NextRow<'s>,
    /// Of the value taken last.
    position: u64,
    /// A row that did not fit into its batch any more.
    left_over: Option<Vec<u8>>,
}

impl Values<'_> {
    fn fill(&mut self, batch: &mut Batch, fill: &Fill<'_>) -> Result<(), Error> {
        if let Some(row) = self.left_over.take() {
            self.position += 1;
            batch.push_checked(&row);
            batch.mark(self.position);
        }
        while batch.bytes() < fill.max_bytes {
            match (self.next)(Some(batch)) {
                None => return Ok(()),
                Some(Err(error)) => return Err(error.attempting(format!("read row {}", self.position + 1))),
                Some(Ok(())) => {}
            }
            if batch.bytes() > fill.max_bytes && batch.rows() > 1 {
                self.left_over = batch.pop();
                return Ok(());
            }
            self.position += 1;
            batch.mark(self.position);
            if batch.rows().is_multiple_of(ROWS_PER_LOOK) && fill.is_overdue() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn skip_to(&mut self, position: u64) -> Result<u64, Error> {
        let rows = position.saturating_sub(self.position);
        while self.position < position {
            (self.next)(None).unwrap_or_else(|| Err(not_a_row(position)))?;
            self.position += 1;
        }
        Ok(rows)
    }
}

/// The channel's committed offset cannot come from this source.
pub(super) fn not_a_row(offset: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Conflict, format!("committed offset {offset} is not a row of this source"))
        .advise("the channel was used for something else: give this load a channel name of its own")
}

pub(super) fn unreadable(name: &str, number: u64, error: LineError) -> Error {
    let attempted = format!("read line {number} of {name}");
    match error {
        LineError::TooLong => {
            let happened = format!("it is longer than {} bytes, the most a row may have", Batch::MAX_ROW_BYTES);
            Error::new(ErrorKind::Row, happened).with_position(number).attempting(attempted)
        }
        LineError::Io(error) => source_failed(error).attempting(attempted),
    }
}

fn source_failed(error: io::Error) -> Error {
    Error::new(ErrorKind::Source, format!("reading failed: {error}")).with_source(error)
}

/// As long as a row may wait for others to fill its request.
const MAX_FILL_TIME: Duration = Duration::from_secs(1);

/// Looking at the clock costs a fraction of encoding this many rows.
const ROWS_PER_LOOK: usize = 16;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::clock::FakeClock;

    #[test]
    fn a_file_that_has_changed_is_not_read_again_as_if_it_had_ended() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"{\"A\":1}\n{\"A\":2}\n{\"A\":3}\n").unwrap();
        let mut reader = BatchReader::new(Source::file(file.path()).unwrap(), Partition::WHOLE);
        let mut batch = Batch::new();
        reader.read_batch(&mut batch, 1000, &FakeClock::new());
        assert_eq!(batch.rows(), 3);
        reader.rewind_to(2).unwrap();
        file.as_file().set_len(8).unwrap();
        let error = reader.rewind_to(2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source);
        assert!(error.to_string().contains("the file has changed since the load began"), "{error}");
    }
}
