use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::batch_reader::BatchReader;
use super::channel_load::{ChannelLoad, Completed, committed_position};
use super::partition::Partition;
use super::partition_queue::{CloseOnDrop, PartitionQueue};
use super::partitioner::{Partitioner, Resume};
use super::progress::{Baseline, Progress};
use super::source::{PushLine, Source};
use super::{LoadReport, Loader, Settings};
use crate::channel::Channel;
use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::rows::Batch;
use crate::snowflake::status::ChannelStatus;

/// One load through several channels, each on a thread of its own.
///
/// A channel that fails does not stop the others: what they commit, the next run need not send. Rejected rows are reported
/// only if every channel came to its end, since then all else is committed.
pub(super) struct ParallelLoad<'l> {
    settings: &'l Settings,
    channels: u64,
    progress: Progress<'l>,
}

/// What one thread needs to load its partition.
struct PartitionLoad<'s> {
    /// Or why it could not be opened.
    channel: Result<Channel, Error>,
    reader: BatchReader<'s>,
}

impl<'l> ParallelLoad<'l> {
    pub(super) fn new(settings: &'l Settings, channels: u64, progress: Progress<'l>) -> ParallelLoad<'l> {
        ParallelLoad { settings, channels, progress }
    }

    /// All threads end before this returns.
    pub(super) fn run(mut self, source: Source<'_>) -> (LoadReport, Result<Completed, Error>) {
        let completed = self.open_channels().and_then(|channels| match &source.path {
            Some(path) => self.load_file(channels, path, source.push_line),
            None => self.load_partitioned(channels, source),
        });
        (self.progress.into_report(), completed)
    }

    /// The first channel is opened before all others: a load with another number of channels recognises this one by it.
    fn open_channels(&self) -> Result<Vec<Result<Channel, Error>>, Error> {
        let (settings, mut partitions) = (self.settings, Partition::all(self.channels));
        let first = partitions.next().map(|partition| settings.open_channel(partition)).transpose()?;
        thread::scope(|scope| {
            // Each may have to wait for the commits of an earlier run.
            let open = |partition| scope.spawn(move || settings.open_channel(partition));
            let others: Vec<_> = partitions.map(open).collect();
            Ok(first.map(Ok).into_iter().chain(others.into_iter().map(join)).collect())
        })
    }

    /// Each thread reads the whole file and picks the rows of its partition.
    fn load_file(
        &mut self,
        channels: Vec<Result<Channel, Error>>,
        path: &Path,
        push_line: PushLine,
    ) -> Result<Completed, Error> {
        let batches = if self.settings.pipelined { 2 * self.channels } else { self.channels };
        let settings = self.settings.divided(self.channels, batches);
        let loads = channels.into_iter().zip(Partition::all(self.channels)).map(|(channel, partition)| {
            let source = Source { push_line, ..Source::file(path)? };
            Ok(PartitionLoad { channel, reader: BatchReader::new(source, partition) })
        });
        let loads = loads.collect::<Result<_, Error>>()?;
        self.run_each(&settings, loads, &[])
    }

    /// One more thread reads the source and gives each channel its rows.
    fn load_partitioned(
        &mut self,
        channels: Vec<Result<Channel, Error>>,
        source: Source<'_>,
    ) -> Result<Completed, Error> {
        // One batch is queued while the other is sent, so that thread is all the reading ahead there is.
        let settings = Settings { pipelined: false, ..self.settings.divided(self.channels, 2 * self.channels) };
        let queues: Vec<_> = (0..self.channels).map(|_| PartitionQueue::new(settings.batch_bytes)).collect();
        let resumes = channels.iter().map(resume).collect();
        let readers = queues.iter().map(|queue| BatchReader::of_queue(&source.name, queue.reader()));
        let loads =
            channels.into_iter().zip(readers).map(|(channel, reader)| PartitionLoad { channel, reader }).collect();
        let partitioner = Partitioner::new(source.name.clone(), source.push_line, &queues, resumes);
        thread::scope(|scope| {
            let reading = scope.spawn(|| partitioner.run(source.input));
            let completed = self.run_each(&settings, loads, &queues);
            join(reading)?;
            completed
        })
    }

    fn run_each(
        &mut self,
        settings: &Settings,
        loads: Vec<PartitionLoad<'_>>,
        queues: &[PartitionQueue],
    ) -> Result<Completed, Error> {
        let baseline = self.progress.baseline();
        thread::scope(|scope| {
            // If the progress callback panics, no thread waits for more rows.
            let _closing = CloseOnDrop(queues);
            let (sender, reports) = channel();
            let spawn = |(index, load)| {
                let sender = sender.clone();
                scope.spawn(move || {
                    let mut report = |report: &LoadReport| drop(sender.send((index, report.clone())));
                    load_partition(settings, load, baseline, &mut report)
                })
            };
            let threads: Vec<_> = loads.into_iter().enumerate().map(spawn).collect();
            drop(sender);
            self.gather(&reports);
            first_of(threads.into_iter().map(join).collect())
        })
    }

    /// Adds up the channels' reports as they come, until the last channel has ended.
    fn gather(&mut self, reports: &Receiver<(usize, LoadReport)>) {
        let mut latest = vec![LoadReport::default(); self.channels as usize];
        for (index, report) in reports {
            latest[index] = report;
            self.progress.update_sum(&latest);
        }
    }
}

