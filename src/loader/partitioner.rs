use std::io::Read;

use super::line_reader::{Line, Next};
use super::partition::Partition;
use super::partition_queue::{CloseOnDrop, PartitionQueue};
use super::resume_point::ResumePoint;
use super::row_check::RowCheck;
use super::row_error::{at_row, unreadable};
use super::row_reader::{Format, RowReader};
use super::source::{Input, NextRow, NoRow};
use crate::error::Error;
use crate::rows::{Batch, Fingerprint, RowOffset, UnfitValue};

/// Reads a source once, in order, and pushes each row to the queue of its partition.
pub(super) struct Partitioner<'q, 'l> {
    name: String,
    check: RowCheck<'l>,
    queues: &'q [PartitionQueue],
    resumes: Vec<Resume>,
    /// Holds one row at a time.
    row: Batch,
    /// A channel belongs to another source, which is told before a row that this one may not leave out.
    has_conflict: bool,
}

/// How far the channel of one partition is, and whether the source agrees.
pub(super) struct Resume {
    /// What the channel has committed.
    point: ResumePoint,
    /// Rows of the partition up to there, without those left out.
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

impl<'q, 'l> Partitioner<'q, 'l> {
    /// There is one queue and one resume for each partition, in order.
    pub(super) fn new(
        name: String,
        check: RowCheck<'l>,
        queues: &'q [PartitionQueue],
        resumes: Vec<Resume>,
    ) -> Partitioner<'q, 'l> {
        Partitioner { name, check, queues, resumes, row: Batch::new(), has_conflict: false }
    }

    /// Reads until the end of the source, its failure, or until all queues are closed; closes them all, also by a panic.
    pub(super) fn run(mut self, input: Input<'_>) -> Result<(), Error> {
        let _closing = CloseOnDrop(self.queues);
        let read = match input {
            Input::File(mut file) => self.read_lines(RowReader::of(Format::Lines), &mut file),
            Input::Stream(text) => self.read_lines(text.rows, &mut { text.bytes }),
            Input::Values(next) => self.read_values(next),
        };
        let is_at_end = read.is_ok();
        (0..self.queues.len()).for_each(|index| self.fail_unless_confirmed(index, read.as_ref().err()));
        if is_at_end && !self.has_conflict { self.check.refusal() } else { read }
    }

