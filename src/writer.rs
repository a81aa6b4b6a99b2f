mod advice;
mod close_error;
mod report;
mod sending;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

pub use self::close_error::CloseError;
pub use self::report::WriterReport;
use crate::channel::Channel;
use crate::clock::Moment;
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind, one_line};
use crate::rows::{Batch, Compressor, OffsetToken, offset_or_none};

/// Feeds a channel row by row, for a stream that does not end: buffers, sends full requests, keeps what is not committed
/// and sends it again when the channel is lost.
///
/// Exactly once within the lifetime of the writer, even if the channel is lost; across a crash of the program if it resumes
/// after [`committed_offset`](Writer::committed_offset) of the channel it opens next.
///
/// # Blocking and threads
///
/// There is no background thread. [`write`](Writer::write) usually only encodes; when the buffer is full or its oldest row
/// is older than [`max_age`](Writer::max_age) it sends, and when too much is not committed it waits for commits. A program
/// that may be idle calls [`tick`](Writer::tick) now and then, so that the last rows before a pause do not wait for the next
/// one, and so that commits, rejected rows and a lost channel are noticed.
///
/// # Memory
///
/// A writer keeps what is not committed, through an outage of any length, in two places:
///
/// - the buffer, rows as they were written and their tokens: less than [`max_bytes`](Writer::max_bytes) before a row is taken,
///   and so at most 16,000,000 bytes and one row of at most [`Batch::MAX_ROW_BYTES`];
/// - requests that are in flight or could not be sent, compressed, tokens included: at most
///   [`RETAINED_BYTES`](Writer::RETAINED_BYTES), 32,000,000 bytes. The halves of a request that a proxy refuses as too long may
///   compress a little less well than the whole.
///
/// When both are full, `write` takes no more rows: see below. [`report`](Writer::report) shows how much there is. While a call packs or
/// halves a request, it takes that one (at most 4,000,000 bytes after compression) and the tables of the compressor besides;
/// vectors may have spare room, and the tokens committed last take about 1 MB.
///
/// # Errors
///
/// What a caller does after an error depends on its kind alone, whichever call returned it:
///
/// - [`Row`](ErrorKind::Row): the value was left out, and the writer goes on. No other error means that.
/// - [`NotStored`](ErrorKind::NotStored): the service could not store so many of the rows sent before. Each is reported
///   once, as soon as it is known; the writer goes on, and the row written in that call is kept.
/// - [`Conflict`](ErrorKind::Conflict) when another writer has committed rows on the channel, or rows appended before the
///   writer began are lost; [`Unconfirmed`](ErrorKind::Unconfirmed) when it is unknown because they had no offset token.
///   Once such an error has come from reopening the channel, the writer has ended: every later call returns it, and no
///   more rows are taken or sent.
/// - [`Channel`](ErrorKind::Channel) when reopening the channel five times brought no progress: look for a second writer. The
///   next call tries again.
/// - [`Throttled`](ErrorKind::Throttled), [`Unavailable`](ErrorKind::Unavailable), [`Timeout`](ErrorKind::Timeout): call
///   again later. Nothing is lost.
/// - [`Stopped`](ErrorKind::Stopped) once a [`StopHandle`](crate::StopHandle) has stopped its pipe: nothing more is sent. Take the
///   rows out with [`into_uncommitted`](Writer::into_uncommitted), or write them again in the next run.
/// - any other, such as [`Credentials`](ErrorKind::Credentials) for a login that was revoked: correct its cause, then call
///   again. Nothing is lost.
///
/// What was written is kept, whatever happens. Whether an error of [`write`](Writer::write) and
/// [`write_json`](Writer::write_json) concerns a row that was taken, the error alone says:
///
/// | [`is_row_kept`](Error::is_row_kept) | [`is_retryable`](Error::is_retryable) | the row | what to do |
/// |---|---|---|---|
/// | true | false | was taken, and goes out with the next call that sends | do not write it again; [`flush`](Writer::flush) or [`tick`](Writer::tick) can be repeated |
/// | false | true | was not taken: the memory is full | write it again later |
/// | false | false | was left out (`Row`), or the writer had ended or was stopped | correct or skip it; open the channel again |
///
/// Every error but `Row` carries the [`committed_offset`](Error::committed_offset) known by then.
///
/// ```no_run
/// # fn example(pipe: &snowpipe_streaming::Pipe, events: impl Iterator<Item = (u64, serde_json::Value)>)
/// # -> Result<(), snowpipe_streaming::Error> {
/// use std::time::Duration;
/// use snowpipe_streaming::ErrorKind;
///
/// let mut writer = pipe.channel("events-1").open()?.into_writer().max_age(Duration::from_millis(500));
/// for (offset, event) in events {
///     while let Err(error) = writer.write(&event, offset) {
///         eprintln!("row {offset}: {error}");
///         match error.kind() {
///             // It cannot be a row, and was left out.
///             ErrorKind::Row => break,
///             // Another writer has taken the channel over, or the program is to stop.
///             ErrorKind::Conflict | ErrorKind::Unconfirmed | ErrorKind::Stopped => return Err(error),
///             // A later call sends it.
///             _ if error.is_row_kept() => break,
///             // The memory is full: once more.
///             _ => std::thread::sleep(Duration::from_secs(1)),
///         }
///     }
/// }
/// writer.close(Duration::from_secs(60))?;
/// # Ok(())
/// # }
/// ```
pub struct Writer {
    delivery: Delivery,
    batch: Batch,
    /// When the first row in the buffer came.
    oldest: Option<Moment>,
    compressor: Compressor,
    max_bytes: usize,
    max_age: Duration,
    rejected_reported: u64,
    rows_written: u64,
    bytes_written: u64,
}

