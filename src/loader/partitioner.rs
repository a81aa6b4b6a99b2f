use std::io::Read;

use super::line_reader::{Line, LineReader, Next};
use super::lines::{at_line, push, unreadable};
use super::partition::Partition;
use super::partition_queue::{CloseOnDrop, PartitionQueue};
use super::resume_point::ResumePoint;
use super::source::{Input, NextRow, PushLine};
use super::values::{at_row, other_values};
use crate::error::{Error, ErrorKind};
use crate::rows::{Batch, Fingerprint, RowOffset};

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
    /// What the channel has committed.
    point: ResumePoint,
    /// Rows of the partition up to there.
    skipped: u64,
    /// Of the rows of the partition so far.
    fingerprint: Fingerprint,
    /// The source has the committed row. Without it the channel belongs to another source.
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
    pub(super) fn after(point: ResumePoint) -> Resume {
        Resume { point, skipped: 0, fingerprint: Fingerprint::default(), is_confirmed: point.is_start() }
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
            let length = line.text.len();
            if !line.is_blank() && !self.push_line(number, line)? {
                return Ok(());
            }
            lines.advance(length);
        }
    }

    /// False once no channel takes rows any more.
    fn push_line(&mut self, number: u64, line: Line<'_>) -> Result<bool, Error> {
        let index = self.partition_of(number);
        match self.want(index, number) {
            Want::Closed => return Ok(!self.are_all_closed()),
            Want::Nothing => {
                let found = self.offset_of(index, number, line.text);
                self.skip(index, found, ResumePoint::other_source);
            }
            Want::Row => {
                self.row.clear();
                push(self.push_line, &mut self.row, line).map_err(|error| at_line(error, number, &self.name))?;
                let offset = self.offset_of(index, number, line.text);
                self.queues[index].push(offset, &self.row);
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
            match next(&mut self.row) {
                None => return Ok(()),
                // A committed row that is none belongs to another source, which comparing it shows.
                Some(Err(error)) if want == Want::Row || error.kind() == ErrorKind::Source => {
                    return Err(at_row(error, position));
                }
                Some(Ok(()) | Err(_)) => {}
            }
            let row = std::mem::take(&mut self.row);
            let offset = self.offset_of(index, position, row.piece().text());
            self.row = row;
            match want {
                Want::Row => self.queues[index].push(offset, &self.row),
                Want::Nothing => self.skip(index, offset, other_values),
                Want::Closed => {}
            }
        }
        Ok(())
    }

    fn want(&mut self, index: usize, position: u64) -> Want {
        if position <= self.resumes[index].point.position() {
            return if self.queues[index].is_closed() { Want::Closed } else { Want::Nothing };
        }
        self.fail_unless_confirmed(index);
        if self.queues[index].is_closed() { Want::Closed } else { Want::Row }
    }

    /// The row's offset in its channel.
    fn offset_of(&mut self, index: usize, position: u64, row: &[u8]) -> RowOffset {
        let resume = &mut self.resumes[index];
        resume.fingerprint = resume.fingerprint.with_row(row);
        RowOffset { position, fingerprint: resume.fingerprint }
    }

    fn skip(&mut self, index: usize, found: RowOffset, other: fn(ResumePoint, RowOffset) -> Error) {
        let resume = &mut self.resumes[index];
        resume.skipped += 1;
        if found.position < resume.point.position() {
            return;
        }
        resume.is_confirmed = true;
        match resume.point.is_at(found) {
            true => self.queues[index].set_skipped(resume.skipped),
            false => self.queues[index].fail(other(resume.point, found)),
        }
    }

    fn fail_unless_confirmed(&mut self, index: usize) {
        let resume = &mut self.resumes[index];
        if !resume.is_confirmed {
            resume.is_confirmed = true;
            self.queues[index].fail(resume.point.no_row());
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
    use crate::rows::OffsetToken;

    /// What each of two channels gets of these rows, if they have committed these offsets.
    fn partitioned(text: &str, committed: [Option<&str>; 2]) -> [Result<(String, u64), String>; 2] {
        let queues = [(); 2].map(|()| PartitionQueue::new(1_000_000));
        let point = |offset: Option<&str>| ResumePoint::after(offset.map(OffsetToken::from).as_ref()).unwrap();
        let resumes = committed.map(|offset| Resume::after(point(offset))).into();
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
        let text = "{\"A\":1}\n\n{\"A\":3}\n{\"A\":4}\n";
        let third = Fingerprint::default().with_row(b"{\"A\":1}").with_row(b"{\"A\":3}");
        let got = partitioned(text, [Some(&format!("3-{third}")), None]);
        assert_eq!(got, [Ok(("{\"A\":4}\n".into(), 2)), Ok((String::new(), 0))]);
    }

    #[test]
    fn a_committed_offset_without_its_row_fails_its_channel_alone() {
        let text = "{\"A\":1}\n\n{\"A\":3}\n";
        for (committed, said) in [
            ("2-00000000", "committed offset 2-00000000 is not a row"),
            ("4-00000000", "committed offset 4-00000000 is not a row"),
            ("3-00000000", "the channel holds another source: it has committed up to 3-00000000"),
        ] {
            let [first, second] = partitioned(text, [Some(committed), None]);
            let error = first.unwrap_err();
            assert!(error.starts_with(said), "{error}");
            assert_eq!(second, Ok((String::new(), 0)));
        }
    }
}
