use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use super::core::PoolCore;
use super::report::PoolReport;
use super::row_queue::Put;
use crate::error::{Error, ErrorKind};
use crate::rows::{Batch, Compressor};

/// Writes rows to a [`WriterPool`](crate::WriterPool), from any thread; made by
/// [`WriterPool::handle`](crate::WriterPool::handle).
///
/// Clones are cheap. A thread should have one of its own: then the threads get into each other's way least.
///
/// # Errors of a write
///
/// Whatever the error, **the row was not taken**; an `Ok` means that it is in the queue of a channel, and
/// [`commit`](PoolHandle::commit) that it is stored. Where [`is_retryable`](Error::is_retryable) is true, the row can be written again
/// later. By kind:
///
/// - [`Row`](ErrorKind::Row): the value is no row, or too long a one. Correct it or leave it out.
/// - [`Throttled`](ErrorKind::Throttled), [`Timeout`](ErrorKind::Timeout), [`Unavailable`](ErrorKind::Unavailable),
///   [`Channel`](ErrorKind::Channel): all queues are full, because the service takes rows more slowly or fails for now. Write the
///   row again later.
/// - [`Conflict`](ErrorKind::Conflict), [`Unconfirmed`](ErrorKind::Unconfirmed): another writer uses one of the channels, or
///   rows were lost. The pool has ended: every later write fails alike, and
///   [`WriterPool::close`](crate::WriterPool::close) hands back what is not committed.
/// - [`Stopped`](ErrorKind::Stopped): the pool was closed or dropped.
/// - any other, such as [`Refused`](ErrorKind::Refused) and [`Credentials`](ErrorKind::Credentials): somebody has to remove the
///   cause. Every write fails at once while it lasts. The pool tries again every ten seconds, and rows can be written soon after the
///   cause is gone.
///
/// What was taken before stays in the pool in any case.
///
/// ```no_run
/// # fn example(pool: &snowpipe_streaming::WriterPool) -> Result<(), snowpipe_streaming::Error> {
/// let handle = pool.handle();
/// let producer = std::thread::spawn(move || {
///     (1..=1000).try_for_each(|id| handle.write(&serde_json::json!({ "ID": id })))
/// });
/// producer.join().expect("the producer does not panic")?;
/// # Ok(())
/// # }
/// ```
pub struct PoolHandle {
    core: Arc<PoolCore>,
    /// The queue that took the last row.
    preferred: AtomicUsize,
    /// Memory for the next row. Nobody waits for it.
    spare: Mutex<Batch>,
}

impl PoolHandle {
    pub(super) fn new(core: Arc<PoolCore>) -> PoolHandle {
        PoolHandle { preferred: core.first_queue_of_next_handle().into(), spare: Mutex::default(), core }
    }

    /// Writes a row: a struct or map whose field names are column names. It is encoded in this thread.
    ///
    /// # Blocking
    ///
    /// Not at all while a queue has room; otherwise until one has, at most for the pool's
    /// [`write_timeout`](crate::WriterPoolBuilder::write_timeout).
    ///
    /// # Errors
    ///
    /// The row was not taken: see [Errors of a write](PoolHandle#errors-of-a-write).
    pub fn write(&self, row: &impl Serialize) -> Result<(), Error> {
        let row = self.encode(|batch| batch.push(row))?;
        let written = self.put(&row);
        self.recycle(row);
        written
    }

    /// Writes a row that is JSON already, byte for byte; otherwise as [`write`](PoolHandle::write).
    ///
    /// # Blocking
    ///
    /// As [`write`](PoolHandle::write).
    ///
    /// # Errors
    ///
    /// Those of [`write`](PoolHandle::write).
    pub fn write_json(&self, line: &[u8]) -> Result<(), Error> {
        let row = self.encode(|batch| batch.push_json(line))?;
        let written = self.put(&row);
        self.recycle(row);
        written
    }

    /// As [`write`](PoolHandle::write), but does not wait for room: while all queues are full it is an error of kind
    /// [`Throttled`](ErrorKind::Throttled), which says why if the service fails. Never blocks.
    ///
    /// # Errors
    ///
    /// The row was not taken: see [Errors of a write](PoolHandle#errors-of-a-write).
    pub fn try_write(&self, row: &impl Serialize) -> Result<(), Error> {
        let row = self.encode(|batch| batch.push(row))?;
        let written = self.try_put(&row);
        self.recycle(row);
        written
    }

    /// As [`try_write`](PoolHandle::try_write), for a row that is JSON already. Never blocks.
    ///
    /// # Errors
    ///
    /// Those of [`try_write`](PoolHandle::try_write).
    pub fn try_write_json(&self, line: &[u8]) -> Result<(), Error> {
        let row = self.encode(|batch| batch.push_json(line))?;
        let written = self.try_put(&row);
        self.recycle(row);
        written
    }