impl Writer {
    /// The most that is kept in memory of what was packed into requests and is not committed, compressed and with the offset
    /// token of each row.
    pub const RETAINED_BYTES: usize = Delivery::RETAINED_BYTES;

    pub(crate) fn new(channel: Channel) -> Writer {
        Writer {
            delivery: Delivery::new(channel, BACK_PRESSURE_TIMEOUT),
            batch: Batch::new(),
            oldest: None,
            compressor: Compressor::default(),
            max_bytes: Batch::FULL_BYTES,
            max_age: MAX_AGE,
            rejected_reported: 0,
            rows_written: 0,
            bytes_written: 0,
        }
    }

    /// Sends when the buffer reaches this many bytes before compression, offset tokens included. Default and maximum:
    /// [`Batch::FULL_BYTES`].
    pub fn max_bytes(mut self, bytes: usize) -> Writer {
        self.max_bytes = bytes.clamp(1, Batch::FULL_BYTES);
        self
    }

    /// Sends when the oldest row in the buffer is so old; default one second, which keeps well below the service's ten
    /// requests a second.
    pub fn max_age(mut self, age: Duration) -> Writer {
        self.max_age = age;
        self
    }

    /// Adds a row with its offset token, and sends if it is time to. Tokens must differ: rows under the token of an earlier
    /// row could be taken for committed with it.
    ///
    /// # Blocking
    ///
    /// Not at all while there is room in the buffer; otherwise for one request, for recovery if the channel is lost, and for
    /// commits if too much is not committed: two minutes after the last progress that is an error.
    ///
    /// # Errors
    ///
    /// [`Row`](ErrorKind::Row) when the value is no row or too long a one: it is left out, and the writer goes on.
    ///
    /// After any other error [`is_row_kept`](Error::is_row_kept) says whether the row was taken. If it was not and
    /// [`is_retryable`](Error::is_retryable) is true, the memory is full with rows that cannot be sent or are not committed: write
    /// it again later. See [Errors](Writer#errors).
    pub fn write(&mut self, row: &impl Serialize, offset: impl Into<OffsetToken>) -> Result<(), Error> {
        self.take(offset.into(), |batch| batch.push(row))
    }

