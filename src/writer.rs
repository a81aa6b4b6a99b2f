mod advice;

use std::time::Duration;

use serde::Serialize;

use crate::channel::Channel;
use crate::clock::Moment;
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind, one_line};
use crate::rows::OffsetToken;
use crate::rows::{Batch, Compressor, Payload, Payloads};

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
/// Memory is bounded by [`max_bytes`](Writer::max_bytes) and a row before compression, and after it by 32 MB and the
/// request (at most 4 MB) that is being sent, unless the program writes on through errors: then every row is kept until a
/// call succeeds.
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
/// - any other: correct its cause, then call again. Nothing is lost.
///
/// Except after `Row` and after the end, what was written is kept, also the row of the call that failed, and goes out with
/// the next call that sends. So [`is_retryable`](Error::is_retryable) is false for every error of [`write`](Writer::write)
/// and [`write_json`](Writer::write_json): call [`flush`](Writer::flush) or [`tick`](Writer::tick) instead, which can always
/// be repeated. Every error but `Row` carries the [`committed_offset`](Error::committed_offset) known by then.
///
/// ```no_run
/// # fn example(pipe: &snowpipe_streaming::Pipe, events: impl Iterator<Item = (u64, serde_json::Value)>)
/// # -> Result<(), snowpipe_streaming::Error> {
/// use std::time::Duration;
/// use snowpipe_streaming::ErrorKind;
///
/// let mut writer = pipe.channel("events-1").open()?.into_writer().max_age(Duration::from_millis(500));
/// for (offset, event) in events {
///     match writer.write(&event, offset) {
///         Ok(()) => {}
///         Err(error) if error.kind() == ErrorKind::Row => eprintln!("row {offset} was left out: {error}"),
///         Err(error) if error.kind() == ErrorKind::NotStored => eprintln!("{error}"),
///         // The row is kept; a later call sends it.
///         Err(error) if matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Unavailable) => eprintln!("{error}"),
///         Err(error) => return Err(error),
///     }
/// }
/// writer.close(Duration::from_secs(60))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Writer {
    delivery: Delivery,
    batch: Batch,
    /// When the first row in the buffer came.
    oldest: Option<Moment>,
    compressor: Compressor,
    max_bytes: usize,
    max_age: Duration,
    rejected_reported: u64,
}

impl Writer {
    pub(crate) fn new(channel: Channel) -> Writer {
        Writer {
            delivery: Delivery::new(channel, BACK_PRESSURE_TIMEOUT),
            batch: Batch::new(),
            oldest: None,
            compressor: Compressor::default(),
            max_bytes: Batch::FULL_BYTES,
            max_age: MAX_AGE,
            rejected_reported: 0,
        }
    }

