use std::error::Error as StdError;
use std::fmt;
use std::thread::JoinHandle;
use std::time::Duration;

use super::core::{PoolCore, closed};
use super::feeder::Remains;
use super::report::PoolReport;
use crate::channel::rows_rejected;
use crate::error::{Error, ErrorKind, one_line};
use crate::rows::Batch;
use crate::snowflake::status::ChannelStatus;

/// Why [`WriterPool::close`](crate::WriterPool::close) failed, and what is left.
///
/// In a function that returns [`Error`] the operator `?` takes the error alone, and what is left is dropped.
///
/// ```no_run
/// # fn example(pool: snowpipe_streaming::WriterPool) -> Result<(), snowpipe_streaming::Error> {
/// use std::time::Duration;
///
/// if let Err(failure) = pool.close(Duration::from_secs(60)) {
///     eprintln!("{failure}; {} rows are committed", failure.report().rows_committed);
///     for (channel, rows) in failure.into_uncommitted()? {
///         eprintln!("{} rows of channel {channel} are to be put elsewhere", rows.rows());
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct PoolCloseError {
    error: Error,
    report: Box<PoolReport>,
    remains: Vec<Remains>,
}

impl PoolCloseError {
    /// The failure: of the first channel that has one.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// What the pool has done.
    pub fn report(&self) -> &PoolReport {
        &self.report
    }

    /// The rows that are not known to be committed, to be put elsewhere: for each channel that has some its name, and its rows
    /// in order. They are the [`rows_buffered`](PoolReport::rows_buffered) and
    /// [`rows_uncommitted`](PoolReport::rows_uncommitted) of the report together.
    ///
    /// Rows that were sent may be committed all the same. They keep their offset tokens: open the channel again, and
    /// [`Batch::after`] its committed offset is what is left. They take the memory that they had before compression.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when there is no memory to decompress them.
    pub fn into_uncommitted(self) -> Result<Vec<(String, Batch)>, Error> {
        let mut uncommitted = Vec::new();
        for remains in self.remains {
            let mut rows = Batch::new();
            for body in remains.bodies {
                rows.join(body.to_batch()?);
            }
            rows.join(remains.unpacked);
            if !rows.is_empty() {
                uncommitted.push((remains.channel, rows));
            }
        }
        Ok(uncommitted)
    }
}

impl From<PoolCloseError> for Error {
    /// Drops the rows that are left.
    fn from(failure: PoolCloseError) -> Error {
        match failure.report.rows_left() {
            0 => failure.error,
            1 => failure.error.advise("the pool is gone, with 1 row that is not known to be committed"),
            rows => {
                failure.error.advise(format!("the pool is gone, with {rows} rows that are not known to be committed"))
            }
        }
    }
}

impl fmt::Display for PoolCloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for PoolCloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolCloseError")
            .field("error", &self.error)
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

impl StdError for PoolCloseError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

/// Sends everything, waits for the commits, ends the threads.
pub(super) fn close(
    core: &PoolCore,
    threads: Vec<JoinHandle<Remains>>,
    timeout: Duration,
) -> Result<PoolReport, PoolCloseError> {
    let deadline = core.clock().now().deadline(timeout);
    core.refuse(&closed());
    core.finish();
    core.wait_until_ended(deadline);
    core.abandon();
    let join = |thread: JoinHandle<_>| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let mut remains: Vec<_> = threads.into_iter().map(join).collect();
    let report = core.report();
    let mut left = remains.iter_mut().filter(|remains| remains.has_rows());
    // A failure explains more than a channel that was only slow.
    let failure = left.find_map(|remains| remains.failure.take());
    let slow = remains.iter().find(|remains| remains.has_rows());
    let failure = failure.or_else(|| slow.map(|remains| overdue(remains, timeout)));
    let error = match failure {
        Some(error) => gone(error, &report),
        None if report.rows_rejected > 0 => rejected(core, &report, &remains),
        None => return Ok(report),
    };
    Err(PoolCloseError { error, report: report.into(), remains })
}

/// Ends the threads; for a pool that nobody has closed.
pub(super) fn abandon(core: &PoolCore, threads: Vec<JoinHandle<Remains>>) {
    core.refuse(&closed());
    core.abandon();
    for thread in threads {
        // Whatever made it panic has been told when it happened.
        let _ = thread.join();
    }
    let rows = core.report().rows_left();
    if rows > 0 {
        let pool = one_line(&core.name);
        log::warn!("writer pool {pool} was dropped with {rows} rows that are not known to be committed");
    }
}

impl Remains {
    fn has_rows(&self) -> bool {
        !self.bodies.is_empty() || !self.unpacked.is_empty()
    }
}

fn overdue(remains: &Remains, timeout: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("not all of them were committed within {timeout:?}"))
        .attempting(format!("confirm the commit of all rows on channel {}", remains.channel))
}

fn gone(error: Error, report: &PoolReport) -> Error {
    let left = report.rows_left();
    let rows = if left == 1 { "1 row is".to_owned() } else { format!("{left} rows are") };
    error.not_retryable().advise(format!(
        "the pool is closed and {rows} not known to be committed: put elsewhere what into_uncommitted returns"
    ))
}

fn rejected(core: &PoolCore, report: &PoolReport, remains: &[Remains]) -> Error {
    let with_reason =
        remains.iter().map(|remains| &remains.status).find(|status| status.last_error_message().is_some());
    rows_rejected(report.rows_rejected, with_reason.unwrap_or(&ChannelStatus::default()))
        .attempting(format!("store all rows of writer pool {}", core.name))
        .advise("write the corrected rows again; repeating them as they are will not help")
}
