use super::row_queue::QueueView;

/// What a [`WriterPool`](crate::WriterPool) has done so far.
///
/// Every row that was written is committed or not yet: `rows_written` is `rows_committed` and
/// [`rows_uncommitted`](PoolReport::rows_uncommitted) together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolReport {
    /// Rows that were taken in, by whichever thread.
    pub rows_written: u64,
    /// Bytes of those rows before compression.
    pub bytes_written: u64,
    /// Rows that are committed, those included that the service could not store.
    pub rows_committed: u64,
    /// Rows that the service took and could not store, as far as is known.
    pub rows_rejected: u64,
    /// Rows that were sent and are not known to be committed; the others of
    /// [`rows_uncommitted`](PoolReport::rows_uncommitted) wait to be sent.
    pub rows_in_flight: u64,
    /// Requests that carried rows and were accepted, or may have been applied although their responses were lost.
    pub requests: u64,
    /// Openings of channels after the first.
    pub reopens: u64,
    /// Channels whose last attempt failed. They try again, unless the pool has ended.
    pub channels_failing: u64,
}

impl PoolReport {
    /// Rows that were written and are not known to be committed.
    pub fn rows_uncommitted(&self) -> u64 {
        self.rows_written.saturating_sub(self.rows_committed)
    }

    pub(super) fn add(&mut self, view: &QueueView<'_>) {
        let progress = view.progress;
        self.rows_written += view.rows;
        self.bytes_written += view.bytes;
        self.rows_committed += progress.rows_committed;
        self.rows_rejected += progress.rows_rejected;
        self.rows_in_flight += progress.rows_in_flight;
        self.requests += progress.requests;
        self.reopens += progress.reopens;
        self.channels_failing += u64::from(progress.standing.failure().is_some());
    }
}
