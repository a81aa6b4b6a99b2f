//! Rows between their receipt and their commit.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::channel::{Applied, LastError};
use super::name::{ChannelName, TableName};
use super::rows::Batch;

/// One request's rows on their way into a table.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct InFlight {
    pub(super) channel: ChannelName,
    pub(super) table: TableName,
    pub(super) offset_token: Option<String>,
    /// The channel's row sequencer once these rows are in.
    pub(super) row_sequencer: u64,
    pub(super) applied: Option<Applied>,
    pub(super) received_on_ms: i64,
    /// The latest row of these that cannot land.
    pub(super) error: Option<LastError>,
    pub(super) batch: Batch,
    #[serde(skip, default = "Instant::now")]
    pub(super) due: Instant,
}

impl InFlight {
    pub(super) fn is_elastic(&self) -> bool {
        self.channel.is_elastic()
    }
}