    /// Adds a row that is JSON already, byte for byte; otherwise as [`write`](Writer::write).
    ///
    /// # Blocking
    ///
    /// As [`write`](Writer::write).
    ///
    /// # Errors
    ///
    /// Those of [`write`](Writer::write).
    pub fn write_json(&mut self, line: &[u8], offset: impl Into<OffsetToken>) -> Result<(), Error> {
        self.take(offset.into(), |batch| batch.push_json(line))
    }

    /// For programs that may be idle, at any interval: sends if the oldest row is old enough or an earlier call could not
    /// send, and otherwise asks now and then what is committed.
    ///
    /// # Blocking
    ///
    /// As [`write`](Writer::write). While rows are in flight it asks for the channel's status, at most once a second, and
    /// after two minutes without a commit, by reopening the channel without waiting, whether they are lost.
    ///
    /// # Errors
    ///
    /// See [Errors](Writer#errors); it can be repeated after each of them.
    pub fn tick(&mut self) -> Result<(), Error> {
        let sent = if self.is_due() { self.send_all() } else { self.delivery.keep_going() };
        self.finish(sent)
    }

    /// Sends everything that is buffered; it is received then, not committed.
    ///
    /// # Blocking
    ///
    /// For the requests that it takes, for recovery and for commits as [`write`](Writer::write) does.
    ///
    /// # Errors
    ///
    /// See [Errors](Writer#errors); it can be repeated after each of them.
    pub fn flush(&mut self) -> Result<(), Error> {
        let sent = self.send_all();
        self.finish(sent)
    }

    /// Sends everything and waits until all that was ever written is committed.
    ///
    /// # Blocking
    ///
    /// Until the last commit. It ends when no commit has come for `timeout`, counted from the last row sent or the last
    /// commit; then it asks, by reopening the channel without waiting, whether the rows are lost, and goes on if they are.
    ///
    /// # Errors
    ///
    /// - [`NotStored`](ErrorKind::NotStored): all is committed, but rows could not be stored; each is reported once.
    /// - [`Timeout`](ErrorKind::Timeout): not yet; nothing is lost, call it again.
    /// - [`Unconfirmed`](ErrorKind::Unconfirmed): rows that were appended before the writer began had no offset token, so
    ///   they cannot be confirmed. A row that is written after them and committed proves them.
    /// - otherwise see [Errors](Writer#errors); it can be repeated after each of them.
    pub fn commit(&mut self, timeout: Duration) -> Result<(), Error> {
        self.delivery.set_commit_timeout(timeout);
        let committed = self.commit_all();
        self.delivery.set_commit_timeout(BACK_PRESSURE_TIMEOUT);
        self.finish(committed)
    }

