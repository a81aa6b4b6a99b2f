use std::time::Duration;

use super::row_queue::QueueView;

/// What a [`WriterPool`](crate::WriterPool) has done so far, all channels together.
///
/// Each row that was written is in one of three places: [`rows_written`](PoolReport::rows_written) is the sum of
/// [`rows_buffered`](PoolReport::rows_buffered), [`rows_uncommitted`](PoolReport::rows_uncommitted) and
/// [`rows_committed`](PoolReport::rows_committed).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PoolReport {
    /// Rows that were taken, from whichever thread.
    pub rows_written: u64,
    /// Bytes of those rows before compression, line breaks included.
    pub bytes_written: u64,
    /// Rows in the queues.
    pub rows_buffered: u64,
    /// Rows that were sent and are not known to be committed, or that wait in requests that could not be sent yet.
    pub rows_uncommitted: u64,
    /// Rows that are committed, those included that the service could not store.
    pub rows_committed: u64,
    /// Rows that the service took and could not store, as far as is known.
    pub rows_rejected: u64,
    /// Bytes before compression that were sent, committed or not; a row that had to be sent again counts again.
    pub bytes_sent: u64,
    /// Requests that carried rows and were accepted, or may have been applied although their responses were lost.
    pub batches: u64,
    /// Openings of channels after the first.
    pub reopens: u64,
    /// From sending to noticing the commit, of what was committed last; of the slowest channel.
    pub commit_lag: Duration,
    /// Bytes of memory that the rows take: those in the queues as they are, the others compressed. See
    /// [Memory](crate::WriterPool#memory).
    pub memory: usize,
    /// Channels whose last attempt failed. They try again, unless the pool has ended.
    pub channels_failing: u64,
}

impl PoolReport {
    /// Rows that were written and are not known to be committed.
    pub(super) fn rows_left(&self) -> u64 {
        self.rows_buffered + self.rows_uncommitted
    }

    pub(super) fn add(&mut self, view: &QueueView<'_>) {
        let progress = view.progress;
        self.rows_written += view.rows;
        self.bytes_written += view.bytes;
        // What the thread packs at this moment still counts as buffered.
        self.rows_buffered += view.rows - progress.rows_uncommitted - progress.rows_committed;
        self.rows_uncommitted += progress.rows_uncommitted;
        self.rows_committed += progress.rows_committed;
        self.rows_rejected += progress.rows_rejected;
        self.bytes_sent += progress.bytes_sent;
        self.batches += progress.batches;
        self.reopens += progress.reopens;
        self.commit_lag = self.commit_lag.max(progress.commit_lag);
        self.memory += view.memory + progress.memory;
        self.channels_failing += u64::from(progress.standing.failure().is_some());
    }
}
