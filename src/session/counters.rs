use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a client has done so far, over all its pipes and channels: for the summary of a batch job or the metrics of a server.
///
/// ```
/// use snowpipe_streaming::Counters;
///
/// let before = Counters::default();
/// assert_eq!(before.retries, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Requests sent, retries included.
    pub requests: u64,
    /// Requests sent again after a failure, a busy service or a refused token.
    pub retries: u64,
    /// Tokens fetched because the service refused the one before.
    pub renewals: u64,
    /// Channels reopened because they were lost or an append was unconfirmed.
    pub reopens: u64,
    /// Rows that the service accepted.
    pub rows: u64,
    /// Bytes of those rows before compression.
    pub bytes: u64,
    /// From sending to seeing the commit, for the rows that a [`Loader`](crate::Loader) or [`Writer`](crate::Writer) last
    /// saw committed.
    pub commit_lag: Duration,
}

/// The counters of one client, shared by its sessions.
#[derive(Debug, Default)]
pub(crate) struct AtomicCounters {
    requests: AtomicU64,
    retries: AtomicU64,
    renewals: AtomicU64,
    reopens: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    commit_lag_ms: AtomicU64,
}

impl AtomicCounters {
    /// `retries` of the `requests` had been sent before.
    pub(crate) fn add_requests(&self, requests: u32, retries: u32) {
        self.requests.fetch_add(requests.into(), Ordering::Relaxed);
        self.retries.fetch_add(retries.into(), Ordering::Relaxed);
    }

    pub(crate) fn add_renewal(&self) {
        self.renewals.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_reopen(&self) {
        self.reopens.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_commit_lag(&self, lag: Duration) {
        self.commit_lag_ms.store(lag.as_millis().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn add_rows(&self, rows: usize, bytes: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Counters {
        Counters {
            requests: self.requests.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            renewals: self.renewals.load(Ordering::Relaxed),
            reopens: self.reopens.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            commit_lag: Duration::from_millis(self.commit_lag_ms.load(Ordering::Relaxed)),
        }
    }
}
