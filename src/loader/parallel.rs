use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::bad_rows::Allowance;
use super::batch_reader::BatchReader;
use super::channel_load::{ChannelLoad, Resumed, not_resumed};
use super::detached_reader::LeaveOnDrop;
use super::file_range::FileRange;
use super::partition::Partition;
use super::partition_queue::{CloseOnDrop, PartitionQueue};
use super::partitioner::{Partitioner, Resume};
use super::progress::Progress;
use super::resume_point::ResumePoint;
use super::row_check::RowCheck;
use super::source::{Input, Source};
use super::{LoadReport, Loader, Settings};
use crate::channel::Channel;
use crate::error::{Error, ErrorKind};
use crate::rows::Batch;
use crate::snowflake::status::ChannelStatus;

/// One load through several channels, each on a thread of its own.
///
/// A channel that fails does not stop the others: what they commit, the next run need not send.
pub(super) struct ParallelLoad<'l, 'a> {
    settings: &'l Settings,
    channels: u64,
    progress: Progress<'l>,
    allowance: &'a Allowance<'a>,
}

/// The channel of one partition and its rows: to be compared, or compared already.
enum PartitionLoad<'s> {
    /// The thread that reads the source passes the committed rows over, while the channel's waits.
    Pending(Result<Channel, Error>, BatchReader<'s>),
    Compared(Result<Resumed<'s>, Error>),
}

impl<'l, 'a> ParallelLoad<'l, 'a> {
    pub(super) fn new(
        settings: &'l Settings,
        channels: u64,
        progress: Progress<'l>,
        allowance: &'a Allowance<'a>,
    ) -> ParallelLoad<'l, 'a> {
        ParallelLoad { settings, channels, progress, allowance }
    }

    /// All threads end before this returns. Returns the last status of each channel.
    pub(super) fn run(mut self, source: Source<'_>) -> (LoadReport, Result<Vec<ChannelStatus>, Error>) {
        let completed = self.open_channels().and_then(|channels| match &source.input {
            Input::File(file) => self.load_file(channels, file, &source),
            Input::Stream(_) | Input::Values(_) => self.load_partitioned(channels, source),
        });
        (self.progress.into_report(), completed)
    }

    fn open_channels(&self) -> Result<Vec<Result<Channel, Error>>, Error> {
        let settings = self.settings;
        let first = settings.open_first_channel(self.channels)?;
        thread::scope(|scope| {
            // Each may have to wait for the commits of an earlier run.
            let open = |partition| scope.spawn(move || settings.open_channel(partition));
            let others: Vec<_> = Partition::all(self.channels).skip(1).map(open).collect();
            Ok([Ok(first)].into_iter().chain(others.into_iter().map(join)).collect())
        })
    }

    /// Each thread reads the whole file and picks the rows of its partition. All channels are compared with the file before
    /// anything is appended to one of them.
    fn load_file(
        &mut self,
        channels: Vec<Result<Channel, Error>>,
        file: &FileRange,
        source: &Source<'_>,
    ) -> Result<Vec<ChannelStatus>, Error> {
        let batches = if self.settings.pipelined { 2 * self.channels } else { self.channels };
        let settings = self.settings.divided(self.channels, batches);
        let compared = thread::scope(|scope| {
            let compare = |(channel, partition): (Result<Channel, Error>, Partition)| {
                let reader = BatchReader::of_file(source, file.clone(), partition, self.allowance);
                let settings = &settings;
                scope.spawn(move || Resumed::compare(settings, channel?, reader))
            };
            let threads: Vec<_> = channels.into_iter().zip(Partition::all(self.channels)).map(compare).collect();
            threads.into_iter().map(join).collect::<Vec<_>>()
        });
        check_conflicts(&compared)?;
        self.run_each(&settings, compared.into_iter().map(PartitionLoad::Compared).collect(), &[])
    }

    /// One more thread reads the source and gives each channel its rows.
    fn load_partitioned(
        &mut self,
        channels: Vec<Result<Channel, Error>>,
        source: Source<'_>,
    ) -> Result<Vec<ChannelStatus>, Error> {
        // One batch is queued while the other is sent, so that thread is all the reading ahead there is. A single channel
        // has batches of half the size, so that both threads have work early.
        let batches = (2 * self.channels).max(4);
        let settings = Settings { pipelined: false, ..self.settings.divided(self.channels, batches) };
        let queues: Vec<_> = (0..self.channels).map(|_| PartitionQueue::new(settings.batch_bytes)).collect();
        // What shows before the first row stops all channels, as of a file.
        let points: Vec<_> = channels.iter().map(|channel| settings.point_of(channel, &source.name)).collect();
        check_conflicts(&points)?;
        let resumes = points.into_iter().map(|point| Resume::after(point.unwrap_or(ResumePoint::START))).collect();
        let stop = settings.pipe.stop();
        let readers = queues.iter().map(|queue| queue.reader(stop));
        let readers = readers.map(|queue| BatchReader::of_queue(&source.name, queue));
        let loads = channels.into_iter().zip(readers);
        let loads = loads.map(|(channel, reader)| PartitionLoad::Pending(channel, reader)).collect();
        let check = RowCheck::of(&source, self.allowance);
        let partitioner = Partitioner::new(source.name.clone(), check, &queues, resumes);
        thread::scope(|scope| {
            let leaving = LeaveOnDrop(source.detached);
            let reading = scope.spawn(|| partitioner.run(source.input));
            let completed = self.run_each(&settings, loads, &queues);
            drop(leaving);
            of_source_first(join(reading), completed)
        })
    }

    fn run_each(
        &mut self,
        settings: &Settings,
        loads: Vec<PartitionLoad<'_>>,
        queues: &[PartitionQueue],
    ) -> Result<Vec<ChannelStatus>, Error> {
        let (baseline, stop) = (self.progress.baseline(), AtomicBool::new(false));
        thread::scope(|scope| {
            // If the progress callback panics, no thread waits for more rows or reads more of a file.
            let _ending = (CloseOnDrop(queues), StopOnDrop(&stop));
            let (sender, reports) = channel();
            let spawn = |(index, load)| {
                let (sender, stop) = (sender.clone(), &stop);
                scope.spawn(move || {
                    let _stopping = StopOnPanic(stop);
                    let mut report = |report: &LoadReport| drop(sender.send((index, report.clone())));
                    let progress = Progress::new(&settings.pipe, baseline, &mut report).stopped_by(stop);
                    load_partition(settings, load, progress)
                })
            };
            let threads: Vec<_> = loads.into_iter().enumerate().map(spawn).collect();
            drop(sender);
            self.gather(&reports);
            all_or_first_error(threads.into_iter().map(join).collect())
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

/// What failed in the source is told first, but for a stop there, after which the channels cannot be complete.
fn of_source_first<T>(read: Result<(), Error>, completed: Result<T, Error>) -> Result<T, Error> {
    match read {
        Err(error) if error.kind() == ErrorKind::Stopped => completed.and(Err(error)),
        read => read.and(completed),
    }
}

/// A stop ends all channels: what failed in one of them by itself is told before that.
fn all_or_first_error<T>(results: Vec<Result<T, Error>>) -> Result<Vec<T>, Error> {
    let mut errors = results.iter().filter_map(|result| result.as_ref().err());
    match errors.find(|error| error.kind() != ErrorKind::Stopped) {
        Some(error) => Err(error.clone()),
        None => results.into_iter().collect(),
    }
}

/// Stops the loads of a file when it is dropped.
struct StopOnDrop<'s>(&'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Stops the other channels, too, if a callback panics while a file is read.
struct StopOnPanic<'s>(&'s AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

fn load_partition(
    settings: &Settings,
    load: PartitionLoad<'_>,
    progress: Progress<'_>,
) -> Result<ChannelStatus, Error> {
    let resumed = match load {
        PartitionLoad::Pending(channel, reader) => Resumed::compare(settings, channel?, reader),
        PartitionLoad::Compared(resumed) => resumed,
    };
    ChannelLoad::new(settings, resumed?, progress).run().1
}

/// The first conflict among the channels: the source is not theirs.
fn check_conflicts<T>(channels: &[Result<T, Error>]) -> Result<(), Error> {
    let mut errors = channels.iter().filter_map(|channel| channel.as_ref().err());
    match errors.find(|error| error.kind() == ErrorKind::Conflict) {
        Some(error) => Err(error.clone()),
        None => Ok(()),
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Settings {
    /// A channel that was not opened ends by itself.
    fn point_of(&self, channel: &Result<Channel, Error>, source: &str) -> Result<ResumePoint, Error> {
        let channel = channel.as_ref().map_err(Error::clone)?;
        self.resume_point(channel).map_err(|error| not_resumed(error, channel, source))
    }

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