    /// Waits until all rows that were written before this call are committed, by whichever thread and through whichever handle.
    ///
    /// They are sent at once. Rows that the service could not store count as committed;
    /// [`PoolReport::rows_rejected`] and the log tell of them, and so does [`WriterPool::close`](crate::WriterPool::close).
    ///
    /// # Blocking
    ///
    /// Until the last of these commits, at most `timeout`.
    ///
    /// # Errors
    ///
    /// Nothing is lost, and it can be called again:
    ///
    /// - [`Timeout`](ErrorKind::Timeout): not yet. If a channel fails for now, its error instead, whose
    ///   [`is_retryable`](Error::is_retryable) is true then.
    /// - any other: see [Errors of a write](PoolHandle#errors-of-a-write). It is returned at once, since waiting does not help.
    pub fn commit(&self, timeout: Duration) -> Result<(), Error> {
        self.core.commit(timeout)
    }

    /// What the pool has done so far.
    pub fn report(&self) -> PoolReport {
        self.core.report()
    }

    /// No lock is held while the caller's code runs.
    fn encode(&self, push: impl FnOnce(&mut Batch) -> Result<(), Error>) -> Result<Batch, Error> {
        let mut row = self.spare.try_lock().map(|mut spare| std::mem::take(&mut *spare)).unwrap_or_default();
        let encoded = push(&mut row).and_then(|()| match Compressor::default().check_row(&row.last_row()) {
            Err(error) if error.kind() == ErrorKind::Row => Err(error),
            // Compression itself failed: the channel's thread meets that again, and keeps its rows.
            _ => Ok(()),
        });
        match encoded {
            Ok(()) => Ok(row),
            Err(error) => {
                self.recycle(row);
                Err(error)
            }
        }
    }

    fn recycle(&self, mut row: Batch) {
        if row.bytes() <= MAX_SPARE_BYTES
            && let Some(mut spare) = self.spare.try_lock()
        {
            row.clear();
            *spare = row;
        }
    }

    fn put(&self, row: &Batch) -> Result<(), Error> {
        if let Offered::Taken = self.offer(row)? {
            return Ok(());
        }
        let clock = self.core.clock();
        let deadline = clock.now().deadline(self.core.write_timeout);
        loop {
            let seen = self.core.signal.changes();
            let Offered::NoRoom(cause) = self.offer(row)? else { return Ok(()) };
            if !self.core.signal.wait_beyond(seen, deadline, clock) {
                return Err(self.not_taken(cause.unwrap_or_else(|| self.no_room())));
            }
        }
    }

    fn try_put(&self, row: &Batch) -> Result<(), Error> {
        match self.offer(row)? {
            Offered::Taken => Ok(()),
            Offered::NoRoom(Some(cause)) => {
                Err(self.not_taken(cause.into_kind(ErrorKind::Throttled, "all queues are full; the last failure")))
            }
            Offered::NoRoom(None) => Err(self.not_taken(Error::new(ErrorKind::Throttled, "all queues are full"))),
        }
    }

    /// Offers a row to the queues in turn, first to the one that took the last: so a handle changes its channel only when that
    /// is full.
    fn offer(&self, row: &Batch) -> Result<Offered, Error> {
        let queues = &self.core.queues;
        let first = self.preferred.load(Ordering::Relaxed);
        let (mut is_full, mut cause, mut hindered) = (false, None, None);
        for index in (first..queues.len()).chain(0..first) {
            match queues[index].put(row, self.core.clock()) {
                Put::Taken => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(Offered::Taken);
                }
                Put::Full(failure) => (is_full, cause) = (true, cause.or(failure)),
                Put::Hindered(error) => hindered = hindered.or(Some(error)),
                Put::Refused(error) => return Err(error.attempting(self.attempted()).not_retryable()),
            }
        }
        match hindered {
            Some(error) if !is_full => Err(self.not_taken(error)),
            _ => Ok(Offered::NoRoom(cause)),
        }
    }

    fn not_taken(&self, error: Error) -> Error {
        error.attempting(self.attempted()).retryable().and_advise(NOT_TAKEN)
    }

    fn no_room(&self) -> Error {
        let happened = format!("no queue had room for {:?}", self.core.write_timeout);
        Error::new(ErrorKind::Timeout, happened)
    }

    fn attempted(&self) -> String {
        format!("write a row to writer pool {}", self.core.name)
    }
}

enum Offered {
    Taken,
    /// And why, as far as that is known.
    NoRoom(Option<Error>),
}

/// A handle for another thread.
impl Clone for PoolHandle {
    fn clone(&self) -> PoolHandle {
        PoolHandle::new(self.core.clone())
    }
}

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolHandle").field("pool", &self.core.name).field("report", &self.report()).finish()
    }
}

const NOT_TAKEN: &str = "the row was not taken: write it again later";

/// Longer than ordinary rows, and not worth freeing.
const MAX_SPARE_BYTES: usize = 65_536;
