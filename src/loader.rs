mod bad_rows;
mod batch_reader;
mod channel_count;
mod channel_load;
mod content;
mod default_channel;
mod detached_reader;
mod element_reader;
mod file_range;
mod fill;
#[cfg(feature = "gzip")]
mod gunzip;
mod line_reader;
mod lines;
mod many_files;
mod parallel;
mod partition;
mod partition_queue;
mod partitioner;
mod pipeline;
mod progress;
mod read_buffer;
mod report;
mod resume_point;
mod row_check;
mod row_error;
mod row_reader;
mod run;
mod source;
mod stopping;
mod unpacked;
#[cfg(feature = "zstd")]
mod unzstd;

use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use self::bad_rows::Allowance;
pub use self::bad_rows::BadRow;
use self::many_files::ChannelNaming;
pub use self::many_files::FileLoad;
use self::progress::{Baseline, Progress};
pub use self::report::LoadReport;
pub use self::source::Source;
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind};
use crate::pipe::Pipe;
use crate::rows::{Batch, OffsetToken};
use crate::snowflake::status::ChannelStatus;

/// Loads a whole source of rows into a named channel, every row exactly once.
///
/// A row's offset token is its position in the source (the line number, counted from 1) and a fingerprint of all rows of the
/// channel up to it: `10000-9ae16a3b`. The loader resumes after the committed one, so after a crash it is enough to run it
/// again with the same source and channel name. The rows that it passes over are compared by that fingerprint before
/// anything is appended: another source under a used name is refused, and so is a source in which a committed row has
/// changed. Rows that come after are none of that comparison, so a log that has grown is loaded on.
///
/// Recovers from lost responses, stale continuation tokens and invalidated channels by reopening the channel and resuming
/// after its committed offset. Gives up after several reopens without progress, usually a sign of a second writer.
///
/// Memory is bounded: of a file one batch ([`Batch::FULL_BYTES`] by default) and its compressed form; of any other source two
/// batches of half the size, and what was sent and is not committed, at most [`Loader::RETAINED_BYTES`] compressed. Several
/// [`channels`](Loader::channels) share the memory of two batches and the retained bytes.
///
/// ```no_run
/// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), snowpipe_streaming::Error> {
/// use snowpipe_streaming::{Loader, Source};
///
/// let report = Loader::new(pipe, "load-1").load(Source::file("flights.ndjson")?)?;
/// println!("{} rows are stored, {} of them by an earlier run", report.rows, report.skipped);
/// # Ok(())
/// # }
/// ```
pub struct Loader<'p> {
    settings: Settings,
    naming: ChannelNaming,
    channels: u64,
    max_errors: u64,
    on_progress: Option<OnProgress<'p>>,
    on_bad_row: Option<OnBadRow<'p>>,
    report: LoadReport,
    /// Of several files the one that is loaded.
    file: usize,
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
    expected: ExpectedOffset,
    accept_plain_offsets: bool,
    pipelined: bool,
}

/// What the channels must have committed when they are opened.
#[derive(Clone, Debug)]
enum ExpectedOffset {
    Anything,
    Nothing,
    Offset(OffsetToken),
}

type OnProgress<'p> = Box<dyn FnMut(&LoadReport) + Send + 'p>;

type OnBadRow<'p> = Box<dyn FnMut(&BadRow<'_>) -> io::Result<()> + Send + 'p>;

impl<'p> Loader<'p> {
    /// The most that is kept in memory of what was sent from a source that cannot be read again: compressed rows, and the offset
    /// token of each. When it is reached, sending waits for commits.
    pub const RETAINED_BYTES: usize = Delivery::RETAINED_BYTES;

