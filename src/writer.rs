use std::time::Duration;

use serde::Serialize;

use crate::channel::Channel;
use crate::clock::Moment;
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind};
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
/// is older than [`max_age`](Writer::max_age) it sends, and when too much is not committed it waits for commits: memory is
/// bounded by [`max_bytes`](Writer::max_bytes) before compression and 32 MB after it, unless the program writes on through
/// errors: then every row is kept until a call succeeds. A program that may be idle calls
/// [`tick`](Writer::tick) now and then, so that the last rows before a lull do not wait for the next one.
///
/// ```no_run
/// # fn example(pipe: &snowpipe_streaming::Pipe, events: impl Iterator<Item = (u64, serde_json::Value)>)
/// # -> Result<(), snowpipe_streaming::Error> {
/// use std::time::Duration;
///
/// let mut writer = pipe.channel("events-1").open()?.into_writer().max_age(Duration::from_millis(500));
/// for (offset, event) in events {
///     writer.write(&event, offset)?;
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
    /// commits if too much is not committed.
    ///
    /// # Errors
    ///
    /// [`Row`](crate::ErrorKind::Row) when the value is no row or too long a one: it is left out, and the writer goes on.
    /// [`Conflict`](crate::ErrorKind::Conflict) when another writer has committed rows on the channel, or rows appended
    /// before the writer began are lost; it stays, and nothing is sent any more.
    ///
    /// After any other error nothing is lost yet: what was written, this row included, is still here and goes out with the
    /// next call that succeeds, unless it is of kind [`Channel`](crate::ErrorKind::Channel), which reopening several times
    /// did not resolve. Do not write the row again.
    pub fn write(&mut self, row: &impl Serialize, offset: impl Into<OffsetToken>) -> Result<(), Error> {
        self.batch.push(row)?;
        self.wrote(offset.into())
    }

    /// Adds a row that is JSON already, byte for byte; otherwise as [`write`](Writer::write).
    ///
    /// # Errors
    ///
    /// Those of [`write`](Writer::write).
    pub fn write_json(&mut self, line: &[u8], offset: impl Into<OffsetToken>) -> Result<(), Error> {
        self.batch.push_json(line)?;
        self.wrote(offset.into())
    }

    /// Sends if the oldest row is old enough: for programs that may be idle.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Writer::write).
    pub fn tick(&mut self) -> Result<(), Error> {
        let now = self.delivery.channel().pipe().clock().now();
        if self.oldest.is_some_and(|oldest| now.since(oldest) >= self.max_age) { self.flush() } else { Ok(()) }
    }

    /// Sends everything that is buffered; it is received then, not committed.
    ///
    /// # Blocking
    ///
    /// For the requests that it takes, for recovery and for commits as [`write`](Writer::write) does.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Writer::write).
    pub fn flush(&mut self) -> Result<(), Error> {
        self.pack()?;
        loop {
            match self.delivery.send_queue(|_| {}) {
                Ok(()) => return Ok(()),
                Err(error) => self.delivery.recover(error)?,
            }
        }
    }

    /// Sends everything and waits until all that was ever written is committed.
    ///
    /// # Blocking
    ///
    /// Until the last commit, at most `timeout` after the last row was sent.
    ///
    /// # Errors
    ///
    /// - [`NotStored`](crate::ErrorKind::NotStored): all is committed, but rows could not be stored; each is reported once.
    /// - [`Timeout`](crate::ErrorKind::Timeout): not yet; nothing is lost, call it again.
    /// - otherwise those of [`write`](Writer::write).
    pub fn commit(&mut self, timeout: Duration) -> Result<(), Error> {
        self.delivery.set_commit_timeout(timeout);
        let result = self.commit_all();
        self.delivery.set_commit_timeout(BACK_PRESSURE_TIMEOUT);
        result?;
        self.report_rejected()
    }

    /// Commits, then releases the channel; returns the committed offset.
    ///
    /// Dropping the writer instead loses what is buffered, silently: the next run resumes before it.
    ///
    /// # Errors
    ///
    /// Those of [`commit`](Writer::commit), and then what is not committed is gone with the writer. Where its rows cannot be
    /// written again after the committed offset, call `commit` until it succeeds, and this afterwards.
    pub fn close(mut self, timeout: Duration) -> Result<Option<OffsetToken>, Error> {
        self.commit(timeout)?;
        Ok(self.delivery.committed_offset().cloned())
    }

    /// The offset token up to which everything is known to be committed.
    pub fn committed_offset(&self) -> Option<&OffsetToken> {
        self.delivery.committed_offset()
    }

    /// Rows written here that are committed.
    pub fn rows_committed(&self) -> u64 {
        self.delivery.committed_rows()
    }

    /// Openings of the channel after the first.
    pub fn reopens(&self) -> u64 {
        self.delivery.reopens()
    }

    /// From sending to noticing the commit, of what was committed last.
    pub fn commit_lag(&self) -> Duration {
        self.delivery.commit_lag()
    }

    fn wrote(&mut self, offset: OffsetToken) -> Result<(), Error> {
        self.batch.mark(offset);
        match self.compressor.check_row(&self.batch.last_row()) {
            Err(error) if error.kind() == ErrorKind::Row => {
                self.batch.pop();
                return Err(error);
            }
            // Compression itself failed: packing meets that again, and keeps the rows.
            _ => {}
        }
        let now = self.delivery.channel().pipe().clock().now();
        let oldest = *self.oldest.get_or_insert(now);
        let is_due = self.batch.bytes() >= self.max_bytes || now.since(oldest) >= self.max_age;
        if is_due { self.flush() } else { Ok(()) }
    }

    fn commit_all(&mut self) -> Result<(), Error> {
        loop {
            self.flush()?;
            match self.delivery.wait_until(Delivery::is_done, |_| {}) {
                Ok(()) => return Ok(()),
                Err(error) => self.delivery.recover(error)?,
            }
        }
    }

    /// Turns the buffer into bodies that can be sent again.
    fn pack(&mut self) -> Result<(), Error> {
        let (mut payloads, mut packed_rows) = (Payloads::of(&self.batch), 0);
        loop {
            let mut payload = Payload::default();
            match payloads.next(&mut self.compressor, &mut payload) {
                Ok(true) => {
                    packed_rows += payload.rows;
                    self.delivery.enqueue(payload);
                }
                Ok(false) => break,
                Err(error) => {
                    self.batch = self.batch.without(packed_rows);
                    return Err(error);
                }
            }
        }
        self.batch.clear();
        self.oldest = None;
        Ok(())
    }

    fn report_rejected(&mut self) -> Result<(), Error> {
        let rejected = self.delivery.totals().rejected;
        let unreported = rejected - std::mem::replace(&mut self.rejected_reported, rejected);
        if unreported == 0 { Ok(()) } else { Err(self.delivery.rejected(unreported)) }
    }
}

impl Channel {
    /// Feeds this channel row by row. The writer also waits for what was appended before, but cannot send it again.
    pub fn into_writer(self) -> Writer {
        Writer::new(self)
    }
}

/// Well below the ten requests a second that the service takes.
const MAX_AGE: Duration = Duration::from_secs(1);

/// How long a full memory waits for commits before it is an error.
const BACK_PRESSURE_TIMEOUT: Duration = Duration::from_secs(120);
