use std::time::Duration;

use crate::rows::OffsetToken;

/// What a load has sent and committed so far.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LoadReport {
    /// Which of several [files](crate::Loader::load_files) this is about, from 0.
    pub file: usize,
    /// Rows of the source that are committed, those found committed at the start included: stored, or rejected and counted
    /// as such.
    pub rows: u64,
    /// The part of [`rows`](LoadReport::rows) that an earlier run had committed.
    pub skipped: u64,
    /// Rows sent by this run, committed or not; a row that had to be sent again counts again.
    pub rows_sent: u64,
    /// Bytes of those rows before compression.
    pub bytes_sent: u64,
    /// Requests that carried rows and were accepted, or may have been applied although their responses were lost.
    pub batches: u64,
    /// The committed offset token; `None` too for a load through several channels, each of which has its own.
    pub committed_offset: Option<OffsetToken>,
    /// The position of that row, from 1.
    pub position: Option<u64>,
    /// Rows that the service took from this run and could not store.
    pub rows_rejected: u64,
    /// Rows of this source that the service took from earlier runs and could not store.
    pub rows_rejected_before: u64,
    /// Rows of this source that were left out, those before the committed row included: bad ones, which
    /// [`Loader::max_errors`](crate::Loader::max_errors) allowed. They are in no other figure.
    pub bad_rows: u64,
    /// Requests sent again, on any endpoint.
    pub retries: u64,
    /// Tokens fetched because the service refused the one before.
    pub renewals: u64,
    /// Openings of the channel after the first.
    pub reopens: u64,
    /// From sending to noticing the commit, of what was committed last.
    pub commit_lag: Duration,
    /// Time since the load began.
    pub elapsed: Duration,
}
