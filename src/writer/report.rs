use std::time::Duration;

use super::Writer;
use crate::rows::OffsetToken;

/// What a writer has done so far, from [`Writer::report`].
///
/// Each row that was written is in one of three places: [`rows_written`](WriterReport::rows_written) is the sum of
/// [`rows_buffered`](WriterReport::rows_buffered), [`rows_uncommitted`](WriterReport::rows_uncommitted) and
/// [`rows_committed`](WriterReport::rows_committed).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct WriterReport {
    /// Rows that the writer has taken.
    pub rows_written: u64,
    /// Bytes of those rows before compression, line breaks included.
    pub bytes_written: u64,
    /// Rows in the buffer.
    pub rows_buffered: u64,
    /// Rows that were sent and are not known to be committed, or that wait in requests that could not be sent yet.
    pub rows_uncommitted: u64,
    /// Rows that are committed, those included that the service could not store.
    pub rows_committed: u64,
    /// Rows that the service took and could not store, as far as is known: the growth of the channel's count.
    pub rows_rejected: u64,
    /// Bytes before compression that were sent, committed or not; a row that had to be sent again counts again.
    pub bytes_sent: u64,
    /// Requests that carried rows and were accepted, or may have been applied although their responses were lost.
    pub batches: u64,
    /// Openings of the channel after the first.
    pub reopens: u64,
    /// From sending to noticing the commit, of what was committed last.
    pub commit_lag: Duration,
    /// The offset token up to which everything is known to be committed.
    pub committed_offset: Option<OffsetToken>,
    /// Bytes of memory that the rows take: those in the buffer as they are, the others compressed. See
    /// [Memory](Writer#memory).
    pub memory: usize,
}

impl Writer {
    /// What was written, sent and committed so far. Sends nothing: what is committed is known as of the last call that sent,
    /// waited or asked.
    ///
    /// ```no_run
    /// # fn example(writer: &snowpipe_streaming::Writer) {
    /// let report = writer.report();
    /// println!("{} of {} rows are committed", report.rows_committed, report.rows_written);
    /// # }
    /// ```
    pub fn report(&self) -> WriterReport {
        let totals = self.delivery.totals();
        WriterReport {
            rows_written: self.rows_written,
            bytes_written: self.bytes_written,
            rows_buffered: self.batch.rows() as u64,
            rows_uncommitted: self.delivery.uncommitted_rows(),
            rows_committed: self.delivery.committed_rows(),
            rows_rejected: totals.rejected,
            bytes_sent: totals.bytes,
            batches: totals.batches,
            reopens: self.delivery.reopens(),
            commit_lag: self.delivery.commit_lag(),
            committed_offset: self.delivery.committed_offset().cloned(),
            memory: self.delivery.retained_bytes() + self.batch.memory(),
        }
    }
}