    /// The most channels that one load uses; the service takes two thousand a pipe.
    pub const MAX_CHANNELS: u32 = channel_count::MAX_CHANNELS;

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
            expected: ExpectedOffset::Anything,
            accept_plain_offsets: false,
            pipelined: false,
        };
        Loader {
            settings,
            naming: ChannelNaming::Given,
            channels: 1,
            max_errors: 0,
            on_progress: None,
            on_bad_row: None,
            report: LoadReport::default(),
            file: 0,
        }
    }

    /// Upper bound of one request's rows in bytes before compression; a longer row goes alone. From 1 to
    /// [`Batch::FULL_BYTES`], which is the default.
    pub fn batch_bytes(mut self, bytes: usize) -> Loader<'p> {
        self.settings.batch_bytes = bytes;
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

    /// Does not wait for what an earlier run has in flight: it is thrown away and sent again. This concerns the opening of
    /// the channels by this run; what the run itself has sent is always waited for.
    pub fn discard_uncommitted(mut self) -> Loader<'p> {
        self.settings.discard_uncommitted = true;
        self
    }

    /// Refuses the channels unless nothing was ever committed on them: for a source that no run has begun to load.
    pub fn expect_unused(mut self) -> Loader<'p> {
        self.settings.expected = ExpectedOffset::Nothing;
        self
    }

    /// Refuses the channel unless this is its committed offset, which it awaits as
    /// [`ChannelBuilder::expect_offset`](crate::ChannelBuilder::expect_offset) does. For a load through one channel.
    pub fn expect_offset(mut self, offset: impl Into<OffsetToken>) -> Loader<'p> {
        self.settings.expected = ExpectedOffset::Offset(offset.into());
        self
    }

    /// Resumes a channel whose committed offset is a plain number, too: the line number, or the place in a sequence, of a row
    /// of this very source, which another client has written. Nothing can show whether it is one; without this call such a
    /// channel is refused.
    pub fn accept_plain_offsets(mut self) -> Loader<'p> {
        self.settings.accept_plain_offsets = true;
        self
    }

    /// Allows so many rows of this source to be lost, in all runs together: bad ones, which are left out, and those that the
    /// service rejected. Default none.
    ///
    /// A bad row is one that is no JSON object, not UTF-8, too long, or fits in no request. A left-out row keeps its position
    /// and its part of the fingerprint, so leave it where it is: the corrected row is loaded from a source of its own. The row
    /// that exceeds the allowance ends the load. Never left out are a last line without line break, and a line so long that
    /// it is not read to its end.
    ///
    /// [`load`](Loader::load) fails while more are lost, also when it is run again and finds nothing to do: those rows are not
    /// in the table.
    pub fn max_errors(mut self, rows: u64) -> Loader<'p> {
        self.max_errors = rows;
        self
    }

    /// Calls back with each bad row that is left out, before any later row of its channel is sent; so what the callback has
    /// written down is never behind the table. A load that resumes hands over the rows before the committed one again.
    ///
    /// It is called on whichever thread reads the source, by one at a time. If it fails, the row is not left out: the load
    /// ends with [`Row`](ErrorKind::Row), which says why. Without [`max_errors`](Loader::max_errors) no row is left out.
    ///
    /// ```no_run
    /// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::io::Write;
    /// use snowpipe_streaming::{Loader, Source};
    ///
    /// let mut log = std::fs::File::create("bad-rows.txt")?;
    /// let report = Loader::new(pipe, "load-1")
    ///     .max_errors(10)
    ///     .on_bad_row(|row| writeln!(log, "{}: {}", row.position(), row.reason()))
    ///     .load(Source::file("flights.ndjson")?)?;
    /// println!("{} rows were left out", report.bad_rows);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_bad_row(mut self, callback: impl FnMut(&BadRow<'_>) -> io::Result<()> + Send + 'p) -> Loader<'p> {
        self.on_bad_row = Some(Box::new(callback));
        self
    }

    /// Reads and checks a file on another thread while its rows are compressed and sent. All threads end before
    /// [`load`](Loader::load) returns. Any other [source](Source) has its thread anyway, and this changes nothing.
    ///
    /// The other thread reads ahead, and compresses where sending falls behind. Batches are at most half as large then, so that
    /// both threads have work early; there are three of them, and up to four compressed ones.
    ///
    /// With several [`channels`](Loader::channels) each gets such a thread, and they share the memory of three batches.
    pub fn pipelined(mut self) -> Loader<'p> {
        self.settings.pipelined = true;
        self
    }

    /// Loads through `channels` channels in parallel, each on a thread of its own that ends before [`load`](Loader::load)
    /// returns. From 1, the default, to [`MAX_CHANNELS`](Loader::MAX_CHANNELS).
    ///
    /// Rows are assigned to the channels in fixed blocks by position, so order holds within a channel only. The
    /// channels are named `<CHANNEL>-1-OF-<n>` and so on, in upper case unless the name is quoted
    /// (`"\"Load\""`), and each resumes on its own: a load that was begun with one number of channels must be finished with it. Another is refused, by any channel of
    /// another number that exists under this name. A load may be finished from another kind of source, if its rows are the
    /// same, at the same positions. A channel that fails does not stop the others, unless it is the first one and
    /// cannot be opened: then nothing is loaded. No row is sent before all are open, or have failed to open.
    ///
    /// Each thread reads a file by itself, and all channels are compared with it before anything is appended. Any other source
    /// is read in order by one more thread, which compares each channel before its first append, and which a channel that is
    /// slow to take its rows holds up, and with it the others.
    ///
    /// All of them share the memory of two batches, and [`RETAINED_BYTES`](Loader::RETAINED_BYTES) in equal parts; a
    /// single row that is longer than a channel's part is held all the same, alone.
    pub fn channels(mut self, channels: u32) -> Loader<'p> {
        self.channels = channels.into();
        self
    }

    /// Calls back after every request and every look at the commit, on the calling thread.
    pub fn on_progress(mut self, callback: impl FnMut(&LoadReport) + Send + 'p) -> Loader<'p> {
        self.on_progress = Some(Box::new(callback));
        self
    }

    /// Loads the source to its end and waits until all of it is committed.
    ///
    /// A file ends where it ends when this is called; what is appended to it later is for the next load. Its last line may
    /// lack the line break only if it is a complete row.
    ///
    /// # Blocking
    ///
    /// Until the last commit. While the service answers, opening a channel takes no longer than the open timeout, and the wait
    /// for a commit ends when none has come for as long as the commit timeout. A request without a response takes the
    /// client's retry budget.
    ///
    /// # Errors
    ///
    /// After any error what was committed stays committed, and another run resumes there. [`report`](Loader::report) shows how
    /// far that is; it is empty if the load ended before its first row.
    ///
    /// - [`Row`](ErrorKind::Row): a row is bad, and [`max_errors`](Loader::max_errors) does not allow to leave it out; the rows
    ///   before it are committed. Correct the row, and leave the positions of the others as they are. If an earlier run has
    ///   committed rows after it, nothing was appended.
    /// - [`NotStored`](ErrorKind::NotStored): everything is committed, but the rows that the service could not store, in this
    ///   run or an earlier one, and those left out are more than [`max_errors`](Loader::max_errors) allows.
    /// - [`Conflict`](ErrorKind::Conflict): the channel holds rows of another source, another writer has committed rows
    ///   meanwhile, or the load was begun with another number of channels. Nothing was appended to that channel after it was
    ///   found. Of several channels none is appended to where it shows before the first append: of a file always, of another
    ///   source unless it takes reading the source.
    /// - [`Source`](ErrorKind::Source): the source failed, and the rows before that are committed; or a file was overwritten
    ///   while it was loaded, so that the table has rows that the file lacks now.
    /// - [`Channel`](ErrorKind::Channel): reopening brought no progress; another writer uses the channel.
    /// - [`Timeout`](ErrorKind::Timeout): commits did not come in time.
    /// - [`Stopped`](ErrorKind::Stopped): the [stop handle](Loader::stop_handle) was used.
    /// - [`Config`](ErrorKind::Config): a setting of this loader is out of its range; nothing was sent.
    /// - otherwise those of every request: see [`Client`](crate::Client#errors).
    ///
    /// If several channels fail, the error of the first in their order is returned, a conflict found in a file before all
    /// others, and a stop after them; the failure of a source that is read once comes before all of them.
    pub fn load(&mut self, mut source: Source<'_>) -> Result<LoadReport, Error> {
        self.report = LoadReport { file: self.file, ..LoadReport::default() };
        if self.naming == ChannelNaming::ForSource && !self.name_channel(&mut source)? {
            return Ok(self.report.clone());
        }
        self.check_settings()?;
        let packed = source.packed();
        let ran = self.run(source);
        let blamed = ran.map_err(|error| packed.map_or(error.clone(), |packed| packed.blame(error)));
        let statuses = blamed.map_err(|error| self.resumable(self.told(error)))?;
        self.check_lost(&statuses)?;
        Ok(self.report.clone())
    }

    /// Returns the last status of each channel.
    fn run(&mut self, source: Source<'_>) -> Result<Vec<ChannelStatus>, Error> {
        let on_bad_row = self.on_bad_row.as_mut().map(|callback| &mut **callback as _);
        let allowance = Allowance::new(self.max_errors, on_bad_row);
        let (callback, file) = (&mut self.on_progress, self.file);
        let mut on_progress = |report: &LoadReport| {
            callback.iter_mut().for_each(|callback| callback(&LoadReport { file, ..report.clone() }));
        };
        let baseline = Baseline::now(&self.settings.pipe);
        let progress = Progress::new(&self.settings.pipe, baseline, &mut on_progress).counting(allowance.left_out());
        let load = self.settings.load(self.channels, source, progress, &allowance);
        let bad_rows = allowance.left_out().load(Ordering::Relaxed);
        self.report = LoadReport { bad_rows, file, ..load.0 };
        load.1
    }

    pub(super) fn check_settings(&self) -> Result<(), Error> {
        let refuse = |happened: String| {
            let attempted = format!("load through channel {}", self.settings.channel);
            Err(Error::new(ErrorKind::Config, happened).attempting(attempted).advise("correct the setting"))
        };
        self.settings.pipe.channel(&self.settings.channel).check_name()?;
        if !(1..=u64::from(Loader::MAX_CHANNELS)).contains(&self.channels) {
            return refuse(format!("{} channels are not from 1 to {}", self.channels, Loader::MAX_CHANNELS));
        }
        if !(1..=Batch::FULL_BYTES).contains(&self.settings.batch_bytes) {
            return refuse(format!(
                "{} bytes a batch are not from 1 to {}",
                self.settings.batch_bytes,
                Batch::FULL_BYTES
            ));
        }
        if self.channels > 1 && matches!(self.settings.expected, ExpectedOffset::Offset(_)) {
            return refuse("several channels have no common offset to expect".into());
        }
        Ok(())
    }

    /// The report of the last load, also if it failed.
    pub fn report(&self) -> &LoadReport {
        &self.report
    }
}

impl fmt::Debug for Loader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Like the default open timeout: both wait for the service to commit.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(120);
