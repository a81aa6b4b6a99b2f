mod batch_reader;
mod channel_load;
mod line_reader;
mod parallel;
mod partition;
mod partition_queue;
mod partitioner;
mod pipeline;
mod progress;
mod source;

use std::fmt;
use std::time::Duration;

use self::batch_reader::BatchReader;
use self::channel_load::{ChannelLoad, Completed};
use self::parallel::ParallelLoad;
use self::partition::Partition;
use self::progress::{Baseline, Progress};
pub use self::source::Source;
use crate::channel::Channel;
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::rows::{Batch, OffsetToken};

/// Loads a whole source of rows into a named channel, every row exactly once.
///
/// A row's offset token is its position in the source: the line number, counted from 1. The loader resumes after the
/// committed one, so after a crash it is enough to run it again with the same source and channel name. Recovers from lost
/// responses, stale continuation tokens and invalidated channels by reopening the channel and resuming after its committed
/// offset. Gives up after several reopens without progress, usually a sign of a second writer.
///
/// Memory is bounded: one batch ([`Batch::FULL_BYTES`] by default) and its compressed form; for a source that cannot be
/// read again also what was sent and is not committed, at most [`Loader::RETAINED_BYTES`] compressed. Several
/// [`channels`](Loader::channels) share the memory of two batches and the retained bytes.
///
/// ```no_run
/// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), snowpipe_streaming::Error> {
/// use snowpipe_streaming::{Loader, Source};
///
/// let report = Loader::new(pipe, "load-1").load(Source::file("flights.ndjson")?)?;
/// println!("{} rows are stored", report.rows);
/// # Ok(())
/// # }
/// ```
pub struct Loader<'p> {
    settings: Settings,
    channels: u64,
    on_progress: Option<OnProgress<'p>>,
    report: LoadReport,
}

/// What the load of each channel needs.
#[derive(Clone, Debug)]
struct Settings {
    pipe: Pipe,
    channel: String,
    batch_bytes: usize,
    retained_bytes: usize,
    commit_timeout: Duration,
    open_timeout: Option<Duration>,
    discard_uncommitted: bool,
    pipelined: bool,
}

type OnProgress<'p> = Box<dyn FnMut(&LoadReport) + 'p>;

/// What a load has sent and committed so far.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LoadReport {
    /// Rows of the source that are committed, those found committed at the start included.
    pub rows: u64,
    /// The part of [`rows`](LoadReport::rows) that an earlier run had committed.
    pub skipped: u64,
    /// Rows sent by this run, committed or not; a row that had to be sent again counts again.
    pub rows_sent: u64,
    /// Bytes of those rows before compression.
    pub bytes_sent: u64,
    /// Requests that carried rows and were accepted, or may have been applied although their responses were lost.
    pub batches: u64,
    /// The committed offset token, which is the position of a row; `None` too for a load through several channels, each of
    /// which has its own.
    pub committed_offset: Option<OffsetToken>,
    /// Rows that the service took and could not store, counted from the opening of the channel by this run.
    pub rows_rejected: u64,
    /// Requests sent again, on any endpoint.
    pub retries: u64,
    /// Tokens fetched because the service refused the one before.
    pub renewals: u64,
    /// Openings of the channel after the first.
    pub reopens: u64,
    /// From sending to noticing the commit, of what was committed last.
    pub commit_lag: Duration,
    /// Time since the load began.
    pub elapsed: Duration,
}

impl<'p> Loader<'p> {
    /// The most that is kept in memory, compressed, of what was sent from a source that cannot be read again; when it is
    /// reached, sending waits for commits.
    pub const RETAINED_BYTES: usize = Delivery::RETAINED_BYTES;

    /// The most channels that one load uses; the service takes two thousand a pipe.
    pub const MAX_CHANNELS: u32 = parallel::MAX_CHANNELS;