    /// Sends when the buffer reaches this many bytes before compression. Default and maximum: [`Batch::FULL_BYTES`].
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
    /// After any other error the row is kept, unless the writer had ended before: do not write it again, call
    /// [`flush`](Writer::flush) or [`tick`](Writer::tick). See [Errors](Writer#errors).
    pub fn write(&mut self, row: &impl Serialize, offset: impl Into<OffsetToken>) -> Result<(), Error> {
        self.check_ended()?;
        self.batch.push(row)?;
        self.wrote(offset.into())
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
        self.check_ended()?;
        self.batch.push_json(line)?;
        self.wrote(offset.into())
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
        let sent = if self.is_old() { self.send_all() } else { self.delivery.keep_going() };
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

    /// Commits, then releases the channel; returns the committed offset.
    ///
    /// Dropping the writer instead loses what is buffered, with no more than a warning in the log: the next run resumes
    /// before it.
    ///
    /// # Blocking
    ///
    /// As [`commit`](Writer::commit).
    ///
    /// # Errors
    ///
    /// Those of [`commit`](Writer::commit). After [`NotStored`](ErrorKind::NotStored) everything is committed, and the error
    /// has the final offset ([`Error::committed_offset`]). After any other, what is not committed is gone with the writer:
    /// where its rows cannot be written again after the committed offset, call `commit` until it succeeds and this
    /// afterwards, or [`into_uncommitted`](Writer::into_uncommitted) instead.
    pub fn close(mut self, timeout: Duration) -> Result<Option<OffsetToken>, Error> {
        match self.commit(timeout) {
            Ok(()) => Ok(self.delivery.committed_offset().cloned()),
            Err(error) if error.kind() == ErrorKind::NotStored => Err(error),
            Err(error) => Err(error
                .not_retryable()
                .advise("the writer is gone: open the channel and write again what comes after its committed offset")),
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

    /// Rows written here that are committed, those included that the service could not store.
    pub fn rows_committed(&self) -> u64 {
        self.delivery.committed_rows()
    }

    /// Rows that the service took and could not store, as far as is known: the growth of the channel's count.
    pub fn rows_rejected(&self) -> u64 {
        self.delivery.totals().rejected
    }

    /// Openings of the channel after the first.
    pub fn reopens(&self) -> u64 {
        self.delivery.reopens()
    }

    /// From sending to noticing the commit, of what was committed last.
    pub fn commit_lag(&self) -> Duration {
        self.delivery.commit_lag()
    }

    fn check_ended(&self) -> Result<(), Error> {
        self.delivery.check_ended().map_err(|error| self.explain(error))
    }

    fn wrote(&mut self, offset: OffsetToken) -> Result<(), Error> {
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
                return Err(error);
            }
            // Compression itself failed: packing meets that again, and keeps the rows.
            _ => {}
        }
        self.oldest.get_or_insert(self.delivery.channel().pipe().clock().now());
        let is_due = self.batch.bytes() >= self.max_bytes || self.is_old();
        let sent = if is_due { self.send_all() } else { Ok(()) };
        self.finish(sent).map_err(|error| self.explain_kept(error))
    }

    fn is_old(&self) -> bool {
        let now = self.delivery.channel().pipe().clock().now();
        self.oldest.is_some_and(|oldest| now.since(oldest) >= self.max_age)
    }

    fn commit_all(&mut self) -> Result<(), Error> {
        loop {
            self.send_all()?;
            match self.delivery.wait_until(Delivery::is_done, |_| {}) {
                Ok(()) => return self.delivery.check_proven(),
                Err(error) => self.delivery.recover(error)?,
            }
        }
    }

    /// Sends what was packed before, then packs and sends the buffer request by request, so that no more than one waits in
    /// memory. What cannot be sent is packed all the same: compressed it takes less room.
    fn send_all(&mut self) -> Result<(), Error> {
        let mut sent = self.delivery.deliver();
        let (mut payloads, mut packed_rows) = (Payloads::of(&self.batch), 0);
        loop {
            let mut payload = Payload::default();
            match payloads.next(&mut self.compressor, &mut payload) {
                Ok(true) => {
                    packed_rows += payload.rows;
                    self.delivery.enqueue(payload);
                    sent = sent.and_then(|()| self.delivery.deliver());
                }
                Ok(false) => break,
                Err(error) => {
                    self.batch = self.batch.without_first(packed_rows);
                    return Err(error);
                }
            }
        }
        self.batch.clear();
        self.oldest = None;
        sent
    }

    /// What every call ends with.
    fn finish(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        self.delivery.end_call();
        result.and_then(|()| self.report_rejected()).map_err(|error| self.explain(error))
    }

    fn report_rejected(&mut self) -> Result<(), Error> {
        let rejected = self.delivery.totals().rejected;
        let unreported = rejected - std::mem::replace(&mut self.rejected_reported, rejected);
        if unreported == 0 {
            return Ok(());
        }
        let is_all_committed = self.batch.is_empty() && self.delivery.is_done();
        Err(if is_all_committed {
            self.delivery.rejected(unreported)
        } else {
            self.delivery.rejected_so_far(unreported)
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let rows = self.delivery.uncommitted_rows() + self.batch.rows() as u64;
        if rows > 0 {
            let channel = one_line(self.delivery.channel().name());
            log::warn!("a writer of channel {channel} was dropped with {rows} rows that are not known to be committed");
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
