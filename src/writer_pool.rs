mod builder;
mod channel_thread;
mod core;
mod ending;
mod feeder;
mod handle;
mod names;
mod pacing;
mod progress;
mod report;
mod row_queue;
mod signal;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use self::builder::WriterPoolBuilder;
use self::core::PoolCore;
pub use self::ending::PoolCloseError;
use self::feeder::Remains;
pub use self::handle::PoolHandle;
pub use self::report::PoolReport;
use crate::delivery::Delivery;
use crate::rows::Batch;

/// Rows from any number of threads, through one channel or several, for a stream that does not end.
///
/// ```no_run
/// # fn example(pipe: &snowpipe_streaming::Pipe) -> Result<(), snowpipe_streaming::Error> {
/// use std::time::Duration;
///
/// let pool = pipe.writer_pool("events").start()?;
/// std::thread::scope(|scope| {
///     for producer in 0..8 {
///         let handle = pool.handle();
///         scope.spawn(move || {
///             for id in 0..1000 {
///                 if let Err(error) = handle.write(&serde_json::json!({ "PRODUCER": producer, "ID": id })) {
///                     eprintln!("row {id} was not taken: {error}");
///                 }
///             }
///         });
///     }
/// });
/// let report = pool.close(Duration::from_secs(60))?;
/// println!("{} rows are stored", report.rows_committed);
/// # Ok(())
/// # }
/// ```
///
/// # Guarantee
///
/// Every row that a [`PoolHandle`] has taken is stored once while the pool lives, even if its channels are lost, or is handed back
/// by [`close`](WriterPool::close). Rows have no order. The offset tokens are the pool's own, new in each run, so there is no
/// row to resume after: after a crash a program writes again what it has not seen committed, at least once then. A program
/// that has to store each row once across crashes, and can read its rows again, uses a [`Writer`](crate::Writer) for each of
/// its sequences.
///
/// # Threads
///
/// Each channel has a thread, named `snowpipe-1` and so on, which ends with the pool. The producers only encode: a row is
/// encoded in the thread that writes it, then copied to the queue of a channel, so a producer that is slow or panics holds up
/// no other. A channel's thread takes a full queue, or one whose oldest row has waited for
/// [`max_age`](WriterPoolBuilder::max_age), compresses its rows and sends them. An idle pool sends nothing.
///
/// # Memory
///
/// [`queue_bytes`](WriterPoolBuilder::queue_bytes) before compression, a longer row excepted, and
/// [`RETAINED_BYTES`](WriterPool::RETAINED_BYTES) after it, for what is in flight or could not be sent. When both are full,
/// through an outage of any length, [`PoolHandle::write`] waits. For each channel there are besides the compressor's tables
/// and one request of at most 4 MB while it is packed.
///
/// # Failures
///
/// - An outage (`Unavailable`, `Throttled`, `Timeout`), or a channel that is lost again and again (`Channel`): the rows are
///   kept, the thread tries again after pauses of up to five seconds, and full queues hold up the producers.
/// - What needs a person, such as a missing grant or a revoked key: every write fails at once while it lasts. The thread tries
///   again every ten seconds. While one channel fails and another does not, the rows go to the other.
/// - A second writer on a channel, or rows that are lost (`Conflict`, `Unconfirmed`): the pool ends. The other channels
///   deliver what they have, every write fails, and `close` hands back the rows of that channel.
///
/// - A pipe that is [stopped](crate::Pipe::stopped_by): the pool ends with the next request, with `Stopped`; `close` hands back
///   what is not known to be committed.
///
/// A failure is logged as a warning when it begins.
pub struct WriterPool {
    core: Arc<PoolCore>,
    threads: Vec<JoinHandle<Remains>>,
}

impl WriterPool {
    /// The most channels of a pool; the service takes two thousand a pipe.
    pub const MAX_CHANNELS: usize = 32;

    /// Default of [`queue_bytes`](WriterPoolBuilder::queue_bytes): two full requests, of which one is filled while the other is
    /// compressed.
    pub const QUEUE_BYTES: usize = 2 * Batch::FULL_BYTES;

    /// The most that all channels together retain of rows that are not committed, compressed.
    pub const RETAINED_BYTES: usize = Delivery::RETAINED_BYTES;

    fn new(core: Arc<PoolCore>, threads: Vec<JoinHandle<Remains>>) -> WriterPool {
        WriterPool { core, threads }
    }

    /// A handle for a thread that writes.
    pub fn handle(&self) -> PoolHandle {
        PoolHandle::new(self.core.clone())
    }

    /// What the pool has done so far.
    pub fn report(&self) -> PoolReport {
        self.core.report()
    }

    /// Takes no more rows, sends all that were taken, waits until they are committed, and ends the threads. Handles that are
    /// left refuse every row with [`Stopped`](crate::ErrorKind::Stopped).
    ///
    /// # Blocking
    ///
    /// Until the last commit, at most for `timeout`, a second more and the requests in progress, which the client's response
    /// timeout bounds. A failure that needs a person ends it after one more attempt.
    ///
    /// # Errors
    ///
    /// - [`NotStored`](crate::ErrorKind::NotStored): all is committed, but rows could not be stored.
    /// - any other, of the first channel that failed: what is not known to be committed is in the error, and
    ///   [`into_uncommitted`](PoolCloseError::into_uncommitted) hands it back. [`Timeout`](crate::ErrorKind::Timeout) when nothing
    ///   failed, and it only took longer.
    pub fn close(mut self, timeout: Duration) -> Result<PoolReport, PoolCloseError> {
        let threads = std::mem::take(&mut self.threads);
        ending::close(&self.core, threads, timeout)
    }
}

/// What was not closed ends at once: its threads send nothing beyond the requests in progress, and what is not committed is
/// gone, with a warning in the log. Waits for these requests, which the client's response timeout bounds, and a second at most.
impl Drop for WriterPool {
    fn drop(&mut self) {
        let threads = std::mem::take(&mut self.threads);
        if !threads.is_empty() {
            ending::abandon(&self.core, threads);
        }
    }
}

impl fmt::Debug for WriterPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterPool")
            .field("name", &self.core.name)
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}