    /// A loader at its defaults; sends nothing.
    pub fn new(pipe: &Pipe, channel: impl Into<String>) -> Loader<'p> {
        let settings = Settings {
            pipe: pipe.clone(),
            channel: channel.into(),
            batch_bytes: Batch::FULL_BYTES,
            retained_bytes: Loader::RETAINED_BYTES,
            commit_timeout: COMMIT_TIMEOUT,
            open_timeout: None,
            discard_uncommitted: false,
            pipelined: false,
        };
        Loader { settings, channels: 1, on_progress: None, report: LoadReport::default() }
    }

    /// Upper bound of one request's rows in bytes before compression; a longer row goes alone. Default and most:
    /// [`Batch::FULL_BYTES`].
    pub fn batch_bytes(mut self, bytes: usize) -> Loader<'p> {
        self.settings.batch_bytes = bytes.clamp(1, Batch::FULL_BYTES);
        self
    }

    /// How long to wait for the next commit after everything is sent, counted from the last progress; default two minutes.
    pub fn commit_timeout(mut self, timeout: Duration) -> Loader<'p> {
        self.settings.commit_timeout = timeout;
        self
    }

    /// How long to wait, when opening the channel, for what an earlier run has in flight; default as
    /// [`ChannelBuilder::open_timeout`](crate::ChannelBuilder::open_timeout).
    pub fn open_timeout(mut self, timeout: Duration) -> Loader<'p> {
        self.settings.open_timeout = Some(timeout);
        self
    }

    /// Does not wait for what an earlier run has in flight: it is thrown away and sent again.
    pub fn discard_uncommitted(mut self) -> Loader<'p> {
        self.settings.discard_uncommitted = true;
        self
    }

    /// Reads and checks rows on a second thread while the calling one compresses and sends; where that one falls behind,
    /// the second compresses too. The thread ends before [`load`](Loader::load) returns.
    ///
    /// Batches are at most half as large then, so that both have work early. There are three of them, and up to four
    /// compressed ones.
    ///
    /// With several [`channels`](Loader::channels), each that reads a file gets such a thread, and they share the memory of
    /// three batches; any other source has its thread anyway, and this changes nothing.
    pub fn pipelined(mut self) -> Loader<'p> {
        self.settings.pipelined = true;
        self
    }

    /// Loads through `channels` channels in parallel, each on a thread of its own that ends before [`load`](Loader::load)
    /// returns; default one, at most [`MAX_CHANNELS`](Loader::MAX_CHANNELS).
    ///
    /// Rows are assigned to the channels in fixed blocks by position, so order holds within a channel only. The
    /// channels are named `<channel>-1-of-<n>` and so on, and each resumes on its own: a load that was begun with one
    /// number of channels must be finished with it, another is refused. It may be finished from another kind of source,
    /// if rows have the same positions there. A channel that fails does not stop the others, unless it is the first one and
    /// cannot be opened: then nothing is loaded. No row is sent before all are open, or have failed to open.
    ///
    /// Each thread reads a file by itself. Any other source is read in order by one more thread, which a channel that is
    /// slow to take its rows holds up, and with it the others; `load` cannot return before a source that blocks has given
    /// its next row or its end.
    ///
    /// All of them share the memory of two batches, and [`RETAINED_BYTES`](Loader::RETAINED_BYTES) in equal parts; a
    /// single row that is longer than a channel's part is held all the same, alone.
    pub fn channels(mut self, channels: u32) -> Loader<'p> {
        self.channels = u64::from(channels.clamp(1, Loader::MAX_CHANNELS));
        self
    }

    /// Calls back after every request and every look at the commit, on the calling thread.
    pub fn on_progress(mut self, callback: impl FnMut(&LoadReport) + 'p) -> Loader<'p> {
        self.on_progress = Some(Box::new(callback));
        self
    }

    /// Loads the source to its end and waits until all of it is committed.
    ///
    /// # Blocking
    ///
    /// Until the last commit. No single wait is longer than the open timeout, the commit timeout or the client's retry
    /// budget.
    ///
    /// # Errors
    ///
    /// After any error what was committed stays committed, [`report`](Loader::report) shows how far that is, and
    /// another run resumes there.
    ///
    /// - [`Row`](crate::ErrorKind::Row): a row is not a JSON object or too long; the rows before it are committed.
    /// - [`NotStored`](crate::ErrorKind::NotStored): the service could not store some rows; all others are committed.
    /// - [`Conflict`](crate::ErrorKind::Conflict): the channel's committed offset is no position in this source; nothing
    ///   was appended.
    /// - [`Source`](crate::ErrorKind::Source): the source failed; the rows before that are committed.
    /// - [`Channel`](crate::ErrorKind::Channel): reopening brought no progress; another writer uses the channel.
    /// - [`Timeout`](crate::ErrorKind::Timeout): commits did not come in time.
    /// - otherwise those of every request: see [`Client`](crate::Client#errors).
    ///
    /// If several channels fail, the error of the first in their order is returned; the failure of a source that is read
    /// once comes before all of them.
    pub fn load(&mut self, source: Source<'_>) -> Result<LoadReport, Error> {
        self.report = LoadReport::default();
        let (settings, channels) = (&self.settings, self.channels);
        let baseline = Baseline::now(&settings.pipe);
        parallel::check_channel_count(&settings.pipe, &settings.channel, channels)?;
        let callback = &mut self.on_progress;
        let mut on_progress = |report: &LoadReport| callback.iter_mut().for_each(|callback| callback(report));
        let progress = Progress::new(&settings.pipe, baseline, &mut on_progress);
        let (report, completed) = match channels {
            1 => {
                let channel = settings.open_channel(Partition::WHOLE)?;
                let reader = BatchReader::new(source, Partition::WHOLE);
                ChannelLoad::resume(settings, channel, reader, progress)?.run()
            }
            _ => ParallelLoad::new(settings, channels, progress).run(source),
        };
        self.report = report;
        match completed.map_err(resumable)? {
            Completed::AllStored => Ok(self.report.clone()),
            Completed::SomeRejected(error) => Err(error),
        }
    }

    /// The report of the last load, also if it failed.
    pub fn report(&self) -> &LoadReport {
        &self.report
    }
}

impl Settings {
    fn open_channel(&self, partition: Partition) -> Result<Channel, Error> {
        let mut builder = self.pipe.channel(partition.channel_name(&self.channel));
        if let Some(timeout) = self.open_timeout {
            builder = builder.open_timeout(timeout);
        }
        if self.discard_uncommitted {
            builder = builder.discard_uncommitted();
        }
        builder.open()
    }
}

impl fmt::Debug for Loader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Running a load again is safe after any error, and may succeed after these.
fn resumable(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Channel | ErrorKind::Unconfirmed => error.retryable(),
        _ => error,
    }
}

/// Like the default open timeout: both wait for the service to commit.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(120);