    fn read_lines(&mut self, mut lines: RowReader, input: &mut dyn Read) -> Result<(), Error> {
        let format = lines.format();
        loop {
            let number = lines.number() + 1;
            // Blanks between elements are read inside, and may have no end.
            let line = match lines.peek(input, || !self.are_all_closed()) {
                Ok(Next::Line(line)) => line,
                Ok(Next::NotBuffered | Next::End) => return Ok(()),
                Err(error) => return Err(unreadable(&self.name, format, number, error)),
            };
            let length = line.text.len();
            let is_wanted = if line.is_blank() { !self.are_all_closed() } else { self.push_line(number, line)? };
            if !is_wanted {
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
                // What ends the load is kept: that the source is another one shows before that.
                let is_row = self.check.is_row(line, number, &self.name).unwrap_or(false);
                let found = self.offset_of(index, number, if is_row { line.text } else { line.as_it_stands() });
                self.skip(index, found, is_row, ResumePoint::other_source);
            }
            Want::Row => {
                self.check.refusal()?;
                if !self.check.is_row(line, number, &self.name)? {
                    self.offset_of(index, number, line.as_it_stands());
                    return Ok(true);
                }
                self.row.clear();
                self.row.push_checked(line.text);
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
            let mut row = std::mem::take(&mut self.row);
            row.clear();
            let pushed = match next(&mut row) {
                None => return Ok(()),
                Some(Err(NoRow::SourceFailed(error))) => return Err(at_row(error, position)),
                Some(Err(NoRow::Unfit(unfit))) => Err(unfit),
                Some(Ok(())) => Ok(()),
            };
            let unfit = self.check.unfit(pushed, &mut row);
            self.push_value(index, position, want, &row, unfit.as_ref())?;
            self.row = row;
        }
        Ok(())
    }

    fn push_value(
        &mut self,
        index: usize,
        position: u64,
        want: Want,
        row: &Batch,
        unfit: Option<&UnfitValue>,
    ) -> Result<(), Error> {
        if want == Want::Row {
            self.check.refusal()?;
        }
        if let Some(unfit) = unfit.filter(|_| want != Want::Closed) {
            match self.check.leave_out_value(unfit, position) {
                Err(error) if want == Want::Row => return Err(error),
                // What ends the load is kept: that the source is another one shows before that.
                Ok(()) | Err(_) => {}
            }
        }
        let offset = self.offset_of(index, position, unfit.map_or(row.piece().text(), |unfit| &unfit.text));
        match want {
            Want::Row if unfit.is_none() => self.queues[index].push(offset, row),
            Want::Nothing => self.skip(index, offset, unfit.is_none(), other_values),
            Want::Row | Want::Closed => {}
        }
        Ok(())
    }

    fn want(&mut self, index: usize, position: u64) -> Want {
        if position <= self.resumes[index].point.position() {
            return if self.queues[index].is_closed() { Want::Closed } else { Want::Nothing };
        }
        self.fail_unless_confirmed(index, None);
        if self.queues[index].is_closed() { Want::Closed } else { Want::Row }
    }

    /// The row's offset in its channel.
    fn offset_of(&mut self, index: usize, position: u64, row: &[u8]) -> RowOffset {
        let resume = &mut self.resumes[index];
        resume.fingerprint = resume.fingerprint.with_row(row);
        RowOffset { position, fingerprint: resume.fingerprint }
    }

    fn skip(&mut self, index: usize, found: RowOffset, is_row: bool, other: fn(ResumePoint, RowOffset) -> Error) {
        let resume = &mut self.resumes[index];
        resume.skipped += u64::from(is_row);
        if found.position < resume.point.position() {
            return;
        }
        resume.is_confirmed = true;
        match resume.point.is_at(found) {
            true => self.queues[index].set_skipped(resume.skipped),
            false => {
                self.has_conflict = true;
                self.queues[index].fail(other(resume.point, found));
            }
        }
    }

    /// The source has no such row, unless its reading has ended early.
    fn fail_unless_confirmed(&mut self, index: usize, ended: Option<&Error>) {
        let resume = &mut self.resumes[index];
        if !resume.is_confirmed {
            (resume.is_confirmed, self.has_conflict) = (true, true);
            self.queues[index].fail(ended.cloned().unwrap_or_else(|| resume.point.no_row()));
        }
    }

    fn partition_of(&self, position: u64) -> usize {
        Partition::index_of(position, self.queues.len() as u64) as usize
    }

    fn are_all_closed(&self) -> bool {
        self.queues.iter().all(PartitionQueue::is_closed)
    }
}

/// The text of a value may differ from run to run although the value is the same.
fn other_values(point: ResumePoint, found: RowOffset) -> Error {
    point.other_source(found).advise(
        "give this source a channel name of its own; values must have the same text in every run, which those with a HashMap \
         have not: use a BTreeMap",
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::loader::Source;
    use crate::loader::bad_rows::Allowance;
    use crate::rows::OffsetToken;
    use crate::stop::Stop;

    /// What each of two channels gets of these rows, if they have committed these offsets.
    fn partitioned(text: &str, committed: [Option<&str>; 2]) -> [Result<(String, u64), String>; 2] {
        let queues = [(); 2].map(|()| PartitionQueue::new(1_000_000));
        let point = |offset: Option<&str>| ResumePoint::after(offset.map(OffsetToken::from).as_ref()).unwrap();
        let resumes = committed.map(|offset| Resume::after(point(offset))).into();
        let source = Source::reader("text", text.as_bytes());
        let allowance = Allowance::new(1, None);
        let check = RowCheck::of(&source, &allowance);
        Partitioner::new(source.name, check, &queues, resumes).run(source.input).unwrap();
        queues.each_ref().map(|queue| {
            let (reader, mut batch) = (queue.reader(&Stop::default()), Batch::new());
            let skipped = reader.skip_committed().map_err(|error| error.to_string())?;
            reader.take(&mut batch, Duration::ZERO).unwrap();
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