    /// Sends what is buffered, looks once, and says whether all that was ever written is committed.
    ///
    /// # Blocking
    ///
    /// For the requests that the buffer takes and one for the status, each repeated on trouble until the client's retry budget
    /// ends. It waits neither for commits nor for room: what finds none stays in the buffer. A channel that is lost is reopened
    /// once, without a pause before.
    ///
    /// # Errors
    ///
    /// - [`NotStored`](ErrorKind::NotStored): rows could not be stored; each is reported once. Ask again for the rest.
    /// - [`Timeout`](ErrorKind::Timeout): no commit has come for two minutes, and the rows are still on their way, or those of
    ///   a channel that was lost are.
    /// - [`Unconfirmed`](ErrorKind::Unconfirmed): as [`commit`](Writer::commit).
    /// - otherwise see [Errors](Writer#errors); it can be repeated after each of them.
    ///
    /// ```no_run
    /// # fn example(writer: &mut snowpipe_streaming::Writer) -> Result<(), snowpipe_streaming::Error> {
    /// if writer.try_commit()? {
    ///     println!("everything up to {:?} is committed", writer.committed_offset());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_commit(&mut self) -> Result<bool, Error> {
        let looked = self.look_for_commit();
        self.finish(looked)?;
        Ok(self.is_done())
    }

    /// Commits, then releases the channel; returns the committed offset.
    ///
    /// Dropping the writer instead loses what is not committed, with no more than a warning in the log: the next run resumes
    /// before it.
    ///
    /// # Blocking
    ///
    /// As [`commit`](Writer::commit).
    ///
    /// # Errors
    ///
    /// Those of [`commit`](Writer::commit), each with the writer, which still has what is not committed: see [`CloseError`].
    /// After [`NotStored`](ErrorKind::NotStored) everything is committed, and the error has the final offset
    /// ([`Error::committed_offset`]).
    pub fn close(mut self, timeout: Duration) -> Result<Option<OffsetToken>, CloseError> {
        match self.commit(timeout) {
            Ok(()) => Ok(self.committed_offset().cloned()),
            Err(error) => Err(CloseError::new(error, self)),
        }
    }

    /// Ends the writer and returns the rows that are not known to be committed, in order: for a program that has to put them
    /// elsewhere because the writer cannot go on. Sends nothing.
    ///
    /// Rows that were sent may be committed all the same: open the channel again, and take out those that are with
    /// [`Batch::after`] its committed offset, since the rows keep their tokens. They take the memory that they had before
    /// compression.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when there is no memory to decompress them.
    pub fn into_uncommitted(mut self) -> Result<Batch, Error> {
        let mut uncommitted = Batch::new();
        for body in self.delivery.take_uncommitted() {
            uncommitted.join(body.to_batch()?);
        }
        uncommitted.join(std::mem::take(&mut self.batch));
        Ok(uncommitted)
    }

    /// The offset token up to which everything is known to be committed. It moves with every call that sends or waits, and
    /// with [`tick`](Writer::tick).
    pub fn committed_offset(&self) -> Option<&OffsetToken> {
        self.delivery.committed_offset()
    }

    /// Gives the last row its token, or takes it out again if it cannot be sent.
    fn mark(&mut self, offset: OffsetToken) -> Result<(), Error> {
        if offset.is_empty() {
            self.batch.pop();
            return Err(Error::new(
                ErrorKind::Row,
                "the row has an empty offset token, which shows nothing of its commit",
            )
            .advise("write it with a token of its own"));
        }
        self.batch.mark(offset);
        match self.compressor.check_row(&self.batch.last_row()) {
            Err(error) if error.kind() == ErrorKind::Row => {
                self.batch.pop();
                Err(error)
            }
            // Compression itself failed: packing meets that again, and keeps the rows.
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = self.delivery.channel().name();
        f.debug_struct("Writer").field("channel", &channel).field("report", &self.report()).finish_non_exhaustive()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let (buffered, sent) = (self.batch.rows() as u64, self.delivery.uncommitted_rows());
        if buffered + sent > 0 {
            let channel = one_line(self.delivery.channel().name());
            let offset = offset_or_none(self.committed_offset());
            let offset = one_line(&offset);
            log::warn!(
                "a writer of channel {channel} was dropped with rows that are not known to be committed: {buffered} buffered, \
                 {sent} sent or waiting to be sent; its committed offset is {offset}"
            );
        }
    }
}

impl Channel {
    /// Feeds this channel row by row. The writer also waits for what was appended before, but cannot send it again.
    ///
    /// Rows that were appended without an offset token cannot be waited for: until a row written here is committed,
    /// [`Writer::commit`] returns [`Unconfirmed`](ErrorKind::Unconfirmed), and a loss of the channel ends the writer.
    pub fn into_writer(self) -> Writer {
        Writer::new(self)
    }
}

/// Well below the ten requests a second that the service takes.
const MAX_AGE: Duration = Duration::from_secs(1);

/// How long a full memory waits for commits before it is an error.
const BACK_PRESSURE_TIMEOUT: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests;