fn load_partition(
    settings: &Settings,
    load: PartitionLoad<'_>,
    baseline: Baseline,
    on_progress: &mut dyn FnMut(&LoadReport),
) -> Result<Completed, Error> {
    let progress = Progress::new(&settings.pipe, baseline, on_progress);
    ChannelLoad::resume(settings, load.channel?, load.reader, progress)?.run().1
}

/// A channel that did not come to its end is more urgent than rows that another one could not store.
fn first_of(ends: Vec<Result<Completed, Error>>) -> Result<Completed, Error> {
    let completed = ends.into_iter().collect::<Result<Vec<_>, _>>()?;
    let rejected = completed.into_iter().find(|completed| matches!(completed, Completed::SomeRejected(_)));
    Ok(rejected.unwrap_or(Completed::AllStored))
}

/// A channel that was not opened, or whose offset is no position, ends by itself.
fn resume(channel: &Result<Channel, Error>) -> Resume {
    let committed = channel.as_ref().ok().and_then(|channel| committed_position(channel).ok());
    Resume::after(committed.unwrap_or_default())
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Settings {
    /// For one of several channels, which together hold this number of batches.
    fn divided(&self, channels: u64, batches: u64) -> Settings {
        // As much as a single channel with a second thread.
        let together = 2 * Batch::FULL_BYTES;
        Settings {
            batch_bytes: self.batch_bytes.min(together / batches as usize),
            retained_bytes: Loader::RETAINED_BYTES / channels as usize,
            ..self.clone()
        }
    }
}

/// Refuses a load that was begun with another number of channels: every channel would start from the beginning.
///
/// Relies on the first channel's being opened before any other.
pub(super) fn check_channel_count(pipe: &Pipe, base: &str, channels: u64) -> Result<(), Error> {
    pipe.channel(base).check_name()?;
    let others = (1..=MAX_CHANNELS.into()).filter(|count| *count != channels);
    let firsts: Vec<_> = others.map(|count| (count, Partition::first(count))).collect();
    let found = statuses(pipe, base, firsts.iter().map(|(_, first)| *first))?;
    // The first channel is opened before all others, and any of them may have got further than it.
    let is_begun = |first: Partition| found.keys().any(|name| name.eq_ignore_ascii_case(&first.channel_name(base)));
    let begun = firsts.iter().filter(|(_, first)| is_begun(*first));
    let found = statuses(pipe, base, begun.flat_map(|(count, _)| Partition::all(*count)))?;
    let Some((other, _)) = found.into_iter().find(|(_, status)| status.committed_offset().is_some()) else {
        return Ok(());
    };
    let happened = format!("channel {other} shows that it was begun with another number of channels");
    Err(Error::new(ErrorKind::Conflict, happened)
        .attempting(format!("load through {channels} channels named after {base}"))
        .advise("use the same number as before, or another channel name"))
}

fn statuses(
    pipe: &Pipe,
    base: &str,
    partitions: impl Iterator<Item = Partition>,
) -> Result<HashMap<String, ChannelStatus>, Error> {
    let names: Vec<_> = partitions.map(|partition| partition.channel_name(base)).collect();
    // The service spells unquoted names in upper case.
    let spelt: Vec<_> = names.iter().cloned().chain(names.iter().map(|name| name.to_uppercase())).collect();
    let spelt: Vec<_> = spelt.iter().map(String::as_str).collect();
    match pipe.statuses(&spelt) {
        // A table's default pipe is created by the first open: before that there is no channel either.
        Err(error) if error.status() == Some(404) => Ok(HashMap::new()),
        found => found,
    }
}

/// So few that one request covers the names of all numbers, in both spellings.
pub(super) const MAX_CHANNELS: u32 = 32;
