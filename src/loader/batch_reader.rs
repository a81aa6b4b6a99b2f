use super::bad_rows::Allowance;
use super::file_range::FileRange;
use super::fill::{Fill, MAX_FILL_TIME};
use super::lines::Lines;
use super::partition::Partition;
use super::partition_queue::QueueReader;
use super::resume_point::ResumePoint;
use super::row_check::RowCheck;
use super::source::Source;
use crate::clock::Clock;
use crate::error::Error;
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
    Lines(Box<Lines<'s>>),
    Queue(QueueReader<'s>),
}

impl<'s> BatchReader<'s> {
    /// Reads the rows of one partition out of the whole file.
    pub(super) fn of_file(
        source: &Source<'_>,
        file: FileRange,
        partition: Partition,
        allowance: &'s Allowance<'s>,
    ) -> BatchReader<'s> {
        let (name, check) = (source.name.clone(), RowCheck::of(source, allowance));
        let lines = Lines::new(name.clone(), file, check, partition);
        BatchReader { name, input: Rows::Lines(Box::new(lines)), failure: None }
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
        matches!(self.input, Rows::Lines(_))
    }

    /// Fills an empty batch up to `max_bytes`, or with the rows of [`MAX_FILL_TIME`]; a longer row goes alone. After a
    /// failure the next call fails again.
    pub(super) fn read_batch(&mut self, batch: &mut Batch, max_bytes: usize, clock: &dyn Clock) -> ReadOutcome {
        if let Some(error) = &self.failure {
            return ReadOutcome::Failed(error.clone());
        }
        let filled = match &mut self.input {
            Rows::Lines(lines) => lines.fill(batch, &Fill::new(max_bytes, clock)),
            Rows::Queue(queue) => queue.take(batch, MAX_FILL_TIME),
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

    /// Skips everything up to a row that the channel has committed, and compares it; returns the number of rows skipped.
    pub(super) fn skip_to(&mut self, point: ResumePoint) -> Result<u64, Error> {
        match &mut self.input {
            Rows::Lines(lines) => lines.skip_to(point),
            Rows::Queue(_) if point.is_start() => Ok(0),
            // The thread that reads the source skips them.
            Rows::Queue(queue) => queue.skip_committed(),
        }
    }

    /// Goes back to just after a row, where the source [can](BatchReader::can_rewind).
    pub(super) fn rewind_to(&mut self, point: ResumePoint) -> Result<(), Error> {
        match &mut self.input {
            Rows::Lines(lines) => lines.rewind_to(point),
            Rows::Queue(_) => Ok(()),
        }
    }

    /// Whether the source still has what was read of it up to its last row.
    pub(super) fn check_unchanged(&mut self, last: ResumePoint) -> Result<(), Error> {
        match &mut self.input {
            Rows::Lines(lines) => lines.check_unchanged(last),
            Rows::Queue(_) => Ok(()),
        }
    }

    /// Frees what going back to before this position would need.
    pub(super) fn forget_before(&mut self, position: u64) {
        if let Rows::Lines(lines) = &mut self.input {
            lines.forget_before(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::clock::FakeClock;
    use crate::error::ErrorKind;
    use crate::loader::source::Input;
    use crate::rows::OffsetToken;
    use crate::stop::{Stop, StopHandle};

    fn whole<'s>(source: &Source<'_>, allowance: &'s Allowance<'s>) -> BatchReader<'s> {
        let Input::File(file) = &source.input else { panic!("{source:?} is no file") };
        BatchReader::of_file(source, file.clone(), Partition::WHOLE, allowance)
    }

    #[test]
    fn a_stop_ends_the_reading_of_a_file_before_and_while_it_is_sent() {
        let (mut file, handle) = (tempfile::NamedTempFile::new().unwrap(), StopHandle::new());
        file.write_all(b"{\"A\":1}\n{\"A\":2}\n").unwrap();
        let mut source = Source::file(file.path()).unwrap();
        source.begin(&Stop::by(&handle)).unwrap();
        let allowance = Allowance::new(0, None);
        let mut reader = whole(&source, &allowance);
        handle.stop();
        let point = ResumePoint::of(&OffsetToken::from("2-00000000")).unwrap();
        assert_eq!(reader.skip_to(point).unwrap_err().kind(), ErrorKind::Stopped);
        let outcome = reader.read_batch(&mut Batch::new(), 1000, &FakeClock::new());
        assert!(matches!(outcome, ReadOutcome::Failed(error) if error.kind() == ErrorKind::Stopped));
    }

    #[test]
    fn a_file_that_has_changed_is_not_read_again_as_if_it_had_not() {
        for (new_length, said) in
            [(8, "has become shorter since the load began"), (24, "has changed since the load began")]
        {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(b"{\"A\":1}\n{\"A\":2}\n{\"A\":3}\n").unwrap();
            let mut source = Source::file(file.path()).unwrap();
            source.begin(&Stop::default()).unwrap();
            let allowance = Allowance::new(0, None);
            let mut reader = whole(&source, &allowance);
            let mut batch = Batch::new();
            reader.read_batch(&mut batch, 1000, &FakeClock::new());
            assert_eq!(batch.rows(), 3);
            let second = batch.piece().cut(2).unwrap().0.last_token();
            let point = ResumePoint::after(second.as_ref()).unwrap();
            assert_eq!(point.position(), 2);
            reader.rewind_to(point).unwrap();
            file.as_file().set_len(new_length).unwrap();
            std::fs::OpenOptions::new().write(true).open(file.path()).unwrap().write_all(b"{\"A\":9}").unwrap();
            let error = reader.rewind_to(point).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Source);
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
