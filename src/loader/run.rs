use super::bad_rows::Allowance;
use super::batch_reader::BatchReader;
use super::channel_load::{ChannelLoad, Resumed};
use super::parallel::ParallelLoad;
use super::partition::Partition;
use super::progress::Progress;
use super::source::Input;
use super::{ExpectedOffset, LoadReport, Loader, Settings, Source};
use crate::channel::{Channel, rows_rejected as rejected_rows};
use crate::error::Error;
use crate::snowflake::status::ChannelStatus;

impl Settings {
    /// One run of a load, through one channel or several. Returns the last status of each.
    pub(super) fn load<'s, 'p>(
        &'p self,
        channels: u64,
        mut source: Source<'s>,
        progress: Progress<'p>,
        allowance: &'s Allowance<'s>,
    ) -> (LoadReport, Result<Vec<ChannelStatus>, Error>) {
        if let Err(error) = source.begin(self.pipe.stop()) {
            return (LoadReport::default(), Err(error));
        }
        // What is read once may block, and only a queue hands over the rows that it gave before.
        let reader = match &source.input {
            Input::File(file) if channels == 1 => {
                BatchReader::of_file(&source, file.clone(), Partition::WHOLE, allowance)
            }
            _ => return ParallelLoad::new(self, channels, progress, allowance).run(source),
        };
        match self.open_first_channel(1).and_then(|channel| Resumed::compare(self, channel, reader)) {
            Ok(resumed) => {
                let (report, status) = ChannelLoad::new(self, resumed, progress).run();
                (report, status.map(|status| vec![status]))
            }
            Err(error) => (LoadReport::default(), Err(error)),
        }
    }

    pub(super) fn open_channel(&self, partition: Partition) -> Result<Channel, Error> {
        let mut builder = self.pipe.channel(partition.channel_name(&self.channel)).made_in_upper_case();
        if let Some(timeout) = self.open_timeout {
            builder = builder.open_timeout(timeout);
        }
        if self.discard_uncommitted {
            builder = builder.discard_uncommitted();
        }
        match &self.expected {
            ExpectedOffset::Anything => builder.open(),
            ExpectedOffset::Nothing => builder.expect_unused().open(),
            ExpectedOffset::Offset(offset) => builder.expect_offset(offset).open(),
        }
    }
}

impl Loader<'_> {
    /// An error if more rows of the source are lost than are allowed, in this run or before.
    pub(super) fn check_lost(&self, statuses: &[ChannelStatus]) -> Result<(), Error> {
        let LoadReport { rows_rejected, rows_rejected_before: before, bad_rows, .. } = self.report;
        let rejected = rows_rejected + before;
        if rejected.saturating_add(bad_rows) <= self.max_errors {
            return Ok(());
        }
        let reported = statuses.iter().find(|status| status.last_error_message().is_some()).or(statuses.first());
        let error = rejected_rows(rejected, reported.unwrap_or(&ChannelStatus::default()));
        let mut facts = Vec::new();
        facts.extend((before > 0).then(|| format!("{before} of them in earlier runs")));
        facts.extend(
            (bad_rows > 0).then(|| format!("{bad_rows} more left out, of {} allowed together", self.max_errors)),
        );
        let attempted = format!("store all rows through channel {}", self.settings.channel);
        Err(match facts.is_empty() {
            true => error,
            false => error.advise(format!("{}; max_errors allows them once they are dealt with", facts.join(", "))),
        }
        .attempting(attempted))
    }
}
