use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// What the thread of a channel has done so far, and how it stands.
#[derive(Clone, Debug, Default)]
pub(super) struct ChannelProgress {
    /// Packed, and not known to be committed.
    pub(super) rows_uncommitted: u64,
    pub(super) rows_committed: u64,
    pub(super) rows_rejected: u64,
    pub(super) bytes_sent: u64,
    pub(super) batches: u64,
    pub(super) reopens: u64,
    pub(super) commit_lag: Duration,
    /// What the rows take that were taken out of the queue.
    pub(super) memory: usize,
    pub(super) standing: Standing,
    pub(super) stage: ChannelStage,
}

/// Whether a channel's thread gets on.
#[derive(Clone, Debug, Default)]
pub(super) enum Standing {
    #[default]
    Working,
    /// It failed, and tries again by itself.
    Retrying(Error),
    /// It failed for a cause that somebody has to remove, and tries again now and then.
    Hindered(Error),
}

/// Where a channel's thread is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ChannelStage {
    #[default]
    Opening,
    Open,
    /// It does nothing more.
    Ended,
}

impl Standing {
    pub(super) fn after(error: Error) -> Standing {
        if is_passing(error.kind()) { Standing::Retrying(error) } else { Standing::Hindered(error) }
    }

    pub(super) fn failure(&self) -> Option<&Error> {
        match self {
            Standing::Working => None,
            Standing::Retrying(error) | Standing::Hindered(error) => Some(error),
        }
    }
}

/// Whether waiting helps. Of a lost channel it may: the other writer may end.
fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Throttled | ErrorKind::Timeout | ErrorKind::Channel)
}
