use std::io::Read;

use super::batch_reader::{not_a_row, unreadable};
use super::line_reader::{LineReader, Next, is_blank};
use super::partition::Partition;
use super::partition_queue::{CloseOnDrop, PartitionQueue};
use super::source::{Input, NextRow, PushLine};
use crate::error::Error;
use crate::rows::Batch;

/// Reads a source once, in order, and pushes each row to the queue of its partition.
pub(super) struct Partitioner<'q> {
    name: String,
    push_line: PushLine,
    queues: &'q [PartitionQueue],
    resumes: Vec<Resume>,
    /// Holds one row at a time.
    row: Batch,
}

/// How far the channel of one partition is, and whether the source agrees.
pub(super) struct Resume {
    /// The position that the channel has committed; zero if none.
    committed: u64,
    /// Rows of the partition up to there.
    skipped: u64,
    /// The source has a row at the committed position. Without one the channel belongs to another source.
    is_confirmed: bool,
}

/// What the channel of a row needs.
#[derive(PartialEq, Eq)]
enum Want {
    Row,
    /// The row is committed already.
    Nothing,
    /// The channel takes no more rows.
    Closed,
}

impl Resume {
    pub(super) fn after(committed: u64) -> Resume {
        Resume { committed, skipped: 0, is_confirmed: committed == 0 }
    }
}

impl<'q> Partitioner<'q> {
    /// There is one queue and one resume for each partition, in order.
    pub(super) fn new(
        name: String,
        push_line: PushLine,
        queues: &'q [PartitionQueue],
        resumes: Vec<Resume>,
    ) -> Partitioner<'q> {
        Partitioner { name, push_line, queues, resumes, row: Batch::new() }
    }

    /// Reads until the end of the source, its failure, or until all queues are closed; closes them all, also by a panic.
    pub(super) fn run(mut self, input: Input<'_>) -> Result<(), Error> {
        let _closing = CloseOnDrop(self.queues);
        let read = match input {
            Input::File(mut file) => self.read_lines(&mut file),
            Input::Stream(mut reader) => self.read_lines(&mut reader),
            Input::Values(next) => self.read_values(next),
        };
        (0..self.queues.len()).for_each(|index| self.fail_unless_confirmed(index));
        read
    }

    fn read_lines(&mut self, input: &mut dyn Read) -> Result<(), Error> {
        let mut lines = LineReader::default();
        loop {
            let number = lines.number() + 1;
            let line = match lines.peek(input, || true) {
                Ok(Next::Line(line)) => line,
                Ok(Next::NotBuffered | Next::End) => return Ok(()),
                Err(error) => return Err(unreadable(&self.name, number, error)),
            };
            let length = line.len();
            if !is_blank(line) && !self.push_line(number, line)? {
                return Ok(());
            }
            lines.advance(length);
        }
    }

    /// False once no channel takes rows any more.
    fn push_line(&mut self, number: u64, line: &[u8]) -> Result<bool, Error> {
        let index = self.partition_of(number);
        match self.want(index, number) {
            Want::Closed => return Ok(!self.are_all_closed()),
            Want::Nothing => self.skip(index, number),
            Want::Row => {
                self.row.clear();
                let pushed = (self.push_line)(&mut self.row, line);
                pushed.map_err(|error| error.attempting(format!("read line {number} of {}", self.name)))?;
                self.queues[index].push(number, &self.row);
            }
        }
        Ok(true)
    }

    fn read_values(&mut self, mut next: NextRow<'_>) -> Result<(), Error> {
        for position in 1.. {
            let index = self.partition_of(position);
            let want = self.want(index, position);
            if want == Want::Closed && self.are_all_closed() {
                return Ok(());
            }
            self.row.clear();
            // A row that no channel needs is not even serialised.
            match next((want == Want::Row).then_some(&mut self.row)) {
                None => return Ok(()),
                Some(taken) => taken.map_err(|error| error.attempting(format!("read row {position}")))?,
            }
            match want {
                Want::Row => self.queues[index].push(position, &self.row),
                Want::Nothing => self.skip(index, position),
                Want::Closed => {}
            }
        }
        Ok(())
    }

    fn want(&mut self, index: usize, position: u64) -> Want {
        if position <= self.resumes[index].committed {
            return if self.queues[index].is_closed() { Want::Closed } else { Want::Nothing };
        }
        self.fail_unless_confirmed(index);
        if self.queues[index].is_closed() { Want::Closed } else { Want::Row }
    }

    fn skip(&mut self, index: usize, position: u64) {
        let resume = &mut self.resumes[index];
        resume.skipped += 1;
        if resume.committed == position {
            resume.is_confirmed = true;
            self.queues[index].set_skipped(resume.skipped);
        }
    }

    fn fail_unless_confirmed(&mut self, index: usize) {
        let resume = &mut self.resumes[index];
        if !resume.is_confirmed {
            resume.is_confirmed = true;
            self.queues[index].fail(not_a_row(resume.committed));
        }
    }

    fn partition_of(&self, position: u64) -> usize {
        Partition::index_of(position, self.queues.len() as u64) as usize
    }

    fn are_all_closed(&self) -> bool {
        self.queues.iter().all(PartitionQueue::is_closed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::loader::Source;

    /// What each of two channels gets of these rows, if they have committed these positions.
    fn partitioned(text: &str, committed: [u64; 2]) -> [Result<(String, u64), String>; 2] {
        let queues = [(); 2].map(|()| PartitionQueue::new(1_000_000));
        let resumes = committed.map(Resume::after).into();
        let source = Source::reader("text", text.as_bytes());
        Partitioner::new(source.name, source.push_line, &queues, resumes).run(source.input).unwrap();
        queues.each_ref().map(|queue| {
            let (reader, mut batch) = (queue.reader(), Batch::new());
            let skipped = reader.skip_committed().map_err(|error| error.to_string())?;
            reader.take(&mut batch, Duration::ZERO);
            Ok((String::from_utf8(batch.piece().text().to_vec()).unwrap(), skipped))
        })
    }

    #[test]
    fn rows_that_a_channel_has_are_skipped_and_counted() {
        let got = partitioned("{\"A\":1}\n\n{\"A\":3}\n{\"A\":4}\n", [3, 0]);
        assert_eq!(got, [Ok(("{\"A\":4}\n".into(), 2)), Ok((String::new(), 0))]);
    }

    #[test]
    fn a_committed_position_without_a_row_fails_its_channel_alone() {
        let text = "{\"A\":1}\n\n{\"A\":3}\n";
        for committed in [2, 4] {
            let [first, second] = partitioned(text, [committed, 0]);
            let error = first.unwrap_err();
            assert!(error.starts_with(&format!("committed offset {committed} is not a row")), "{error}");
            assert_eq!(second, Ok((String::new(), 0)));
        }
    }
}
